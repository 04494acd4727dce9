"""Out-of-fold scores of a study's winner by subclass."""

from __future__ import annotations

from leukemia.data.folds import Splits
from leukemia.scoring.subclasses import SubclassScore, subclass_scores
from leukemia.study import layout
from leukemia.study.best import Best
from leukemia.study.folder import Study


def subclasses_of(study: Study, best: Best) -> tuple[SubclassScore, ...]:
    """The accuracy of each subclass in ``splits.json``, for the winner's first seed; empty if there are none.

    Raises:
        UserError: the split or a prediction is missing or invalid.
    """
    path = study.folder / layout.SPLITS
    subclasses = Splits.load(path, best.data.fingerprint).subclasses if path.is_file() else None
    if not subclasses:
        return ()
    names = {image_id: name for name, image_ids in subclasses.items() for image_id in image_ids}
    table = best.out_of_fold(study)
    found = [names.get(image_id) for image_id in table["image_id"]]
    return subclass_scores(found, table["label"], table["probability_leukemic"], table["group"])
