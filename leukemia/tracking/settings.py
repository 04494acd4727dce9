"""W&B's settings of this machine: its settings files, then ``WANDB_*`` variables, as resolved by W&B itself."""

from __future__ import annotations

import configparser
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

# Set before wandb is imported: it prints nothing to the terminal, and sends no error reports to W&B.
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
# Set by a parent process that uses W&B itself; its W&B process ends with it.
os.environ.pop("WANDB_SERVICE", None)

import wandb

from leukemia.base.errors import UserError
from leukemia.base.provenance import without_credentials

PROJECT = "leukemia-search"
"""W&B project, unless W&B's settings name another."""

MODES = ("online", "offline", "disabled")
"""Accepted modes. W&B's old names, such as ``dryrun``, must not result in online mode."""

IGNORED = (
    *("run_name", "run_job_type", "run_id", "root_dir"),
    *("resume", "resume_from", "fork_from", "sweep_id", "sweep_param_path", "launch"),
    *("git_commit", "git_remote", "git_remote_url", "git_root"),
    *("identity_token_file", "credentials_file"),
)
"""W&B's settings that have no effect: those of a single run, since a study decides the names, ids, folders and the
sweep of its runs; the state of a git repository, whose URL may contain a password and is not sent; and identity tokens,
since only an API key is used."""

FIXED: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "show_info": False,
    "show_warnings": False,
    "disable_git": True,
    # Those of the environment are recorded nevertheless.
    "git_remote_url": "",
    "git_commit": "",
    "save_code": False,
    "x_save_requirements": False,
    "x_disable_stats": True,
    "x_disable_meta": True,
    # By default the path of the script.
    "program": "",
    # On SageMaker, the training job's name would replace the run's id.
    "sagemaker_disable": True,
    "finish_timeout_raises": True,
    "reinit": "create_new",
}
"""Settings of every run, which prints nothing and collects nothing on its own (git state, code, system metrics)."""

DECIDED = ("init_timeout", "finish_timeout")
"""Settings whose values depend on what a run is opened for."""

