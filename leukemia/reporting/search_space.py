"""The report's section about what was searched, and why."""

from __future__ import annotations

from leukemia.config.parameters import entry_text, flattened, text_of
from leukemia.reporting.page import Section
from leukemia.study.folder import Study
from leukemia.study.given_recipes import compares


def search_space_sections(study: Study) -> list[Section]:
    """The searched fields with their ranges and reasons, and the fields that were fixed; empty if neither is known."""
    space, asked, settings = study.info.space, study.info.asked, study.info.settings
    if not space and not settings:
        return []
    own = flattened(asked["parameters"]) if asked else {}
    has_reasons = any("reason" in entry for entry in space.values())
    rows = [
        (key, entry_text(entry) + _only(entry), *([entry.get("reason", "")] if has_reasons else []))
        for key, entry in space.items()
    ]
    rows += [(key, text_of(value), *(["fixed by the user"] if has_reasons else [])) for key, value in settings.items()]
    changed = f"{len(own)} of the searched fields are as the user asked. " if own else ""
    text = f"{changed}All other fields are those of the starting recipe, trial 0."
    if compares(study.info):
        text = "The fields in which the recipes differ. All others are those of the first recipe, trial 0."
    if asked and asked["leave"]:
        text += f" The user left out {', '.join(asked['leave'])}."
    header = ("field", "values", *(["why"] if has_reasons else []))
    title = "What was compared" if compares(study.info) else "What was searched"
    return [Section(title=title, text=text, table=[header, *rows])]


def _only(entry: dict[str, object]) -> str:
    names = entry.get("optimizers")
    return f" (only {', '.join(names)})" if isinstance(names, list) else ""
