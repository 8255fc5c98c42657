"""A provider names one database, opens when it must, and troubles nobody when the place fails."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import stepstream
from stepstream import (
    ConfigurationInvalid,
    Loss,
    ObservabilityProvider,
    StatusChange,
    StoreError,
    Thought,
    UnsafeLocation,
    log_event,
)
from stepstream.schemas.identity import id_text
from stepstream.sdk.open_providers import default_provider
from stepstream.spool.directory import SpoolDirectory
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


def _run(
    script: str, *arguments: str, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=check,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("ftp://localhost:8000", "address of a server"),
        ("postgresql://host/db", "postgresql:// is not available in this release"),
        ("sqlite:///history.db", "the path of a file"),
        (":memory:", "outlives its process"),
        ("a\0b", "the path of a file"),
        (".", "is a directory"),
        ("no/such/place/history.db", "mkdir -p"),
    ],
)
def test_what_names_no_file_is_refused(database: Path, path: str, told: str) -> None:
    """A wrong name is the caller's configuration: it raises at once and says what would do."""
    with pytest.raises(ConfigurationInvalid, match=told):
        ObservabilityProvider(path)


def test_the_environment_names_the_database(
    database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """STEPSTREAM_DB, else ./history.db; a link leads to the file itself."""
    assert ObservabilityProvider().database == database
    monkeypatch.delenv("STEPSTREAM_DB")
    monkeypatch.chdir(tmp_path)
    assert ObservabilityProvider().database == tmp_path / "history.db"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere" / "real.db")
    assert ObservabilityProvider("link.db").database == tmp_path / "elsewhere" / "real.db"


def test_options_beat_the_environment(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments come first, and a wrong one is told by name."""
    monkeypatch.setenv("STEPSTREAM_FLUSH_TIMEOUT_S", "1.5")
    assert ObservabilityProvider(database).settings.flush_timeout_s == 1.5
    assert ObservabilityProvider(database, flush_timeout_s=2.5).settings.flush_timeout_s == 2.5
    with pytest.raises(ConfigurationInvalid, match="argument committer"):
        ObservabilityProvider(database, committer="somebody")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationInvalid, match="colour"):
        ObservabilityProvider(database, colour="red")  # type: ignore[call-arg]


def test_nothing_is_created_before_it_is_needed(database: Path) -> None:
    """Making a provider, and reading through it, leaves the directory as it was."""
    provider = ObservabilityProvider(database)

    assert provider.flush(timeout_s=0.1)
    assert provider.read() == []
    provider.close()
    assert list(database.parent.iterdir()) == []


def test_an_unsafe_place_is_refused(database: Path) -> None:
    """A spool that others may write to is no place for a recorder."""
    spool = SpoolDirectory(database)
    spool.close()
    spool.path.chmod(0o777)
    with pytest.raises(UnsafeLocation, match="chmod 700"), ObservabilityProvider(database):
        pass

    original = database.with_name("original.db")
    original.touch()
    os.link(original, database)
    with pytest.raises(UnsafeLocation, match="hard link"):
        ObservabilityProvider(database)


def test_a_file_that_is_something_else_is_refused(database: Path) -> None:
    """Entering a provider of a foreign file raises; a lazily opened one refuses the steps and goes on."""
    database.write_text("dear diary, " * 1000)
    with pytest.raises(StoreError), ObservabilityProvider(database):
        pass

    lazy = ObservabilityProvider(database)
    with lazy.episode("test") as episode:
        episode.log_event(Thought(text="x"))
    assert lazy.refused == 3
    assert lazy.refusal is not None
    assert database.read_text().startswith("dear diary")


READ_ONLY = """
    import logging, os, sys
    from stepstream import ObservabilityProvider, Thought

    def work(database):
        with ObservabilityProvider(database, committer="none") as provider:
            with provider.episode("test") as episode:
                for _ in range(5):
                    episode.log_event(Thought(text="x"))
        return provider

    work(sys.argv[2])  # all that is imported on the way may lie where only root can read
    logging.basicConfig(format="%(levelname)s %(message)s")
    if os.getuid() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
    provider = work(sys.argv[1])
    print(provider.refused, provider.refusal is not None)
"""


def test_a_read_only_directory_refuses_steps_and_nothing_else(tmp_path: Path) -> None:
    """The provider opens, steps are refused and counted, the log says so, the agent goes on."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o555)
        done = _run(READ_ONLY, f"{place}/history.db", str(tmp_path / "other.db"))

    assert done.stdout.split() == ["7", "True"]
    assert 1 <= done.stderr.count("WARNING") <= 2
    assert "Traceback" not in done.stderr


def test_steps_refused_before_the_spool_could_be_opened_are_told(database: Path, logged: Logged) -> None:
    """Once there is a spool, a Loss says that steps are missing before it."""
    blocker = database.with_name("history.db-spool")
    blocker.write_text("in the way")
    provider = ObservabilityProvider(database)
    with provider.episode("test") as episode:
        episode.log_event(Thought(text="lost"))
        blocker.unlink()
        time.sleep(1.1)
        episode.log_event(Thought(text="kept"))

    loss = logged()[0].payload
    assert isinstance(loss, Loss)
    assert loss.detail.startswith("2 steps")
    assert [step.kind for step in logged()] == ["loss", "thought", "status_change"]
    assert provider.refused == 2


def test_a_step_after_close_opens_the_provider_again(database: Path, logged: Logged) -> None:
    """What a background thread logs too late is recorded, not lost."""
    with ObservabilityProvider(database, committer="none") as provider, provider.episode("test") as episode:
        pass
    episode.log_event(Thought(text="late"))

    assert [step.kind for step in logged()] == ["status_change", "status_change", "thought"]


def test_closing_twice_does_nothing(database: Path) -> None:
    """close() may be called any number of times, by anybody."""
    provider = ObservabilityProvider(database, committer="none").open()
    provider.close()
    provider.close()


def test_the_provider_opened_last_is_the_default(database: Path, tmp_path: Path) -> None:
    """Code without a provider logs where the block around it says, and into STEPSTREAM_DB outside any."""
    with ObservabilityProvider(tmp_path / "one.db") as one:
        with ObservabilityProvider(tmp_path / "two.db") as two, stepstream.episode("in two") as inner:
            assert inner.provider is two
        with stepstream.episode("in one") as inner:
            assert inner.provider is one
    with stepstream.episode("outside") as outer:
        assert outer.provider.database == database
        assert default_provider() is outer.provider


def test_threads_log_at_once(provider: ObservabilityProvider, logged: Logged) -> None:
    """Steps of many threads are all there, each thread's in its order."""
    with provider.episode("test") as episode:

        def work(name: str) -> None:
            for number in range(200):
                episode.log_event(Thought(text=str(number)), agent=name)

        threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    thoughts = [step for step in logged() if isinstance(step.payload, Thought)]
    for number in range(8):
        texts = [step.payload.text for step in thoughts if step.agent == f"t{number}"]  # type: ignore[attr-defined]
        assert texts == [str(each) for each in range(200)]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_fork_under_load_leaves_parent_and_child_working(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """Children forked while threads log have recorders of their own, and nobody's lock is held for ever."""
    stop = threading.Event()
    with provider.episode("test") as episode:

        def work() -> None:
            while not stop.is_set():
                episode.log_event(Thought(text="busy"))

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(10):
                child = os.fork()
                if child == 0:
                    try:
                        episode.log_event(Thought(text=f"child {number}"))
                        log_event(Thought(text=f"child {number} again"))
                    finally:
                        os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    texts = [step.payload.text for step in logged() if isinstance(step.payload, Thought)]
    for number in range(10):
        assert f"child {number}" in texts
        assert f"child {number} again" in texts
    assert {step.episode_id for step in logged()} == {episode.id}


def test_the_spools_new_identity_is_followed(database: Path, logged: Logged) -> None:
    """When the file at the path is another database, later segments are written for that one."""
    from stepstream.schemas.identity import new_id
    from stepstream.spool.directory import Identity
    from stepstream.spool.segment import decode_header

    with ObservabilityProvider(database, committer="none") as provider, provider.episode("test") as episode:
        other = new_id()
        spool = SpoolDirectory(database)
        spool.set_identity(Identity(other, 0, 0))
        time.sleep(1.1)
        episode.log_event(Thought(text="this one finds out"))
        episode.log_event(Thought(text="this one follows"))
        names = spool.segment_names()
        headers = [decode_header((spool.path / name).read_bytes()[:4096]) for name in names]
        spool.close()

    assert headers[-1].database_id == id_text(other)
    assert len(headers) == 2


def test_the_end_of_a_script_commits_what_it_logged(database: Path) -> None:
    """A script without any block is complete in the database when its process has ended."""
    _run(
        """
        from stepstream import Thought, log_event
        log_event(Thought(text="the only line"))
        """,
        STEPSTREAM_COMMITTER="thread",
    )

    history = stepstream.History.open(database)
    steps = history.steps()
    history.close()
    assert [step.kind for step in steps] == ["status_change", "thought", "status_change"]


def test_steps_are_committed_where_no_further_thread_can_be_had(database: Path) -> None:
    """A committer in a thread does its work alone when the thread beside it cannot be started."""
    _run(
        """
        import threading
        from stepstream import Thought, log_event
        from stepstream.store import hosting

        class Greedy(hosting.CommitterThread):
            def run(self):
                # No stack of this size can be had, as no thread can where there are too many.
                threading.stack_size(1 << 46)
                super().run()

        hosting.CommitterThread = Greedy
        log_event(Thought(text="the only line"))
        """,
        STEPSTREAM_COMMITTER="thread",
    )

    history = stepstream.History.open(database)
    steps = history.steps()
    history.close()
    assert [step.kind for step in steps] == ["status_change", "thought", "status_change"]


def test_the_ambient_episode_is_marked_and_warned_about_once(
    database: Path, logged: Logged, caplog: pytest.LogCaptureFixture
) -> None:
    """Steps outside any episode go to one marked episode of the process; one warning names the place."""
    caplog.set_level(logging.WARNING, "stepstream")
    for number in range(3):
        log_event(Thought(text=str(number)))
    line = sys._getframe().f_lineno - 1

    start = logged()[0].payload
    assert isinstance(start, StatusChange)
    assert start.start is not None
    assert start.start.ambient
    assert len({step.episode_id for step in logged()}) == 1
    (warning,) = [
        record.getMessage() for record in caplog.records if "outside any episode" in record.getMessage()
    ]
    assert warning.startswith(f"{__file__}:{line} ")


def test_reading_waits_for_what_was_logged(database: Path) -> None:
    """read(), history and subscribe() see steps that were logged a moment ago."""
    with ObservabilityProvider(database, committer="thread") as provider, provider.episode("test") as episode:
        episode.log_event(Thought(text="just now"))
        assert [step.kind for step in provider.read()] == ["status_change", "thought"]
        assert [step.kind for step in provider.read(after=1, limit=1)] == ["thought"]
        assert len(provider.history.episodes()) == 1
        subscription = provider.subscribe(after=0)
        assert next(iter(subscription)).cursor == 1
        subscription.close()


async def test_reading_has_an_asynchronous_form(database: Path) -> None:
    """aread, aflush and asubscribe do the same without holding up the loop."""
    async with ObservabilityProvider(database, committer="thread") as provider, provider.episode("test"):
        assert await provider.aflush()
        assert [step.kind for step in await provider.aread()] == ["status_change"]
        async for event in provider.asubscribe(after=0):
            assert event.cursor == 1
            break


def test_flush_within_its_time_or_not(provider: ObservabilityProvider) -> None:
    """Without anybody who commits, flush() waits no longer than it was told, and says so."""
    with provider.episode("test"):
        before = time.monotonic()
        assert not provider.flush(timeout_s=0.2)
        assert time.monotonic() - before < 2.0


def test_a_removed_directory_raises_nothing(database: Path) -> None:
    """Somebody who cleans up under a running agent costs steps, never the agent."""
    place = database.parent / "run"
    place.mkdir()
    provider = ObservabilityProvider(place / "history.db", committer="none")
    with provider, provider.episode("test") as episode:
        shutil.rmtree(place)
        time.sleep(1.1)
        for _ in range(3):
            episode.log_event(Thought(text="where am I"))
    assert provider.refused > 0
