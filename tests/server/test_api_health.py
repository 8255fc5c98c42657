"""Health, readiness, system and metrics, with a committer and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics
from tests.support.command_line import wait_for
from tests.support.history_builder import HistoryBuilder
from tests.support.reading_server import ReadingServer, serving

from stepstream import ErrorReport, ObservabilityProvider, Thought
from stepstream.reading.history import History
from stepstream.reading.search.indexer import IndexerState, IndexProgress
from stepstream.schemas.release import RELEASE
from stepstream.server.stream.figures import StreamReport
from stepstream.server.vitals import SystemReport

FIGURES = StreamReport(
    clients=3,
    channels=2,
    clients_total=9,
    clients_cut=4,
    clients_refused=1,
    steps_sent=100,
    steps_unreadable=0,
    deltas_dropped=5,
    ring_steps=7,
    ring_bytes=700,
    cursor=11,
    lag_ns=2_000_000,
    trouble="step 3 cannot be read",
)
PROGRESS = IndexProgress(state=IndexerState.NO_ROOM, indexed_to=7, last_cursor=11)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[ReadingServer]:
    """A server beside an agent that has a running episode and a committer."""
    database = tmp_path / "history.db"
    with ObservabilityProvider(database, committer="thread") as provider, provider.episode("Run") as episode:
        episode.log_event(Thought(text="my key is AKIAIOSFODNN7EXAMPLE"))
        episode.log_event(ErrorReport(message="x"))
        provider.flush()
        with serving(database) as server:
            yield server


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a plain answer, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in plain_metrics(text)
        for sample in family.samples
    }


def test_health_needs_nothing(tmp_path: Path) -> None:
    """It is well while the process answers, for anybody, with no database."""
    with serving(tmp_path / "history.db", None) as server:
        answer = server.ask("/health")

    assert (answer.status, answer.json()) == (200, {"status": "up", "release": RELEASE})


def test_it_is_ready_while_somebody_commits(live: ReadingServer) -> None:
    """With a database and a committer it is ready, for anybody."""
    wait_for(lambda: live.ask("/ready").status == 200, "a committer that commits")

    assert live.ask("/ready").json() == {"status": "ready"}


def test_it_is_not_ready_when_nobody_commits(tmp_path: Path) -> None:
    """When the committer has gone it says so in a word, and nothing of where anything lies."""
    database = tmp_path / "history.db"
    with ObservabilityProvider(database, committer="thread") as provider, provider.episode("x"):
        pass
    with serving(database, None) as server:
        answer = server.ask("/ready")

    assert (answer.status, answer.detail) == (503, "nobody commits")
    assert str(tmp_path) not in answer.body.decode()


def test_the_system_is_told(live: ReadingServer) -> None:
    """Who commits, who logs, what waits, what was lost, and how the tables came to be."""
    wait_for(lambda: live.ask("/ready").status == 200, "a committer that commits")

    report = SystemReport.model_validate_json(live.ask("/system").body)

    assert report.committer is not None
    assert (report.committer.is_alive, report.committer.state) == (True, "committing")
    assert report.committer.heartbeat_age_ns is not None
    assert report.spool is not None
    assert (report.spool.segments_count, report.spool.segments[0].is_owned) == (1, True)
    assert (report.recorders_running, report.losses, report.refused) == (1, 0, 0)
    assert report.migrations[0].version == 1
    assert report.schema_version == report.schema_version_newest
    assert report.database_bytes > 0
    assert report.disk_free_bytes > 0
    assert report.stream is None


def test_metrics_tell_the_same(live: ReadingServer) -> None:
    """What Prometheus collects are the figures of the history, of committer, spool and log."""
    wait_for(lambda: live.ask("/ready").status == 200, "a committer that commits")

    answer = live.ask("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = samples(answer.body.decode())
    with History.open(live.services.database) as history:
        info = history.info()
    assert found["stepstream_steps_total", ()] == info.steps == 3
    assert found["stepstream_errors_total", ()] == 1
    assert found["stepstream_episodes_running", ()] == 1
    assert found["stepstream_recorders_running", ()] == 1
    assert found["stepstream_losses_total", ()] == 0
    assert found["stepstream_committer_up", ()] == 1
    assert found["stepstream_committer_cursor", ()] == info.last_cursor
    assert found["stepstream_spool_segments", ()] == 1
    assert found["stepstream_committer_state", (("stepstream_committer_state", "committing"),)] == 1
    redacted = {
        labels: value for (name, labels), value in found.items() if name == "stepstream_redactions_total"
    }
    assert {labels[0][1]: value for labels, value in redacted.items()} == {
        each.kind: each.count for each in info.redactions
    }
    assert redacted


def test_metrics_of_the_stream_are_there_where_there_is_one(tmp_path: Path) -> None:
    """The clients of a stream, and those that were cut, are counted among the metrics, and what it cannot tell."""
    with HistoryBuilder(tmp_path / "history.db") as builder:
        builder.episode()
    server = ReadingServer(tmp_path / "history.db", stream_figures=lambda: FIGURES)
    with server:
        found = samples(server.ask("/metrics").body.decode())
        report = SystemReport.model_validate_json(server.ask("/system").body)

    assert found["stepstream_stream_clients", ()] == 3
    assert found["stepstream_stream_clients_cut_total", ()] == 4
    assert found["stepstream_stream_lag_seconds", ()] == 0.002
    assert report.stream is not None
    assert (report.stream.clients, report.stream.cursor) == (3, 11)
    assert report.stream.trouble == "step 3 cannot be read"
    assert found["stepstream_stream_troubled", ()] == 1


def test_how_far_one_can_search_is_told(tmp_path: Path) -> None:
    """The search index stands among the vitals and the metrics of whoever keeps it, and nowhere else."""
    with HistoryBuilder(tmp_path / "history.db") as builder:
        builder.episode()
    with serving(tmp_path / "history.db") as server:
        assert server.get("/system")["search"] is None
        assert "stepstream_search" not in server.ask("/metrics").body.decode()
        server.app.state.services = replace(server.services, index_progress=lambda: PROGRESS)
        found = samples(server.ask("/metrics").body.decode())
        report = SystemReport.model_validate_json(server.ask("/system").body)

    assert report.search == PROGRESS
    assert found["stepstream_search_index_cursor", ()] == 7
    assert found["stepstream_search_index_lag_steps", ()] == 4
    assert found["stepstream_search_index_state", (("stepstream_search_index_state", "no_room"),)] == 1


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=1.0.0",
        "application/openmetrics-text",
        "text/plain, application/openmetrics-text;q=0.5",
    ],
)
def test_metrics_come_as_open_metrics_where_that_is_taken(live: ReadingServer, accept: str) -> None:
    """Whoever takes OpenMetrics gets it, and it can be parsed strictly."""
    answer = live.ask("/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert any(family.name == "stepstream_steps" for family in open_metrics(answer.body.decode()))


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/html", "text/plain; version=x.y", "application/openmetrics-text; version=\u00e9"],
)
def test_whatever_is_taken_metrics_come(live: ReadingServer, accept: str) -> None:
    """A header that asks for nonsense is answered with what there is."""
    assert live.ask("/metrics", headers={"accept": accept}).status == 200


def test_every_metric_is_named_well(live: ReadingServer) -> None:
    """Names begin with the project's, say what they count in words, and have a help text."""
    families = list(plain_metrics(live.ask("/metrics").body.decode()))

    assert families
    assert all(family.name.startswith("stepstream_") for family in families)
    assert all(family.documentation for family in families)
