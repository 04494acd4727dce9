"""Imports point one way: between wings, and never to a command. Each heavy library stays in its wing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.wings import APART, COMMANDS, ROOT, WINGS

LIBRARIES = {
    "albumentations": {"leukemia.data"},
    "altair": {"leukemia.reporting"},
    "boto3": {"search.preflight"},
    "captum": {"leukemia.training"},
    "jinja2": {"leukemia.reporting"},
    "matplotlib": {"leukemia.reporting"},
    "onnx": {"leukemia.delivery"},
    "onnxruntime": {"leukemia.delivery"},
    "optuna": {"search.sampling"},
    "pyarrow": {"search.storage"},
    "ranger21": {"leukemia.training"},
    "ray": {"search.cluster"},
    "sklearn": {"leukemia.data"},
    "ttach": {"leukemia.training"},
    "vl_convert": {"leukemia.reporting"},
    "psutil": {"leukemia.tracking"},
    "wandb": {"leukemia.tracking"},
}
"""The wings that import a library. Nothing else has to change when the library does."""

WITHOUT_TORCH = {"leukemia.study", "leukemia.tracking", "leukemia.reporting"}
"""Wings that compute nothing: what they import, directly or not, imports neither torch nor albumentations."""

RAY_PRIVATE = "search.cluster.ray_private"
"""The one module that touches Ray's private parts, which may change with any release."""


def modules() -> dict[str, Path]:
    files = [path for package in ("leukemia", "search") for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports_of(source: str) -> set[str]:
    """Names of all modules that may be imported, also inside of functions; of ``from a import b`` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a search for a name finds them"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {name: imports_of(path.read_text(encoding="utf-8")) for name, path in modules().items()}


def wing_of(name: str) -> str | None:
    """The wing that a module of ours is in, None for a package itself, a command or another library."""
    wing = ".".join(name.split(".")[:2])
    return wing if wing in (*WINGS, *APART) else None


def is_command(name: str) -> bool:
    """Whether a module is what ``python -m`` runs."""
    package, _, rest = name.partition(".")
    return (wing_of(name) is None and rest in COMMANDS.get(package, ())) or name.endswith(".__main__")


def test_a_package_holds_commands_and_wings_only() -> None:
    for package, commands in COMMANDS.items():
        wings = {name.partition(".")[2] for name in (*WINGS, *APART) if name.startswith(f"{package}.")}
        found = {path.stem if path.is_file() else path.name for path in (ROOT / package).iterdir()}
        assert found - {"__init__", "__pycache__", "py"} - {"py.typed"} == commands | wings
        for command in commands:
            place = ROOT / package / command
            assert (place / "__main__.py").is_file() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_from_below(wing: str) -> None:
    allowed = set(WINGS[: WINGS.index(wing) + 1])
    for name, found in IMPORTS.items():
        if wing_of(name) == wing:
            above = {module for module in found if wing_of(module) not in (None, *allowed)}
            assert not above, f"{name} imports {sorted(above)}, which are above {wing}"


@pytest.mark.parametrize("wing", APART)
def test_a_wing_apart_is_imported_by_nothing(wing: str) -> None:
    for name, found in IMPORTS.items():
        if wing_of(name) != wing:
            assert wing not in {wing_of(module) for module in found}, name
            continue
        for module in found:
            ours = module.split(".")[0] in COMMANDS and module.count(".") > 1
            inside = wing_of(module) in (None, wing, *APART[wing])
            assert not ours or inside or module.startswith(tuple(APART[wing])), f"{name} imports {module}"


def test_nothing_imports_a_command() -> None:
    for name, found in IMPORTS.items():
        assert not [module for module in found if is_command(module)], name


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_heavy_library_stays_in_its_wing(library: str) -> None:
    users = {name for name, found in IMPORTS.items() if library in {module.split(".")[0] for module in found}}
    assert {wing_of(name) for name in users - {RAY_PRIVATE}} == LIBRARIES[library], users


def test_studies_are_reported_and_published_without_torch() -> None:
    found, more = set(), {name for name in IMPORTS if wing_of(name) in WITHOUT_TORCH}
    while more:
        found |= more
        # A package itself imports what its functions need when they are called (tests/commands/test_help.py).
        more = {module for name in more - COMMANDS.keys() for module in IMPORTS[name] if module in IMPORTS} - found
    assert {wing_of(name) for name in found} >= {"leukemia.config", "leukemia.scoring", *WITHOUT_TORCH}
    for name in found - COMMANDS.keys():
        assert {module.split(".")[0] for module in IMPORTS[name]}.isdisjoint({"torch", "albumentations"}), name


def test_rays_private_parts_are_in_one_file() -> None:
    private = {
        name for name, found in IMPORTS.items() if any(module.startswith("ray.") and "._" in module for module in found)
    }
    assert private == {RAY_PRIVATE}


def test_imports_are_read_from_everywhere() -> None:
    source = "import a.b\nfrom c import d\ndef f():\n    import e\nif True:\n    from g.h import i as j\n"
    assert imports_of(source) == {"a.b", "c", "c.d", "e", "g.h", "g.h.i"}


def test_the_winner_is_retrained_without_ray_and_optuna() -> None:
    code = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "optuna", "search", "wandb"):
            raise ModuleNotFoundError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Absent())
import leukemia.evaluate, leukemia.final, leukemia.predict, leukemia.report
import leukemia.delivery.final_training, leukemia.delivery.delivered_model, leukemia.reporting.study_report
try:
    import optuna
except ModuleNotFoundError:
    print("without")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout == "without\n", ended.stderr
