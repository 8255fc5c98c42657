"""Arrow: batches of steps that pandas, polars and DuckDB read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.support.history_builder import EpisodeScript, HistoryBuilder

from stepstream.errors import EpisodeNotFound
from stepstream.reading.history import History
from stepstream.schemas.kinds import Observation, Thought, ToolCall

OpenHistory = Callable[[], History]


@pytest.fixture
def episode(builder: HistoryBuilder) -> EpisodeScript:
    script = builder.episode()
    for number in range(10):
        call = script.log(ToolCall(tool="simulate", arguments={"n": number}))
        script.log(Observation(result={"stress": 100.0 + number, "log": "x" * 2000}), closes=call)
    builder.episode("other").log(Thought(text="elsewhere"))
    return script


def test_batches_hold_every_step(episode: EpisodeScript, open_history: OpenHistory) -> None:
    """Batches have the size asked for, come in cursor order and hold what steps() gives, payloads whole."""
    history = open_history()
    steps = history.steps()

    batches = list(history.arrow(batch_steps=7))
    table = pa.Table.from_batches(batches)

    assert [batch.num_rows for batch in batches] == [7, 7, 7, 2]
    for name in (
        "cursor",
        "id",
        "episode_id",
        "sequence",
        "kind",
        "agent",
        "role",
        "parent_id",
        "closes",
        "after_end",
    ):
        assert table.column(name).to_pylist() == [getattr(step, name) for step in steps], name
    assert table.column("occurred_at").cast(pa.int64()).to_pylist() == [step.occurred_at for step in steps]
    assert table.column("payload").to_pylist() == [step.payload.encoded().decode() for step in steps]


def test_arrow_asks_as_steps_does(episode: EpisodeScript, open_history: OpenHistory) -> None:
    """Episode, kind, cursor, limit and filter narrow batches as they narrow steps."""
    history = open_history()

    chosen = history.arrow(
        episode=episode.id, kind="observation", after=5, limit=3, filter="-tool:mesh seq<20"
    ).read_all()

    assert chosen.column("sequence").to_pylist() == [6, 8, 10]
    assert history.arrow(kind="nothing").read_all().num_rows == 0
    with pytest.raises(EpisodeNotFound):
        history.arrow(episode="ffff")


def test_pandas_reads_it(episode: EpisodeScript, open_history: OpenHistory) -> None:
    """A data frame has aware timestamps to the nanosecond."""
    frame = open_history().arrow(kind="tool_call").read_pandas()

    assert len(frame) == 10
    assert str(frame["occurred_at"].dt.tz) == "UTC"
    assert isinstance(frame, pd.DataFrame)


def test_polars_reads_it(episode: EpisodeScript, open_history: OpenHistory) -> None:
    """A polars frame reads a result out of the payload."""
    frame = pl.from_arrow(open_history().arrow(kind="observation", batch_steps=3))

    assert isinstance(frame, pl.DataFrame)
    stresses = frame.select(
        pl.col("payload").str.json_path_match("$.result.stress").cast(pl.Float64)
    ).to_series()
    assert stresses.to_list() == [100.0 + number for number in range(10)]


def test_duckdb_reads_it(episode: EpisodeScript, open_history: OpenHistory) -> None:
    """DuckDB counts steps by kind straight from the reader."""
    steps = open_history().arrow(batch_steps=4)
    assert steps is not None

    rows = duckdb.sql("SELECT kind, count(*) FROM steps GROUP BY kind ORDER BY kind").fetchall()

    assert rows == [("observation", 10), ("status_change", 2), ("thought", 1), ("tool_call", 10)]


def test_without_pyarrow_the_extra_is_named(episode: EpisodeScript, open_history: OpenHistory) -> None:
    """Where pyarrow is missing the error says what to install, and the rest of the history works."""
    path = open_history().path
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from stepstream.errors import MissingExtra\n"
        "from stepstream.reading.history import History\n"
        f"history = History.open({str(path)!r})\n"
        "print(len(history.steps()))\n"
        "try: history.arrow()\n"
        "except MissingExtra as error: print(error)\n"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )

    assert answer.stdout.splitlines() == [
        "23",
        "reading steps as Arrow needs an optional dependency; run: pip install 'stepstream[arrow]'",
    ]
