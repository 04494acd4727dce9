"""Online, offline or disabled mode from environment, netrc file and server."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
import requests
import wandb
from helpers.wandb_server import KEY, WandbServer

from leukemia.base.errors import UserError
from leukemia.tracking import account, request, server
from leukemia.tracking.account import api_key, check_settings, server_problem, wanted_mode
from leukemia.tracking.request import Answer
from search import run

pytestmark = pytest.mark.usefixtures("fresh_wandb")


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_mode_is_taken_from_the_environment(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", mode.upper())
    assert wanted_mode() == (mode, "WANDB_MODE")


def test_unknown_mode_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    with pytest.raises(UserError, match=r"WANDB_MODE: expected online, offline or disabled, got 'dryrun'"):
        wanted_mode()


def test_default_mode_depends_on_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    assert wanted_mode() == ("offline", "")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert wanted_mode() == ("online", "")


@pytest.mark.parametrize(
    ("machine", "server", "mode"),
    [
        ("api.wandb.ai", None, "online"),
        ("wandb.example", "https://wandb.example", "online"),
        ("api.wandb.ai", "https://wandb.example", "offline"),
        ("wandb.example", None, "offline"),
        ("wandb.example:8080", "http://wandb.example:8080", "online"),
        ("wandb.example", "http://wandb.example:8080", "offline"),
        ("wandb.example:9000", "http://wandb.example:8080", "offline"),
    ],
)
def test_login_is_valid_for_its_own_server_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, server: str | None, mode: str
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    if server is not None:
        monkeypatch.setenv("WANDB_BASE_URL", server)
    (tmp_path / "netrc").write_text(f"machine {machine}\n  login user\n  password {KEY}\n")
    assert wanted_mode() == (mode, "")


def test_login_in_a_settings_file_or_the_other_netrc_is_used(
    wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wanted_mode() == ("offline", "")
    host = wandb_server.url.removeprefix("http://")
    (tmp_path / "_netrc").write_text(f"machine {host}\n  login user\n  password {KEY}\n")
    assert wanted_mode() == ("online", "")
    assert server_problem() is None
    (tmp_path / "wandb" / "config").mkdir(parents=True)
    (tmp_path / "wandb" / "config" / "settings").write_text(f"[default]\napi_key = {KEY[::-1]}\n")
    assert api_key() == KEY[::-1]


def test_account_without_a_default_entity_is_reported(
    wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = {"viewer": {"id": "lab", "entity": None}}
    monkeypatch.setattr(wandb_server._store, "_do_viewer", lambda variables: viewer, raising=False)
    assert server_problem() == "the account has no default entity; set WANDB_ENTITY to the owner of the project"
    monkeypatch.setenv("WANDB_ENTITY", "lab")
    wandb.teardown()
    assert server_problem() is None


def test_default_login_is_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the user's login at other services."""
    monkeypatch.delenv("WANDB_MODE")
    (tmp_path / "netrc").write_text(f"default\n  login user\n  password {KEY}\n")
    assert wanted_mode() == ("offline", "")


