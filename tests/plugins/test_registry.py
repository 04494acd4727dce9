"""Loading plug-ins: what they register, every mistake in one line, and that nothing runs that was not named."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
from helpers.plugins import AUGMENTATION, NETWORK, OPTIMIZER, unknown, written

from leukemia.base.errors import MissingFile, UserError
from leukemia.config.recipe import Recipe
from leukemia.plugins.plugin_file import PluginFile
from leukemia.plugins.registry import check_files, load, load_named, names_in, require_loaded

BOMB = "from pathlib import Path\nPath(__file__ + '.ran').touch()\nraise SystemExit('it ran')\n"


def recipe_of(**settings: object) -> Recipe:
    return Recipe().with_settings({key.replace("__", "."): value for key, value in settings.items()})


def test_names_become_values_and_fields(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a plug-in's name needs its --plugin FILE.py$"):
        recipe_of(model__network="tiny")
    files = load_named(written(tmp_path))
    assert [names_in(file) for file in files] == [
        {"tiny": "network"},
        {"plain": "optimizer"},
        {"swap": "augmentation"},
    ]
    recipe = recipe_of(model__network="tiny", optimizer__name="plain", augment__swap=0.25)
    assert recipe.describe() == "tiny, color, plain 5.0e-02"
    assert recipe.optimizer.weight_decay == 0.001
    assert recipe.model.depth is None
    hashes = {
        name: hashlib.sha256((tmp_path / f"{name}.py").read_bytes()).hexdigest() for name in ("plain", "swap", "tiny")
    }
    assert dict(recipe.plugins) == hashes
    assert recipe.flat()["plugin.tiny"] == hashes["tiny"]
    assert recipe.flat()["augment.swap"] == 0.25
    assert Recipe.from_json(recipe.to_json()) == recipe
    # What is no longer used is no longer needed.
    plain = recipe.with_settings({"model.network": "resnet", "optimizer.name": "adamw"})
    assert (plain.model.depth, plain.model.shortcut) == (18, "add")
    assert [name for name, _ in plain.plugins] == ["swap"]


def test_recipes_are_read_without_their_plugins_and_built_only_with_them(tmp_path: Path) -> None:
    paths = written(tmp_path)
    load_named(paths)
    recipe = recipe_of(model__network="tiny", optimizer__name="plain", augment__swap=0.5)
    text, copies = recipe.to_json(), tmp_path
    with unknown():
        found = Recipe.from_json(text)
        assert found.flat() == recipe.flat()
        assert found.with_settings({"train.epochs": 3}).plugins == recipe.plugins
        named = rf"^the plug-in '.+' of this recipe is .*which has not been named; .*; a copy is {tmp_path}/\w+.py$"
        with pytest.raises(UserError, match=named):
            require_loaded(found, copies=copies)
        # Its names are known now, but a new recipe needs the file.
        with pytest.raises(UserError, match=r"^tiny: the recipe uses this network of a plug-in; name its file with"):
            recipe_of(model__network="tiny")
        load_named(paths)
        require_loaded(found)


def test_another_text_is_refused(tmp_path: Path) -> None:
    load_named(written(tmp_path, tiny=NETWORK))
    recipe = recipe_of(model__network="tiny")
    with unknown():
        files = load_named(written(tmp_path / "new", tiny=NETWORK + "# Only a comment.\n"))
        same = Recipe.from_json(recipe.to_json())
        with pytest.raises(UserError, match=r"^the plug-in 'tiny' of .* and --plugin tiny.py has another text; name"):
            require_loaded(same)
        with pytest.raises(
            UserError, match=r"^--plugin tiny.py: the model was trained with another text of the plug-in"
        ):
            check_files(files, same, "the model")
        # A file that was trained with counts by its text, whatever its name.
        check_files(load_named(written(tmp_path / "old", other=NETWORK)), same, "the model")
        require_loaded(same)


def test_a_file_that_is_not_used_is_refused(tmp_path: Path) -> None:
    files = load_named(written(tmp_path))
    recipe = recipe_of(model__network="tiny")
    with pytest.raises(UserError, match=r"^--plugin plain.py: the model uses nothing of it \(plain\); leave it out"):
        check_files(files, recipe, "the model")


def test_a_worker_loads_the_text(tmp_path: Path) -> None:
    files = load_named(written(tmp_path, tiny=NETWORK))
    recipe = recipe_of(model__network="tiny")
    sent = pickle.dumps((files, recipe))
    with unknown():
        found, same = pickle.loads(sent)
        load(found)
        require_loaded(same)
        assert recipe_of(model__network="tiny") == same


def test_a_file_is_run_once(tmp_path: Path) -> None:
    counted = NETWORK + f"\nwith open({str(tmp_path / 'runs')!r}, 'a') as stream:\n    stream.write('x')\n"
    paths = written(tmp_path, tiny=counted)
    load_named(paths)
    load_named([*paths, *paths])
    assert (tmp_path / "runs").read_text() == "x"


def test_a_file_is_run_as_python_runs_it(tmp_path: Path) -> None:
    # Without what the registry imports from __future__.
    load_named(written(tmp_path, tiny=NETWORK + "\nside: int = 1\nassert __annotations__ == {'side': int}\n"))


def test_reading_runs_nothing(tmp_path: Path) -> None:
    (path,) = written(tmp_path, bomb=BOMB)
    file = PluginFile.read(path)
    copy = tmp_path / "copies"
    file.write(copy)
    assert (copy / "bomb.py").read_bytes() == path.read_bytes()
    assert pickle.loads(pickle.dumps(file)) == file
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["bomb.py", "bomb.py", "copies"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"it registers nothing; expected a function below @network, @optimizer or @augmentation"),
        ("import no_such_package\n", r", line 1: it needs the package no_such_package, which is not installed"),
        ("x = 1\nraise RuntimeError('no')\n", r", line 2: RuntimeError: no; correct the file"),
        ("x = (\n", r", line 1: SyntaxError"),
        (NETWORK.replace('"tiny"', '"Tiny"'), r"@network\('Tiny'\): expected a name of lowercase letters"),
        (NETWORK.replace('"tiny"', '"resnet"'), r"@network\('resnet'\): the name is built in; choose another"),
        (OPTIMIZER.replace('"plain"', '"adamw"'), r"@optimizer\('adamw'\): the name is built in"),
        (AUGMENTATION.replace('"swap"', '"blur"'), r"@augmentation\('blur'\): the name is built in"),
        (NETWORK + NETWORK, r"@network\('tiny'\): the name is registered twice"),
        (
            NETWORK.replace("in_channels, num_classes):", "channels):"),
            r"expected a function with the arguments \(recipe, in_channels, num_classes\), got \(recipe, channels\)",
        ),
        (
            AUGMENTATION.replace("def swap(p):", "def swap():"),
            r"expected a function with the arguments \(p\), got \(\)",
        ),
    ],
)
def test_mistakes_in_a_file_are_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^--plugin own.py.*{message}") as raised:
        load_named(written(tmp_path, own=text))
    assert len(str(raised.value).splitlines()) == 1


def test_mistakes_in_files_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"^--plugin .*gone.py: no such file; expected a Python file"):
        load_named([tmp_path / "gone.py"])
    (tmp_path / "a b.py").write_text(NETWORK)
    with pytest.raises(UserError, match=r"^--plugin .*a b.py: expected a name of letters"):
        load_named([tmp_path / "a b.py"])
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")
    with pytest.raises(UserError, match=r"latin.py: expected Python source in UTF-8"):
        load_named([tmp_path / "latin.py"])
    (tmp_path / "long.py").write_bytes(b"#" * 1_000_001)
    with pytest.raises(UserError, match=r"long.py: expected at most 1,000,000 bytes of Python, got 1,000,001"):
        load_named([tmp_path / "long.py"])
    one, two = written(tmp_path / "1", tiny=NETWORK), written(tmp_path / "2", tiny=NETWORK + "#")
    with pytest.raises(UserError, match=r"^--plugin: two files are called tiny.py; rename one of them$"):
        load_named([*one, *two])
    other = written(tmp_path / "3", other=NETWORK)
    with pytest.raises(UserError, match=r"^--plugin: tiny.py and other.py both register 'tiny'; rename one"):
        load_named([*one, *other])
