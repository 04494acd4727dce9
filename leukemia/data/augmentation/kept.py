"""A loader that keeps the first batches of an epoch, for the precise BatchNorm at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from leukemia.data.augmentation.loaders import TrainingLoader
from leukemia.data.images import Batch

MOST_BYTES = 256_000_000
"""What the kept images may take: an eighth of an epoch of 18,000 images of 96 px, or of 3,400 of 224 px."""


class KeepingLoader:
    """A loader's batches, some of them kept as they left it, on the host or the device, rather than made again."""

    def __init__(self, loader: TrainingLoader) -> None:
        self._loader = loader
        self._keys: list[Batch] = []
        self._kept: list[tuple[Tensor, Tensor]] = []

    def __call__(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels per batch, as those of the loader; kept ones while the keys are those that were kept."""
        same = 0
        while same < min(len(batches), len(self._keys)) and batches[same] == self._keys[same]:
            same += 1
        yield from self._kept[:same]
        if same < len(batches):
            yield from self._loader(batches[same:])

    def keeping(self, batches: Sequence[Batch], most: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches from the loader; the first ``most`` of them, up to ``MOST_BYTES``, replace those kept before."""
        self._keys, self._kept = [], []
        room = MOST_BYTES
        for keys, (images, labels) in zip(batches, self._loader(batches), strict=True):
            room -= images.nbytes
            if len(self._kept) < most and room >= 0:
                self._keys.append(keys)
                self._kept.append((images, labels))
            yield images, labels
