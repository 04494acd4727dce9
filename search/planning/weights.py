"""The pretrained weights of a new study, checked before its first trial."""

from __future__ import annotations

from pathlib import Path

from leukemia.base.errors import UserError
from leukemia.study.models import trained_on
from leukemia.training.pretrained import describe_weights
from search.policy.space import Space


def checked_weights(space: Space, fingerprint: str) -> str | None:
    """What all trials take from ``model.pretrained``, as one line; None if they start from scratch.

    Args:
        fingerprint: of the study's data.

    Raises:
        UserError: the weights do not match every recipe of the space, or were trained on the same data.
    """
    described = describe_weights(space.start, searched=[dimension.key for dimension in space.dimensions])
    named = space.start.model.pretrained
    if named is not None and trained_on(Path(named)) == fingerprint:
        raise UserError(
            f"model.pretrained: {named} was trained on these very data (fingerprint {fingerprint[:16]}), including all "
            "validation images, so scores would be too high; use weights from other data"
        )
    return described