NO_SETTINGS = (
    *("WANDB_DISABLED", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR"),
    *("WANDB_DEBUG", "WANDB_CORE_DEBUG", "WANDB_ERROR_REPORTING", "WANDB_SERVICE"),
)
"""Variables that have an effect although they are no settings; other such names, as misspelled ones, have none."""

FALSE = ("", "0", "false", "no", "off")
"""Values of ``WANDB_DISABLED`` that do not disable W&B, in lower case."""

UNCHECKED = ("anonymous", "ignore_globs", "root_dir", "settings_system")
"""Settings in a file that W&B does not pass to ``wandb.Settings`` as they are."""


def resolved() -> wandb.Settings:
    """W&B's settings, without ``IGNORED`` and without credentials in URLs. Call it before any other use of W&B.

    W&B authenticates with the API key only: credentials in a URL have no effect, but would be written to its logs.
    """
    for name in ("WANDB_BASE_URL", "WANDB_APP_URL"):
        if name in os.environ:
            os.environ[name] = without_credentials(os.environ[name])
    if mode := os.environ.get("WANDB_MODE"):
        os.environ["WANDB_MODE"] = mode.lower()
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        if not os.environ.get(name):
            os.environ[name] = str(Path(_copies().name) / name)
    settings = wandb.setup().settings
    for name in IGNORED:
        setattr(settings, name, wandb.Settings.model_fields[name].get_default(call_default_factory=True))
    settings.base_url = without_credentials(settings.base_url)
    settings.app_url_override = settings.app_url_override and without_credentials(settings.app_url_override)
    return settings


@functools.cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    """Where W&B copies what it uploads, removed when this process ends. W&B would keep it in the home directory."""
    return tempfile.TemporaryDirectory(prefix="leukemia-wandb-", ignore_cleanup_errors=True)


def project() -> str:
    """The W&B project of all runs."""
    return str(resolved().project or PROJECT)


def entity() -> str:
    """The configured owner of the project; empty for the account's default entity."""
    return str(resolved().entity or "")


def key() -> str:
    """The API key in W&B's settings files; empty if there is none.

    Raises:
        UserError: a settings file cannot be read.
    """
    return next((found["api_key"] for _, found in reversed(_files()) if "api_key" in found), "")


def base_url() -> str:
    """URL of W&B's server: ``WANDB_BASE_URL``, the host of ``wandb login --host``, or W&B's default."""
    return str(resolved().base_url).rstrip("/")


def default_url() -> str:
    """URL of W&B's cloud."""
    return str(wandb.Settings().base_url).rstrip("/")


def tags() -> tuple[str, ...]:
    """Tags of all runs, in addition to those of each (``WANDB_TAGS``)."""
    return tuple(resolved().run_tags or ())


def ignore_globs() -> tuple[str, ...]:
    """Patterns of files that W&B's client does not upload (``WANDB_IGNORE_GLOBS``)."""
    return tuple(resolved().ignore_globs or ())


def group(study: str) -> str:
    """The group of a study's runs: ``WANDB_RUN_GROUP``, else the study's name."""
    return str(resolved().run_group or study)


def place(study: str) -> str:
    """Project and group of a study's runs, for messages."""
    return f"project {project()}, group {group(study)}"


def mode() -> tuple[str, str]:
    """The configured mode, and the variable or file that sets it; both empty if none does.

    ``WANDB_DISABLED``, which W&B itself no longer reads, takes precedence. Read without W&B, which ignores a whole
    file, and so its mode, if one of its settings is invalid.

    Raises:
        UserError: the mode is not one of ``MODES``, or a settings file cannot be read.
    """
    if os.environ.get("WANDB_DISABLED", "").lower() not in FALSE:
        return "disabled", "WANDB_DISABLED"
    if variable := os.environ.get("WANDB_MODE"):
        found = [(variable.lower(), "WANDB_MODE")]
    else:
        found = [(settings["mode"], str(path)) for path, settings in _files() if "mode" in settings]
    if not found:
        return "", ""
    value, source = found[-1]
    if value not in MODES:
        raise UserError(f"{source}: expected online, offline or disabled, got {value!r}; set one of these or unset it")
    return value, source


def problem() -> str | None:
    """The first setting of this machine that W&B rejects, with the reason; None if all are valid.

    Raises:
        UserError: a settings file cannot be read.
    """
    for name, value in _variables().items():
        try:
            _setting(name, value)
        except Exception as error:
            return f"{name}: {_reason(error)}"
    for path, settings in _files():
        for key in settings.keys() - set(UNCHECKED):
            try:
                wandb.Settings(**{key: settings[key]})
            except Exception as error:
                return f"{path}: {key}: {_reason(error)}"
    try:
        resolved()
    except Exception as error:
        return f"W&B's settings: {_reason(error)}"
    return None


def ignored() -> list[str]:
    """The given settings that have no effect, as variables, or as keys of a file."""
    variables = [name for name, value in _variables().items() if _has_no_effect(name, value)]
    without = {*IGNORED, *FIXED, *DECIDED}
    return variables + [f"{key} in {path}" for path, settings in _files() for key in settings if key in without]


def _has_no_effect(variable: str, value: str) -> bool:
    """Whether a variable of a valid value has no effect."""
    name, parsed = _setting(variable, value)
    if name is None:
        return variable not in NO_SETTINGS
    return name in IGNORED or name in DECIDED or (name in FIXED and parsed != FIXED[name])


def _variables() -> dict[str, str]:
    """W&B's variables; the mode in lower case, and URLs without credentials."""
    found = {name: value for name, value in sorted(os.environ.items()) if name.startswith("WANDB_")}
    return {
        name: value.lower() if name == "WANDB_MODE" else without_credentials(value) for name, value in found.items()
    }


def _setting(variable: str, value: str) -> tuple[str | None, Any]:
    """The setting that a variable sets, and its value; None if it sets none.

    Raises:
        Exception: W&B rejects the value.
    """
    settings = wandb.Settings()
    before = set(settings.model_fields_set)
    settings.update_from_env_vars({variable: value})
    name = next(iter(settings.model_fields_set - before), None)
    return name, None if name is None else getattr(settings, name)


def _files() -> list[tuple[Path, dict[str, str]]]:
    """W&B's settings files and their settings; later ones take precedence.

    Raises:
        UserError: a file cannot be read, which W&B would ignore; or there is no home directory to look in.
    """
    try:
        system = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser() / "settings"
    except RuntimeError:
        raise UserError(
            "W&B: there is no home directory with its settings; set HOME or WANDB_CONFIG_DIR, or WANDB_MODE=disabled"
        ) from None
    found = []
    for path in (system, Path(wandb.Settings().settings_workspace)):
        parser = configparser.ConfigParser()
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
            found.append((path, dict(parser.items("default"))))
        except (FileNotFoundError, NotADirectoryError, configparser.NoSectionError):
            continue
        except (OSError, ValueError, configparser.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else _reason(error)
            raise UserError(f"{path}: W&B's settings cannot be read ({reason}); fix or delete the file") from None
    return found


def _reason(error: Exception) -> str:
    """The error message without the value, which may be a key."""
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"]) if callable(errors) else str(error).partition("\n")[0]
