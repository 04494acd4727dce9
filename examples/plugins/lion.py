"""Lion (``pip install pytorch-optimizer``): ``--plugin lion.py --set optimizer.name=lion``."""

import torch
from pytorch_optimizer import Lion

from leukemia.config.recipe import Recipe
from leukemia.plugins import optimizer


# A third to a tenth of AdamW's learning rate, and as many times its weight decay, as its authors advise.
@optimizer("lion", learning_rate=1e-4, weight_decay=0.1)
def lion(parameters: list[torch.nn.Parameter], recipe: Recipe, steps: int) -> torch.optim.Optimizer:
    """Chen et al., arXiv:2302.06675; biases and BatchNorm are not decayed."""
    settings = recipe.optimizer
    groups = [
        {"params": [each for each in parameters if each.dim() >= 2], "weight_decay": settings.weight_decay},
        {"params": [each for each in parameters if each.dim() < 2], "weight_decay": 0.0},
    ]
    return Lion(groups, lr=settings.learning_rate)