@pytest.mark.parametrize("answer", ["null", "[]", '{"data": []}', '{"data": null}', "{}"])
def test_answer_of_another_service_is_reported(
    wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(Answer, "json", lambda self: json.loads(answer))
    assert re.search(r"/graphql is not W&B's API \(its answer has no data\)$", str(server_problem()))
    with pytest.raises(server.Unsupported, match="the answer has no data"):
        server.ask("query { viewer { id } }")


def test_server_that_accepts_the_key_can_be_used(wandb_server: WandbServer) -> None:
    assert server_problem() is None


def test_rejected_key_is_reported(wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY[::-1])
    wandb.teardown()
    assert re.search(r"http://127\.0\.0\.1:\d+/graphql returned 401 ", str(server_problem()))


def test_server_error_is_reported(wandb_server: WandbServer) -> None:
    wandb_server.fault = "500"
    assert re.search(r"/graphql returned 500 ", str(server_problem()))


def test_unreachable_server_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    assert server_problem() == f"http://127.0.0.1:{port}/graphql is unreachable (ConnectionError)"


def send(body: bytes, *, length: int, rest: bytes = b"") -> Callable[[socket.socket], None]:
    """Answers with ``body``, then with ``rest`` every 0.1 s."""

    def answer(client: socket.socket) -> None:
        received = b""
        while not received.endswith(b"}"):
            received += client.recv(65_536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)
        while rest:
            client.sendall(rest)
            time.sleep(0.1)

    return answer


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (send(b"<html>", length=6), r"is not W&B's API \(its answer is not JSON\)"),
        (send(b"[" * 100_000, length=100_000), r"is not W&B's API \(its answer is not JSON\)"),
        (send(b"{", length=500), "broke off its answer"),
        (send(b"{", length=500, rest=b" "), r"did not answer in 0\.5 s"),
    ],
    ids=["login page", "nested", "cut off", "byte by byte"],
)
def test_answer_that_is_none_is_reported(
    fresh_wandb: None, monkeypatch: pytest.MonkeyPatch, answer: Callable[[socket.socket], None], problem: str
) -> None:
    monkeypatch.setattr(request, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(account, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):
                        answer(client)

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert re.search(rf"/graphql {problem}$", str(server_problem()))
        error = server.Unsupported if "JSON" in problem else requests.RequestException
        with pytest.raises(error):
            server.ask("query { viewer { id } }")
        # Closing it alone does not end the thread's wait.
        listener.shutdown(socket.SHUT_RDWR)


def test_network_settings_of_wandb_are_obeyed(
    wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy, from variables or a file, and headers that it demands."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.invalid")
    monkeypatch.setenv("WANDB_X_EXTRA_HTTP_HEADERS", '{"X-Corporation": "1"}')
    monkeypatch.setenv("WANDB_HTTP_PROXY", wandb_server.url)
    assert server_problem() is None
    assert wandb_server.requests[-1].headers["x-corporation"] == "1"
    monkeypatch.delenv("WANDB_HTTP_PROXY")
    (tmp_path / "wandb" / "config").mkdir(parents=True)
    (tmp_path / "wandb" / "config" / "settings").write_text(f"[default]\nhttp_proxy = {wandb_server.url}\n")
    wandb.teardown()
    assert server_problem() is None
    assert server.runs_of("my-study") == {}


def test_certificates_are_not_checked_if_wandb_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = Mock(side_effect=requests.ConnectionError)
    monkeypatch.setattr(requests, "post", sent)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    for value, verify in (("false", True), ("true", False)):
        monkeypatch.setenv("WANDB_INSECURE_DISABLE_SSL", value)
        wandb.teardown()
        server_problem()
        assert sent.call_args.kwargs["verify"] is verify


def test_key_with_other_letters_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY[:-1] + "é")
    assert server_problem() == "the API key has characters that no key has; log in again (`wandb login`)"


def test_missing_key_is_reported() -> None:
    assert server_problem() == "no API key (`wandb login`)"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("WANDB_MODE", "nonsense", r"expected online, offline or disabled, got 'nonsense'; .*"),
        ("WANDB_BASE_URL", "localhost:8080", r"URL scheme should be 'http' or 'https'; fix or unset it .*"),
        ("WANDB_PROJECT", "a/b", r"Invalid project name 'a/b': .*; fix or unset it .*"),
    ],
)
def test_invalid_settings_are_rejected(monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"^{name}: {reason}$"):
        check_settings()
    with pytest.raises(UserError, match=f"^{name}: {reason}$"):
        run.main(["--data", "nowhere"])


def test_settings_in_upper_case_or_of_a_disabled_wandb_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "OFFLINE")
    check_settings()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_BASE_URL", "localhost:8080")
    check_settings()


def test_message_does_not_contain_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a secret, in full ")
    with pytest.raises(UserError, match=r"^WANDB_API_KEY: ") as caught:
        check_settings()
    assert "secret" not in str(caught.value)
