"""W&B's own settings are obeyed, from files and variables alike; those that cannot be are named."""

from __future__ import annotations

import json
import logging
import pwd
import shutil
from pathlib import Path

import pytest
import wandb
from helpers.studies import change_info
from helpers.tracked import folders, make_study, of_kind, records, run_trial
from helpers.wandb_server import KEY, WandbServer

from leukemia.base.errors import UserError
from leukemia.base.record import write_record
from leukemia.study import layout
from leukemia.study.folder import Study
from leukemia.tracking import settings
from leukemia.tracking.account import check_settings, server_problem, wanted_mode
from leukemia.tracking.final_upload import track_final
from leukemia.tracking.publish import publish
from leukemia.tracking.settings import DECIDED, FIXED, IGNORED, ignored, resolved
from leukemia.tracking.sweep import existing_sweep
from leukemia.tracking.tracker import NoTracker, WandbTracker, make_tracker

pytestmark = pytest.mark.usefixtures("fresh_wandb", "workspace")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with ``wandb/settings``, where ``wandb offline`` and ``wandb init`` write."""
    folder = tmp_path / "workspace"
    (folder / "wandb").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "my-study")


def write_settings(folder: Path, **values: str) -> Path:
    path = folder / "settings"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["[default]", *(f"{key} = {value}" for key, value in values.items())]) + "\n")
    return path


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_mode_of_the_settings_file_is_obeyed_with_a_key(
    mode: str, study: Study, wandb_server: WandbServer, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``wandb offline`` and ``wandb disabled`` write it."""
    monkeypatch.delenv("WANDB_MODE")
    path = write_settings(workspace / "wandb", mode=mode)
    tracker, message = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    assert (
        message
        == {
            "offline": f"W&B: offline in {study.folder / 'wandb'} (set by {path})",
            "disabled": f"W&B: disabled by {path}",
        }[mode]
    )
    assert (len(folders(study)) == 1) == (mode == "offline")
    assert wandb_server.requests == []


