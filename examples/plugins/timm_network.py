"""A network of timm (``pip install timm``): ``--plugin timm_network.py --set model.network=convnext``.

Not run by this project's tests: timm needs torchvision, which does not load beside the CPU build of torch.
"""

import timm
from torch import nn

from leukemia.config.recipe import Recipe
from leukemia.plugins import network


@network("convnext")
def convnext(recipe: Recipe, in_channels: int, num_classes: int) -> nn.Module:
    """ConvNeXt-T (Liu et al., arXiv:2201.03545), from scratch."""
    return timm.create_model("convnext_tiny", pretrained=False, in_chans=in_channels, num_classes=num_classes)
