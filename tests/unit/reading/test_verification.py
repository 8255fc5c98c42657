"""Verify: a whole history has no findings, and each kind of damage has its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.support.history_builder import EpisodeScript, HistoryBuilder

from stepstream.reading.history import History
from stepstream.reading.verification import FINDINGS_MAX, FindingKind
from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.identity import id_text
from stepstream.schemas.kinds import ArtifactAttached, Loss, LossReason, Observation, Thought, ToolCall
from stepstream.spool.directory import artifacts_path

OpenHistory = Callable[[], History]

BYTES = b"solid bracket\nendsolid\n"
KEPT = ArtifactRef(
    sha256=hashlib.sha256(BYTES).hexdigest(), name="part.stl", media_type="model/stl", size_bytes=len(BYTES)
)


@pytest.fixture
def whole(builder: HistoryBuilder) -> EpisodeScript:
    """An episode with a bit of everything, and a second one beside it."""
    episode = builder.episode(tags=("demo",))
    thought = episode.log(Thought(text="x" * 3000))
    call = episode.log(ToolCall(tool="simulate"), parent=thought)
    episode.log(Observation(result=1), closes=call, parent=thought)
    failed = episode.log(ToolCall(tool="simulate"))
    episode.log(ErrorReport(message="x"), closes=failed)
    episode.log(ArtifactAttached(artifact=KEPT))
    builder.describe("weight_measured_raw", 1, '{"type":"object","properties":{"grams":{"type":"number"}}}')
    episode.log_raw("weight_measured_raw", 1, b'{"grams":120}')
    builder.keep(KEPT.sha256, KEPT.size_bytes)
    path = artifacts_path(builder.path) / KEPT.sha256[:2] / KEPT.sha256[2:]
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    episode.finish(outcome="accepted")
    builder.episode("running").log(Thought(text="y"))
    return episode


def damage(path: Path, *statements: str) -> None:
    """Change what the committer never changes."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA foreign_keys = OFF")
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_history_has_no_findings(whole: EpisodeScript, open_history: OpenHistory, deep: bool) -> None:
    """Everything that was written is there and is what it says."""
    found = open_history().verify(deep=deep)

    assert found.is_whole
    assert (found.episodes, found.steps, found.findings) == (2, 11, ())
    assert (found.payloads, found.artifacts) == ((11, 1) if deep else (0, 0))
    assert found.recorders[0].last_number == 10


def test_one_episode_is_verified_alone(whole: EpisodeScript, open_history: OpenHistory) -> None:
    """The report of one episode covers its steps and recorders and nothing else."""
    history = open_history()
    damage(history.path, "DELETE FROM step WHERE episode = 2 AND sequence = 0")

    found = history.verify(whole.id, deep=True)

    assert found.is_whole
    assert (found.episodes, found.steps, found.payloads) == (1, 9, 9)
    assert [report.steps for report in found.recorders] == [7]
    assert not history.verify().is_whole


NOBODY = "x'000000000000000000000000000000ff'"
LAST_ID = "(SELECT id FROM step WHERE cursor = 9)"


@pytest.mark.parametrize(
    ("statement", "kind", "detail"),
    [
        ("DELETE FROM step WHERE cursor = 7", FindingKind.SEQUENCE_GAP, "sequence 6 is missing"),
        ("DELETE FROM step WHERE cursor IN (7, 8)", FindingKind.SEQUENCE_GAP, "sequence 6 to 7 is missing"),
        (
            "UPDATE step SET cursor = 99 WHERE cursor = 7",
            FindingKind.CURSOR_ORDER,
            "cursor 8, the one before has 99",
        ),
        (
            f"UPDATE step SET closes = {NOBODY} WHERE cursor = 4",
            FindingKind.CLOSES_NOTHING,
            "which is not there",
        ),
        (f"UPDATE step SET closes = {LAST_ID} WHERE cursor = 4", FindingKind.CLOSES_LATER, "comes later"),
        (
            "UPDATE step SET closes = (SELECT closes FROM step WHERE cursor = 4) WHERE cursor = 6",
            FindingKind.CLOSED_TWICE,
            "is closed by 2 steps",
        ),
        (f"UPDATE step SET parent_id = {NOBODY} WHERE cursor = 4", FindingKind.PARENT_MISSING, "not there"),
        (f"UPDATE step SET parent_id = {LAST_ID} WHERE cursor = 4", FindingKind.PARENT_LATER, "comes later"),
        (
            "UPDATE episode SET errors = 2 WHERE key = 1",
            FindingKind.PROJECTION,
            "errors is 2, but its steps say 1",
        ),
        ("UPDATE episode SET status = 'failed' WHERE key = 1", FindingKind.PROJECTION, "say 'completed'"),
        ("UPDATE episode SET outcome = NULL WHERE key = 1", FindingKind.PROJECTION, "outcome is None"),
        ("UPDATE episode SET tags = '[]' WHERE key = 1", FindingKind.PROJECTION, "tags is"),
        ("UPDATE episode SET next_sequence = 8 WHERE key = 1", FindingKind.PROJECTION, "next_sequence is 8"),
        ("UPDATE episode SET last_at = 0 WHERE key = 2", FindingKind.PROJECTION, "last_at is 0"),
        (
            "UPDATE recorder SET last_number = 3",
            FindingKind.RECORDER_NUMBERS,
            "numbered 4 frames; stored are 8",
        ),
        (
            "UPDATE recorder SET refused = 3",
            FindingKind.RECORDER_NUMBERS,
            "refused 3 steps, and no Loss tells",
        ),
        (
            "UPDATE step SET payload = '{' WHERE kind = 'status_change' AND episode = 2",
            FindingKind.PAYLOAD_INVALID,
            "status_change at cursor",
        ),
    ],
)
def test_damage_is_found(
    whole: EpisodeScript, open_history: OpenHistory, statement: str, kind: FindingKind, detail: str
) -> None:
    """Each broken promise of the tables is a finding that says what and where."""
    history = open_history()
    damage(history.path, statement)

    found = history.verify()

    assert not found.is_whole
    assert any(finding.kind is kind and detail in finding.detail for finding in found.findings), (
        found.findings
    )


