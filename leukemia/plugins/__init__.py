"""Plug-ins: networks, optimizers and augmentations that a user's file registers by these decorators."""

from leukemia.plugins.registration import augmentation, network, optimizer

__all__ = ["augmentation", "network", "optimizer"]
