"""Columns that programs write for themselves: of a label sheet, and of annotation tools."""

from __future__ import annotations

import re
from collections.abc import Iterable

OF_SHEET = "word"
"""The column of a label sheet for what is no label yet."""

# What helps to sort a label sheet (``leukemia.data.label_sheet``).
_OF_SHEET = re.compile(r"(?:folder|name) \d+")
# Label Studio's, and VIA's.
_OF_TOOLS = frozenset(
    "annotator annotator_id annotation_id annotation_by annotated_by annotations_count completed_by created_at "
    "created_by created_username updated_at updated_by lead_time task_id inner_id project_id total_annotations "
    "cancelled_annotations total_predictions was_cancelled unique_lock_id draft_created_at parent_annotation "
    "parent_prediction last_action import_id file_upload original_width original_height image_rotation from_name "
    "to_name region_id region_count file_size file_attributes".split()
)


def is_of_program(column: str) -> bool:
    """Whether a column of this name has neither labels nor patients.

    >>> [is_of_program(name) for name in ("folder 1", "annotator", "Lead time", "createdAt", "name", "label")]
    [True, True, True, True, False, False]
    """
    form = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip())
    return _OF_SHEET.fullmatch(column.lower()) is not None or re.sub(r"[\W_]+", "_", form).lower() in _OF_TOOLS


def is_label_sheet(columns: Iterable[str]) -> bool:
    """Whether a table with these columns is a label sheet.

    >>> is_label_sheet(["Path", "label", "subject", "split", "name 1"]), is_label_sheet(["Path", "label", "subject"])
    (True, False)
    """
    names = [name.lower() for name in columns]
    return {"path", "label", "subject"} <= set(names) and any(map(_OF_SHEET.fullmatch, names))
