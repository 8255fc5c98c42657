"""A provider of a server: named by its address, recording into a spool of this user's, and raising nothing new."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stepstream
from stepstream import (
    ArtifactRefused,
    ConfigurationInvalid,
    ObservabilityProvider,
    Thought,
    UnsafeLocation,
    attach_context,
    child_env,
    context_token,
    log_event,
)
from stepstream.sdk.open_providers import close_providers, default_provider
from stepstream.testing.spool_steps import logged_steps

URL = "http://127.0.0.1:9"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where steps for servers wait; nobody ships them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPSTREAM_SPOOL_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("STEPSTREAM_COMMITTER", "none")
    for name in ("STEPSTREAM_DB", "STEPSTREAM_CONTEXT", "STEPSTREAM_STRICT", "STEPSTREAM_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path / "state"
    close_providers()


def texts(provider: ObservabilityProvider) -> list[str]:
    return [
        step.payload.text for step in logged_steps(provider.database) if isinstance(step.payload, Thought)
    ]


def test_steps_for_a_server_are_recorded_here(state: Path) -> None:
    """Nothing is created before the first step; then the spool lies in a directory that is nobody else's."""
    provider = ObservabilityProvider(URL + "/")
    assert provider.address == URL
    assert repr(provider) == f"<stepstream provider of {URL}>"
    assert provider.flush(timeout_s=0.1)
    assert not state.exists()

    with provider, provider.episode("remote") as episode:
        episode.log_event(Thought(text="here"))
    (place,) = state.iterdir()
    assert place.name.startswith("127-0-0-1-9-")
    assert texts(provider) == ["here"]
    for path in (state, place, *place.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not provider.flush(timeout_s=0.05)


def test_the_environment_may_name_a_server(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STEPSTREAM_DB may hold an address; code that holds no provider records for it."""
    monkeypatch.setenv("STEPSTREAM_DB", URL)
    with stepstream.episode("ambient"):
        log_event(Thought(text="here"))

    assert default_provider().address == URL
    assert texts(default_provider()) == ["here"]


def test_every_server_has_a_spool_of_its_own(state: Path) -> None:
    """Steps for one server never wait among those for another, and a server has one spool however it is written."""
    one, same, other = (ObservabilityProvider(URL + end) for end in ("", "/", "/root"))

    assert one.database == same.database != other.database
    assert one.is_same_as(same)
    assert not one.is_same_as(other)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("http://user:s3cret@host:8000", "the token in STEPSTREAM_TOKEN"),
        ("https://", "expected an address such as"),
        ("http://host:8000?token=s3cret", "expected an address such as"),
        ("postgresql://host/db", "postgresql:// is not available in this release"),
        ("ftp://host", "the http:// or https:// address of a server"),
    ],
)
def test_a_wrong_address_is_refused(state: Path, stated: str, told: str) -> None:
    """A wrong address is the caller's configuration: it raises at once, says what would do, and shows no secret."""
    with pytest.raises(ConfigurationInvalid, match=told) as refused:
        ObservabilityProvider(stated)
    assert "s3cret" not in str(refused.value)


def test_a_wrong_option_is_refused(state: Path, tmp_path: Path) -> None:
    """Paths must be absolute, for the shipper runs elsewhere; a project's rules must be usable before anything leaves."""
    with pytest.raises(ConfigurationInvalid, match="spool_directory is 'here'; expected an absolute path"):
        ObservabilityProvider(URL, spool_directory="here")
    with pytest.raises(ConfigurationInvalid, match="token_file"):
        ObservabilityProvider(URL, token_file="token")
    (tmp_path / "stepstream.toml").write_text("[redaction.patterns.own]\nregex = '('\nliterals = ['abc']\n")
    with pytest.raises(ConfigurationInvalid, match="redaction"):
        ObservabilityProvider(URL)


def test_the_projects_own_rules_are_noticed(state: Path, tmp_path: Path) -> None:
    """What stands in stepstream.toml where the agent runs is told to the shipper before the first step."""
    (tmp_path / "stepstream.toml").write_text('[redaction]\nnames = ["launch_code"]\n')
    with ObservabilityProvider(URL) as provider, provider.episode("remote"):
        pass
    (notice,) = (provider.database.parent / "remote-spool").glob("redaction-*.json")

    assert json.loads(notice.read_text())["names"] == ["launch_code"]


def test_a_place_that_is_not_safe_refuses_steps(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where others may write, opening raises, and logging refuses, counts and says why."""
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(UnsafeLocation):
        ObservabilityProvider(URL).open()
    provider = ObservabilityProvider(URL)
    with caplog.at_level(logging.WARNING), provider.episode("remote"):
        log_event(Thought(text="lost"))

    assert provider.refused >= 2
    assert "others may write there" in caplog.text
    with pytest.raises(ArtifactRefused, match="others may write there"):
        provider.artifacts.keep(b"bytes", "name", "text/plain")


def test_files_wait_beside_the_spool_up_to_a_bound(state: Path, tmp_path: Path) -> None:
    """A file that is attached waits here for the server; beyond the bound the next one is refused."""
    (tmp_path / "mesh.stl").write_bytes(b"x" * 600_000)
    (tmp_path / "other.stl").write_bytes(b"y" * 600_000)
    with (
        ObservabilityProvider(URL, spool_bytes_max=1 << 20) as provider,
        provider.episode("remote") as episode,
    ):
        artifact = episode.attach("mesh.stl")
        with pytest.raises(
            ArtifactRefused, match="files that wait for the server would hold more than 1 MiB"
        ):
            episode.attach("other.stl")

    kept = provider.database.with_name("remote-artifacts") / artifact.sha256[:2] / artifact.sha256[2:]
    assert kept.read_bytes() == b"x" * 600_000


def test_a_child_process_records_for_the_same_server(state: Path) -> None:
    """child_env() names the server and the settings; what the child logs stands under the parent's step."""
    script = "from stepstream import Thought, log_event\nlog_event(Thought(text='child'))"
    with (
        ObservabilityProvider(URL, flush_timeout_s=0.1) as provider,
        provider.episode("remote") as episode,
        episode.tool_call("work") as call,
    ):
        environment = child_env()
        subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=30)

    assert environment["STEPSTREAM_DB"] == URL
    (child,) = (step for step in logged_steps(provider.database) if isinstance(step.payload, Thought))
    assert (child.episode_id, child.parent_id) == (episode.id, call.id)
    assert child.pid != os.getpid()


def test_a_forked_child_records_for_the_same_server(state: Path) -> None:
    """After a fork the child goes on in a segment of its own."""
    with ObservabilityProvider(URL) as provider, provider.episode("remote") as episode:
        child = os.fork()
        if child == 0:
            episode.log_event(Thought(text="child"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        episode.log_event(Thought(text="parent"))

    assert sorted(texts(provider)) == ["child", "parent"]


def test_a_context_of_a_known_server_is_taken(state: Path) -> None:
    """A token that names a server this machine records for leads there."""
    with ObservabilityProvider(URL) as provider, provider.episode("remote") as episode:
        token = context_token()
    assert json.loads(token)["database"] == URL
    with attach_context(token):
        log_event(Thought(text="later"))
    close_providers()

    found = [step for step in logged_steps(provider.database) if isinstance(step.payload, Thought)]
    assert [step.episode_id for step in found] == [episode.id]


def test_a_context_of_the_server_that_the_machine_is_set_to_is_taken(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker on another machine, set to the same server, goes on where the token says, before it recorded anything."""
    with ObservabilityProvider(URL) as provider, provider.episode("remote") as episode:
        token = context_token()
    monkeypatch.setenv("STEPSTREAM_SPOOL_DIRECTORY", str(state.with_name("another-machine")))
    monkeypatch.setenv("STEPSTREAM_DB", URL + "/")
    with attach_context(token):
        log_event(Thought(text="elsewhere"))
        there = stepstream.current_episode()
        assert there is not None
        assert there.id == episode.id


def test_a_context_of_a_strangers_server_is_ignored(
    state: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token from a stranger sends neither steps nor our token to a server of his."""
    monkeypatch.setenv("STEPSTREAM_DB", URL)
    with ObservabilityProvider(URL) as provider, provider.episode("remote"):
        token = context_token()
    evil = token.replace(URL, "http://evil.example:80")
    with attach_context(evil), stepstream.episode("ours"):
        log_event(Thought(text="ours"))

    assert "http://evil.example:80 is no history of this machine" in caplog.text
    assert [path.name.startswith("127-0-0-1-9-") for path in state.iterdir()] == [True]
