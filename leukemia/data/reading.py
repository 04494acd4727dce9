"""How a data set is read: what the user says about it."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from leukemia.data.location import absolute

Location: TypeAlias = Annotated[str, Field(min_length=1)]
"""A path. An empty one would be the current folder."""

Spelling: TypeAlias = Literal["normal", "exact"]
"""How subjects are compared: ignoring case, blanks and leading zeros; or as written."""

Scope: TypeAlias = Literal["all", "site"]
"""Where equal subjects are one: in all CSVs, or in those of one site."""

OTHER_SUBJECTS = (
    "if an earlier version started the study, add --subject-spelling exact, or --subject-pattern '' if the study "
    "has no subjects"
)
"""What to do if the same data have another fingerprint: this version may read subjects otherwise."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The options of every command that reads a data set, as recorded in a study; None: not given."""

    reads_labels: ClassVar[bool] = True
    """Whether labels and names of classes are read."""

    is_partial: ClassVar[bool] = False
    """Whether images without a known label are kept, in the place of a refusal."""

    base_option: ClassVar[str] = "--base"
    """The option that gives ``base``, for messages."""

    also: tuple[Location, ...] | None = None
    """The paths of ``--data`` after the first one, absolute: further CSVs of one data set."""

    base: Location | None = None
    """``--base``: absolute path of the base folder for relative paths in a CSV. None: the folder of the CSV."""

    subjects_from: Location | None = None
    """``--subjects-from``: absolute path of a copy of the same images with subjects, matched by pixels. The
    other options for subjects then apply to the copy."""

    subject_column: Location | None = None
    """``--subject-column``: the column of a CSV that has the subjects. None: ``subject``, if there is one."""

    subject_pattern: str | None = None
    """``--subject-pattern``: a regular expression with one group, the subject in an image's path, or in
    ``subject_column``. Empty: there are no subjects."""

    subject_spelling: Spelling | None = None
    """``--subject-spelling``; None: ``normal``."""

    subject_scope: Scope | None = None
    """``--subject-scope``; None: ``all``."""

    split_column: Location | None = None
    """``--split-column``: the column of a CSV with a split that is kept, or ``split`` for folders and several CSVs.
    None: images of all parts are split together."""
    classes: tuple[str, ...] | None = None
    """``--classes``: which words of the data are which class, as written, such as ``leukemic=Early,Pre``. None: the
    words that are known (``leukemia.data.classes``)."""

    label_column: Location | None = None
    """``--label-column``: the column of a CSV that has the labels. None: ``label``, or another usual name."""

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Reading:
        """The options in parsed arguments (``leukemia.base.cli.add_reading``).

        Raises:
            UserError: a path is not UTF-8.
        """
        values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Reading)}
        return cls(**{name: _stored(value) for name, value in values.items()})

    def paths(self, data: Path) -> tuple[Path, ...]:
        """All paths of a data set; ``data`` is the first."""
        return (data, *map(Path, self.also or ()))

    def given(self) -> dict[str, Any]:
        """The options that are given, by name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}
        return {name: value for name, value in values.items() if value is not None}

    def without_subjects(self) -> Reading:
        """These options, except those that say where subjects are."""
        return dataclasses.replace(self, subject_column=None, subject_pattern=None, subject_scope=None)

    def without_classes(self) -> Reading:
        """These options, except those that say which words are which class."""
        return dataclasses.replace(self, classes=None, label_column=None)

    def without_labels(self) -> Reading:
        """These options for data whose labels are not read."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}
        return _ReadingUnlabelled(**values | {"classes": None, "label_column": None})

    def partial(self) -> Reading:
        """These options for a list of all images, with the labels of those that have a known one, and their split."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}
        return _ReadingPartial(**values | {"split_column": None})

    def of_test_set(self, base: str | None) -> Reading:
        """These options for a test set: all of them apply to it, except that it has its own path and base folder."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(Reading)}
        return _ReadingTestSet(**values | {"also": None, "base": base})

    def of_subjects(self) -> Reading:
        """Only the options on subjects, for the copy of ``subjects_from``, whose labels do not matter."""
        return _ReadingUnlabelled(
            subject_column=self.subject_column,
            subject_pattern=self.subject_pattern,
            subject_spelling=self.subject_spelling,
            subject_scope=self.subject_scope,
        )


@dataclass(frozen=True, kw_only=True)
class _ReadingTestSet(Reading):
    base_option: ClassVar[str] = "--test-base"


@dataclass(frozen=True, kw_only=True)
class _ReadingUnlabelled(Reading):
    reads_labels: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class _ReadingPartial(Reading):
    is_partial: ClassVar[bool] = True


def _stored(value: Any) -> Any:
    """An argument as it is recorded: paths are absolute, and several values are a tuple."""
    if isinstance(value, Path):
        return absolute(value)
    return tuple(map(_stored, value)) if isinstance(value, list) else value


DEFAULT = Reading()
"""No option is given."""

UNLABELLED: Reading = _ReadingUnlabelled()
"""No option is given, and labels are not read, whatever words stand for them."""