def test_variable_takes_precedence_over_files_and_workspace_over_home(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    home = write_settings(tmp_path / "wandb" / "config", mode="disabled")
    assert wanted_mode() == ("disabled", str(home))
    path = write_settings(workspace / "wandb", mode="offline")
    assert wanted_mode() == ("offline", str(path))
    monkeypatch.setenv("WANDB_MODE", "online")
    assert wanted_mode() == ("online", "WANDB_MODE")


def test_disabled_wandb_is_stated_by_final_and_publish(
    study: Study, workspace: Path, wandb_server: WandbServer
) -> None:
    path = write_settings(workspace / "wandb", mode="disabled")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE")
        assert track_final(study, layout.FINAL) == f"W&B: disabled by {path}"
        with pytest.raises(
            UserError, match=rf"^W&B: disabled by {path}; nothing was uploaded\. Fix that and try again$"
        ):
            publish(study, print)
    assert wandb_server.requests == []


def test_offline_mode_does_not_prevent_publishing(
    study: Study, workspace: Path, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``wandb sync``: the user asks for the upload."""
    monkeypatch.delenv("WANDB_MODE")
    write_settings(workspace / "wandb", mode="offline")
    run_trial(study, NoTracker(), 0)
    publish(study, lambda message: None)
    assert wandb_server.runs["c0ffee00-0000"].complete
    assert len(wandb_server.sweeps) == 1


def test_runs_and_sweep_are_in_the_configured_place(study: Study, wandb_server: WandbServer, workspace: Path) -> None:
    write_settings(workspace / "wandb", entity="team", project="cells")
    tracker, message = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    places = {(each.entity, each.project) for each in (*wandb_server.runs.values(), *wandb_server.sweeps.values())}
    assert places == {("team", "cells")}
    assert f"{wandb_server.url}/team/cells/sweeps/" in message
    assert existing_sweep(study) is not None


def test_tags_notes_and_group_are_those_of_the_user(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_TAGS", "ward-7,add")
    monkeypatch.setenv("WANDB_NOTES", "first try")
    monkeypatch.setenv("WANDB_RUN_GROUP", "spring")
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    (head,) = of_kind(records(*folders(study)), "run")
    assert head["tags"] == ["depth-18", "ranger21", "add", "grouped", "ward-7"]
    assert (head["notes"], head["run_group"]) == ("first try", "spring")


def test_group_of_the_user_is_checked_for_completeness(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_GROUP", "spring")
    tracker, message = make_tracker(study)
    run_trial(study, tracker, 0)
    assert tracker.close(finished=True) == message
    assert {run.group for run in wandb_server.runs.values()} == {"spring"}


def test_settings_of_a_single_run_have_no_effect_and_are_named(
    study: Study, workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_settings(workspace / "wandb", run_group="spring", resume="must")
    for name, value in {
        "NAME": "theirs",
        "JOB_TYPE": "theirs",
        "DIR": str(workspace / "elsewhere"),
        "RUN_ID": "theirs",
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    with caplog.at_level(logging.WARNING):
        check_settings()
    assert caplog.messages == [
        "W&B: these settings have no effect on the runs of a study: WANDB_DIR, WANDB_JOB_TYPE, "
        f"WANDB_NAME, WANDB_RUN_ID, resume in {path}"
    ]
    tracker, _ = make_tracker(study)
    run_trial(study, tracker, 0)
    tracker.close(finished=True)
    (head,) = of_kind(records(*folders(study)), "run")
    assert (head["display_name"], head["job_type"], head["run_group"]) == ("my-study-0000", "trial", "spring")
    assert head["run_id"] == "c0ffee00-0000"


def test_whatever_has_no_effect_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings that are fixed, ways to log in other than a key, and names that W&B does not know."""
    before = ignored()
    obeyed = {"TAGS": "a", "ORGANIZATION": "b", "HTTP_TIMEOUT": "9", "CACHE_DIR": str(tmp_path), "DEBUG": "false"}
    same = {"SILENT": "True", "CONSOLE": "off", "_DISABLE_STATS": "1"}
    for name, value in {**obeyed, **same}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    assert ignored() == before
    without = {"CONSOLE": "wrap", "IDENTITY_TOKEN_FILE": "t", "INIT_TIMEOUT": "9", "PROJCT": "x", "SAVE_CODE": "true"}
    for name, value in without.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    assert ignored() == sorted([*before, *(f"WANDB_{name}" for name in without)])
    assert resolved().identity_token_file is None


def test_the_settings_with_a_rule_are_wandbs_own() -> None:
    """A new version may rename some."""
    assert {*IGNORED, *FIXED, *DECIDED} <= wandb.Settings.model_fields.keys()


def test_a_value_that_wandb_cannot_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_CONFIG_PATHS", "defaults.yaml")
    with pytest.raises(UserError, match=r"^WANDB_CONFIG_PATHS: .*; fix or unset it"):
        check_settings()


def test_git_state_is_not_sent(study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of a repository may contain a password."""
    for name, value in {
        "GIT_REMOTE_URL": "https://user:secret@host/repository",
        "GIT_COMMIT": "secret",
        "GIT_REMOTE": "secret",
        "GIT_ROOT": "/secret",
        "DISABLE_GIT": "false",
    }.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    # W&B has read its settings before.
    wandb.teardown()
    assert ignored() == [
        "WANDB_DISABLE_GIT",
        "WANDB_GIT_COMMIT",
        "WANDB_GIT_REMOTE",
        "WANDB_GIT_REMOTE_URL",
        "WANDB_GIT_ROOT",
    ]
    for tracker in (make_tracker(study)[0], WandbTracker(study, mode="offline")):
        run_trial(study, tracker, 0)
        tracker.close(finished=False)
        shutil.rmtree(study.trial_folder(0))
    sent = str([(request.variables, request.headers) for request in wandb_server.requests])
    local = [path for path in study.folder.rglob("*.wandb") if b"secret" in path.read_bytes()]
    assert ("secret" in sent, local) == (False, [])


@pytest.mark.parametrize("value", ["true", "1", "Yes"])
def test_old_variable_disables_wandb(study: Study, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WANDB_DISABLED", value)
    monkeypatch.setenv("WANDB_MODE", "online")
    assert make_tracker(study)[1] == track_final(study, layout.FINAL) == "W&B: disabled by WANDB_DISABLED"
    with pytest.raises(UserError, match=r"W&B: disabled by WANDB_DISABLED; nothing was uploaded"):
        publish(study, print)
    monkeypatch.setenv("WANDB_DISABLED", "false")
    assert wanted_mode() == ("online", "WANDB_MODE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[default]\nmode = offlin\n", r"{path}: expected online, offline or disabled, got 'offlin'; .*"),
        ("[default]\nmode = offline\ndisabled = true\n", r"{path}: disabled: Extra inputs are not permitted; fix .*"),
        ("mode = offline\n", r"{path}: W&B's settings cannot be read \(File contains no section headers.*\); fix .*"),
    ],
)
def test_settings_file_that_wandb_would_ignore_is_rejected(
    workspace: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    path = workspace / "wandb" / "settings"
    path.write_text(text)
    with pytest.raises(UserError, match=f"^{message.format(path=path)}$"):
        check_settings()


def test_without_a_home_directory_wandb_can_only_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_MODE"):
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match=r"^W&B: there is no home directory with its settings; set HOME or "):
        check_settings()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    check_settings()


def test_other_settings_of_the_file_are_accepted(workspace: Path) -> None:
    write_settings(workspace / "wandb", ignore_globs="a,b", base_url="https://wandb.example", project="cells")
    check_settings()
    assert (settings.base_url(), settings.project()) == ("https://wandb.example", "cells")


def test_password_in_the_url_reaches_no_file_and_no_message(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("WANDB_BASE_URL", wandb_server.url.replace("://", "://user:pass@word@"))
    check_settings()
    tracker, message = make_tracker(study)
    run_trial(study, tracker, 0)
    assert tracker.close(finished=True) == message
    assert f"W&B: {wandb_server.url}/lab/leukemia-search/sweeps/" in message
    texts = [path.read_bytes() for path in study.folder.rglob("*") if path.is_file()]
    assert not [text for text in [*texts, caplog.text.encode()] if b"pass@word" in text or b"word@" in text]


def test_password_in_the_settings_file_is_not_shown(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    write_settings(workspace / "wandb", base_url="http://user:password@127.0.0.1:9")
    assert server_problem() == "http://127.0.0.1:9/graphql is unreachable (ConnectionError)"
    monkeypatch.setenv("WANDB_BASE_URL", "https://user:password@wandb.ai")
    with pytest.raises(UserError, match=r"^WANDB_BASE_URL: ") as caught:
        check_settings()
    assert "password" not in str(caught.value)


def test_sweep_of_an_earlier_version_with_a_password_is_found(study: Study, wandb_server: WandbServer) -> None:
    tracker, _ = make_tracker(change_info(study, trials=1))
    tracker.close(finished=True)
    path = study.folder / "sweep.json"
    content = json.loads(path.read_text())
    write_record(path, content | {"server": content["server"].replace("http://", "http://user:password@")})
    assert existing_sweep(study) is not None


@pytest.mark.parametrize("content", ["ward:\n  value: Jane Doe\n", "a: [", "a: 1\n"])
def test_config_defaults_are_not_sent(
    study: Study, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    """The file may belong to another project; an invalid one would make W&B fail."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config-defaults.yaml").write_text(content)
    tracker, message = make_tracker(study)
    assert tracker.close(finished=False) == message
    assert wandb_server.runs["c0ffee00-search"].config.keys() == {"search", "provenance"}