@pytest.mark.parametrize(
    ("statement", "kind", "detail"),
    [
        ("DELETE FROM content", FindingKind.CONTENT_DAMAGED, "step 1, thought version 1: content"),
        (
            """UPDATE step SET payload = '{"txt":1}' WHERE cursor = 2""",
            FindingKind.CONTENT_DAMAGED,
            "does not fit",
        ),
        (
            """UPDATE step SET payload = '{"tool":1}' WHERE cursor = 3""",
            FindingKind.PAYLOAD_INVALID,
            "step 2, tool_call",
        ),
        (
            """UPDATE step SET payload = '{"grams":"1"}' WHERE cursor = 8""",
            FindingKind.PAYLOAD_INVALID,
            "not of type",
        ),
        ("DELETE FROM payload_schema", FindingKind.PAYLOAD_INVALID, "was never announced"),
        ("DELETE FROM episode WHERE key = 2", FindingKind.FILE_DAMAGED, "of step names a row of episode"),
    ],
)
def test_deep_damage_is_found_deep(
    whole: EpisodeScript, open_history: OpenHistory, statement: str, kind: FindingKind, detail: str
) -> None:
    """What only looking inside can show is found by a deep verify, step by step."""
    history = open_history()
    damage(history.path, statement)

    found = history.verify(deep=True)

    assert any(finding.kind is kind and detail in finding.detail for finding in found.findings), (
        found.findings
    )


def test_artifacts_are_hashed(whole: EpisodeScript, open_history: OpenHistory) -> None:
    """A kept file that has changed or gone is found, and one that was never kept is not looked for."""
    history = open_history()
    path = artifacts_path(history.path) / KEPT.sha256[:2] / KEPT.sha256[2:]
    path.write_bytes(BYTES.replace(b"bracket", b"brocket"))
    (changed,) = history.verify(deep=True).findings
    path.unlink()
    (missing,) = history.verify(deep=True).findings

    assert (changed.kind, changed.cursor) == (FindingKind.ARTIFACT_CHANGED, 7)
    assert (missing.kind, missing.cursor) == (FindingKind.ARTIFACT_MISSING, 7)


def test_an_artifact_that_was_not_copied_is_left_alone(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """A reference with a path of its own keeps no bytes here, so none can be missing."""
    builder.episode().log(ArtifactAttached(artifact=KEPT.model_copy(update={"path": "/data/part.stl"})))

    assert open_history().verify(deep=True).is_whole


def test_losses_are_listed(builder: HistoryBuilder, open_history: OpenHistory) -> None:
    """What the log says is missing is no finding, but the history is not whole."""
    episode = builder.episode()
    recorder = id_text(builder.recorder.id)
    loss = Loss(recorder_id=recorder, first=1, last=4, reason=LossReason.REFUSED, detail="there was no room")
    builder.recorder.last_number = 5
    builder.recorder.refused = 4
    episode.log(loss)

    found = open_history().verify()

    assert (found.findings, found.is_whole) == ((), False)
    assert [report.loss for report in found.losses] == [loss]
    assert (found.recorders[0].lost, found.recorders[0].refused) == (4, 4)


def test_many_findings_are_counted_and_not_all_kept(
    builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """A ruined history gives a bounded report that still says how much is wrong."""
    episode = builder.episode()
    for _ in range(FINDINGS_MAX + 50):
        episode.log(Thought(text="x"))
    history = open_history()
    damage(history.path, f"UPDATE step SET parent_id = {NOBODY}")

    found = history.verify()

    assert (len(found.findings), found.findings_count) == (FINDINGS_MAX, FINDINGS_MAX + 51)


def test_a_history_is_described(
    whole: EpisodeScript, builder: HistoryBuilder, open_history: OpenHistory
) -> None:
    """The figures of a history say which database it is and how much it holds."""
    history = open_history()
    damage(history.path, "INSERT INTO redaction VALUES ('bearer_token', 3)")

    info = history.info()

    assert info.database_id == id_text(builder.store.database_id)
    assert info.epoch == builder.store.epoch
    assert (info.schema_version, info.last_cursor, info.pruned_to) == (1, 11, 0)
    assert (info.episodes, info.running, info.steps, info.errors, info.losses) == (2, 1, 11, 1, 0)
    assert [(each.kind, each.count) for each in info.redactions] == [("bearer_token", 3)]
    assert history.last_cursor() == 11
