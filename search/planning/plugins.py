"""The plug-ins of a study: recorded by name and SHA-256, checked before the first trial, and the same when resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leukemia.base.errors import UserError
from leukemia.config.plugins import OPEN_FIELDS
from leukemia.config.recipe import BUILT_IN, Recipe
from leukemia.data.plugged_transforms import check_augmentations
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registry import check_used, names_in
from leukemia.study import layout
from leukemia.study.field_types import PluginRecord
from leukemia.training.plugged import check_network, check_optimizer
from search.policy.space import Space, searched_names


def plugins_of(files: Sequence[PluginFile]) -> dict[str, PluginRecord]:
    """What the study records of files that have been run, by registered name."""
    return {
        name: PluginRecord(kind=kind, sha256=file.sha256, file=file.name)
        for file in files
        for name, kind in names_in(file).items()
    }


def check_plugins(files: Sequence[PluginFile], space: Space) -> None:
    """Check that every file has an effect, and that what it adds can be built for images of this study.

    Raises:
        UserError: nothing of a file is used, or a network, an optimizer or an augmentation does not do what it must.
    """
    if not files:
        return
    recipes = recipes_with(space)
    check_used(files, {name for recipe in recipes for name, _ in recipe.plugins}, "the search")
    for recipe in recipes:
        if not recipe.model.is_resnet:
            check_network(recipe)
        if recipe.optimizer.name not in BUILT_IN["optimizer"]:
            check_optimizer(recipe)
    assert space.start.data.size_px is not None
    check_augmentations(space.start, space.start.data.size_px)


def recipes_with(space: Space) -> list[Recipe]:
    """The starting recipe and recipes with each network and each optimizer of a space, in gray and color if that is
    searched."""
    found = [space.start]
    for key in OPEN_FIELDS:
        found += [space.recipe({key: name}) for name in searched_names(space.dimensions, key) or ()]
    if all(each.key != "data.grayscale" for each in space.dimensions):
        return found
    return [each.with_settings({"data.grayscale": grayscale}) for each in found for grayscale in (False, True)]


def require_same_plugins(files: Sequence[PluginFile], recorded: Mapping[str, PluginRecord], study: str) -> None:
    """Check that a study is resumed with the very plug-ins that it was started with.

    Raises:
        UserError: one is missing, has another text, or is new.
    """
    given = {file.name: file for file in files}
    by_sha256 = {file.sha256 for file in files}
    for name, plugin in recorded.items():
        if plugin.sha256 in by_sha256:
            continue
        copy = f"a copy is {layout.PLUGINS}/{plugin.file} in the study's folder"
        if plugin.file in given:
            raise UserError(
                f"--plugin {plugin.file}: study {study} was started with another text of it (SHA-256 "
                f"{plugin.sha256[:16]}..., got {given[plugin.file].sha256[:16]}...); give that one ({copy}), or start "
                "a new study"
            )
        raise UserError(
            f"--plugin: study {study} uses {name!r} of {plugin.file} (SHA-256 {plugin.sha256[:16]}...), which is not "
            f"named; add --plugin FILE.py, which runs it with all your rights ({copy})"
        )
    known = {plugin.sha256 for plugin in recorded.values()}
    if new := [file.name for file in files if file.sha256 not in known]:
        raise UserError(f"--plugin {new[0]}: study {study} was started without it; leave it out, or start a new study")
