"""EfficientNet-B0 of MONAI (``pip install monai``): ``--plugin efficientnet.py --set model.network=efficientnet``."""

from monai.networks.nets import EfficientNetBN
from torch import nn

from leukemia.config.recipe import Recipe
from leukemia.plugins import network


@network("efficientnet")
def efficientnet(recipe: Recipe, in_channels: int, num_classes: int) -> nn.Module:
    """Tan & Le, arXiv:1905.11946, from scratch."""
    model = EfficientNetBN(
        "efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=in_channels, num_classes=num_classes
    )
    # Its default saves memory in training, by a function that torch.onnx cannot export.
    model.set_swish(memory_efficient=False)
    return model
