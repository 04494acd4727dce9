"""Which recipe fields may be searched; the others are the same in all trials of a study, for a reason."""

from __future__ import annotations

_ONE_VIEW = "all trials share one decoded copy of the images; run a study for each value"

NOT_SEARCHED = {
    "data.crop_px": _ONE_VIEW,
    "data.size_px": _ONE_VIEW,
    "data.fit": _ONE_VIEW,
    "data.small": "it decides which images are in the study, and trials are compared on the same images",
    "model.pretrained": "the SHA-256 of one file of weights is fixed for a study; run a study for each file",
    "model.pretrained_sha256": "it is computed from the file",
    "train.precision": "it is a property of the machines, on which trials are to differ in their recipes only",
    "train.pipeline": "both compute the same augmentation, so they differ in speed and by chance only",
    "train.seed": "the best of several seeds is luck; --repeats measures how much scores vary with the seed",
}
"""Fields that cannot be searched, with the reason; ``--set`` and ``value`` fix them."""
