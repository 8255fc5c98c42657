"""Metrics in the text formats of Prometheus.

Knows the names and the formats. Must not know where the figures come from.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.responses import Response

from stepstream.reading.search.indexer import IndexerState, IndexProgress
from stepstream.schemas.release import RELEASE
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf
from stepstream.server.stream.figures import StreamReport
from stepstream.server.vitals import CommitterReport, SpoolReport, SystemReport, examine
from stepstream.store.election import COMMITTING, OPENING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from stepstream.reading.information import HistoryInfo

_OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
_PLAIN_TEXT = "text/plain; version=0.0.4"
_HELD_UP = "held_up"

router = APIRouter(
    tags=["system"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {
                "text/plain": {"schema": {"type": "string"}},
                "application/openmetrics-text": {"schema": {"type": "string"}},
            }
        }
    },
)
def get_metrics(request: Request, services: ServicesOf) -> Response:
    """Figures for Prometheus, as OpenMetrics where the client takes that."""
    registry = CollectorRegistry()
    registry.register(_Figures(services.history.info(), examine(services)))
    takes_open_metrics = "application/openmetrics-text" in request.headers.get("accept", "")
    encode, media_type = choose_encoder(_OPEN_METRICS if takes_open_metrics else _PLAIN_TEXT)
    return Response(encode(registry), headers={"content-type": media_type})


class _Figures(Collector):
    """The figures of one moment."""

    def __init__(self, info: HistoryInfo, system: SystemReport) -> None:
        self._info = info
        self._system = system

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        info, system = self._info, self._system
        yield InfoMetricFamily(
            "stepstream_build",
            "What runs",
            value={"release": RELEASE, "python": platform.python_version(), "sqlite": system.sqlite},
        )
        yield _counter("stepstream_steps", "Steps recorded", info.steps)
        yield _counter("stepstream_errors", "Steps that are errors", info.errors)
        yield _counter("stepstream_losses", "Loss steps, each of which tells of missing steps", info.losses)
        yield _counter("stepstream_refused_steps", "Steps refused because there was no room", system.refused)
        yield _gauge("stepstream_episodes_running", "Episodes that have not ended", info.running)
        yield _gauge("stepstream_recorders_running", "Processes that log", system.recorders_running)
        redactions = CounterMetricFamily(
            "stepstream_redactions", "Secrets taken out before they were stored", labels=["kind"]
        )
        for each in info.redactions:
            redactions.add_metric([each.kind], each.count)
        yield redactions
        yield _gauge("stepstream_database_bytes", "Size of the database", system.database_bytes)
        yield _gauge("stepstream_write_ahead_log_bytes", "Size of its write-ahead log", system.log_bytes)
        yield _gauge("stepstream_disk_free_bytes", "Room left beside the database", system.disk_free_bytes)
        yield from _committer(system.committer)
        yield from _spool(system.spool)
        if system.stream is not None:
            yield from _stream(system.stream)
        if system.search is not None:
            yield from _search(system.search)


def _committer(report: CommitterReport | None) -> Iterator[Metric]:
    is_up = report is not None and report.is_alive and report.state == COMMITTING
    yield _gauge("stepstream_committer_up", "Whether somebody commits", is_up)
    if report is None:
        return
    state = report.state if report.state in {COMMITTING, OPENING} else _HELD_UP
    yield StateSetMetricFamily(
        "stepstream_committer_state",
        "What the committer does",
        value={each: each == state for each in (COMMITTING, OPENING, _HELD_UP)},
    )
    yield _gauge("stepstream_committer_cursor", "The last cursor committed", report.cursor)
    yield _gauge("stepstream_committer_generation", "The committer's term of office", report.generation)
    if report.heartbeat_age_ns is not None:
        yield _gauge(
            "stepstream_committer_heartbeat_age_seconds",
            "How long ago the committer was heard of",
            report.heartbeat_age_ns / 1e9,
        )


def _spool(report: SpoolReport | None) -> Iterator[Metric]:
    waiting, held, count = (
        (0, 0, 0) if report is None else (report.waiting_bytes, report.held_bytes, report.segments_count)
    )
    yield _gauge("stepstream_spool_waiting_bytes", "Logged here and not committed yet", waiting)
    yield _gauge("stepstream_spool_held_bytes", "Room that the spool takes", held)
    yield _gauge("stepstream_spool_segments", "Files in the spool", count)


def _stream(report: StreamReport) -> Iterator[Metric]:
    yield _gauge("stepstream_stream_clients", "Clients of the live stream", report.clients)
    yield _counter("stepstream_stream_clients_cut", "Clients that were too slow", report.clients_cut)
    yield _counter("stepstream_stream_clients_refused", "Clients that were too many", report.clients_refused)
    yield _counter("stepstream_stream_steps_sent", "Steps told to clients", report.steps_sent)
    yield _counter("stepstream_stream_deltas_dropped", "Deltas that came too fast", report.deltas_dropped)
    yield _counter("stepstream_stream_steps_unreadable", "Steps left out", report.steps_unreadable)
    yield _gauge("stepstream_stream_troubled", "Whether something cannot be told", report.trouble is not None)
    yield _gauge("stepstream_stream_ring_bytes", "What the ring of the stream holds", report.ring_bytes)
    yield _gauge(
        "stepstream_stream_lag_seconds", "From a commit to when clients can be told", report.lag_ns / 1e9
    )


def _search(progress: IndexProgress) -> Iterator[Metric]:
    yield _gauge(
        "stepstream_search_index_cursor", "The last cursor that can be searched", progress.indexed_to
    )
    yield _gauge("stepstream_search_index_lag_steps", "Steps that cannot be searched yet", progress.lag)
    yield StateSetMetricFamily(
        "stepstream_search_index_state",
        "What whoever keeps the search index does",
        value={state.value: state is progress.state for state in IndexerState},
    )


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, meaning, value=value)
