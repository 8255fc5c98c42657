"""Assembly: from frames to rows, with what is missing named and what is secret gone."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import apsw
import pytest
from tests.support.frames import NO_ID, OPEN, SCHEMA, Owner, encode_step, new_id, thought
from tests.support.rounds import Office, Pen, Place, Shelf, file_bytes, settings

from stepstream.schemas.episode import EpisodeEnd, EpisodeStart, Status
from stepstream.schemas.identity import id_text
from stepstream.schemas.kinds import Loss, StatusChange
from stepstream.store.redaction import Redaction, Redactor
from stepstream.store.sqlite.connection import open_reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.frames import HandSegment

SECRET = "sk-proj-" + "Ab3dEfGh1JkLmN0pQrStUvWxYz" * 2


def settle(place: Place, **options: str | float | bool) -> Shelf:
    """Commit all there is."""
    with Office(place, settings(**options)) as office:
        office.settle()
    return Shelf(place.database)


def ask(place: Place, sql: str) -> list[tuple[object, ...]]:
    """Ask the file."""
    connection = open_reader(place.database)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def status(segment: HandSegment, change: StatusChange, agent: bytes = b"") -> HandSegment:
    """Put a status change behind what is there."""
    return segment.step(change.encoded(), kind=b"status_change", agent=agent)


# ----------------------------------------------------------------------------------------------- episodes


def test_an_episode_is_what_its_first_step_says(place: Place) -> None:
    """The row of an episode follows from its start and its end."""
    segment = place.segment()
    start = EpisodeStart(name="Wall bracket", problem="bracket-17", attempt=2, tags=("demo",))
    status(segment, StatusChange(status=Status.RUNNING, start=start), agent=b"planner").steps(2)
    end = EpisodeEnd(outcome="accepted", score=0.5)
    status(segment, StatusChange(status=Status.COMPLETED, end=end)).write(place.spool)
    shelf = settle(place)

    assert [step.sequence for step in shelf.steps] == [0, 1, 2, 3]
    (row,) = ask(
        place, "SELECT name, status, problem, attempt, tags, agent, outcome, score, implied FROM episode"
    )
    assert row == ("Wall bracket", "completed", "bracket-17", 2, '["demo"]', "planner", "accepted", 0.5, 0)


def test_a_step_of_an_unknown_episode_makes_one(place: Place) -> None:
    """Where the beginning of an episode is missing one is made up, and says so."""
    segment = place.segment().steps(1)
    segment.write(place.spool)
    shelf = settle(place)

    start = shelf.steps[0].payload["start"]
    assert isinstance(start, dict)
    assert start["implied"] is True
    assert shelf.steps[1].text == "0"


def test_a_late_beginning_is_taken(place: Place) -> None:
    """The true start of an implied episode, arriving later, gives it its name."""
    episode = new_id()
    early = place.segment(first=0)
    early.episode = episode
    early.steps(1).write(place.spool)
    settle(place)
    late = place.segment()
    late.episode = episode
    status(late, StatusChange(status=Status.RUNNING, start=EpisodeStart(name="late"))).write(place.spool)
    settle(place)

    assert ask(place, "SELECT name, implied FROM episode") == [("late", 0)]


def test_what_comes_after_the_end_is_kept_and_flagged(place: Place) -> None:
    """Steps behind the end of an episode are stored, marked, and do not undo it."""
    segment = place.segment()
    status(segment, StatusChange(status=Status.RUNNING, start=EpisodeStart(name="a")))
    status(segment, StatusChange(status=Status.FAILED, reason="why")).steps(1)
    status(segment, StatusChange(status=Status.COMPLETED)).write(place.spool)
    settle(place)

    assert ask(place, "SELECT after_end FROM step ORDER BY sequence") == [(0,), (0,), (1,), (1,)]
    assert ask(place, "SELECT status, reason FROM episode") == [("failed", "why")]


def test_a_dead_process_interrupts_what_it_opened(place: Place) -> None:
    """When a recorder ends without a word its episodes are interrupted, and say what was open."""
    segment = place.segment()
    status(segment, StatusChange(status=Status.RUNNING, start=EpisodeStart(name="a")))
    call, done = new_id(), new_id()
    payload = b'{"tool":"simulate"}'
    for step in (call, done):
        segment.step(payload, kind=b"tool_call", step=step)
    body = encode_step(b"{}", kind=b"observation", episode=segment.episode, closes=done)
    segment.body(body).write(place.spool)
    shelf = settle(place)

    last = shelf.steps[-1]
    assert last.payload["status"] == "interrupted"
    end = last.payload["end"]
    assert isinstance(end, dict)
    assert end["open_steps"] == [id_text(call)]


def test_interrupted_goes_by_recorder_and_not_by_segment(place: Place) -> None:
    """A sealed segment ends nothing; the recorder's death ends only the episodes that it opened."""
    pen = Pen(place)
    pen.write("0")
    pen.recorder.seal()
    pen.write("1")
    guest = place.segment()
    guest.episode = pen.episode
    guest.step(stamp=time.monotonic_ns()).write(place.spool)
    with Office(place) as office:
        office.until(lambda: len(place.segments()) == 1)
        assert Shelf(place.database).status[pen.episode] == "running"
        pen.crash()
        office.settle()
        shelf = Shelf(place.database)
    assert shelf.status[pen.episode] == "interrupted"
    assert [step.kind for step in shelf.steps].count("status_change") == 2


# ------------------------------------------------------------------------------------------------- losses


def losses(shelf: Shelf) -> list[tuple[int, int | None, str]]:
    """What is said to be lost."""
    return [(loss.first, loss.last, str(loss.reason)) for loss in shelf.losses()]


def test_a_gap_at_the_beginning_is_named(place: Place) -> None:
    """A recorder whose first numbers never came has lost them."""
    place.segment(first=4).steps(2).write(place.spool)

    assert losses(settle(place)) == [(0, 3, "missing")]


def test_a_gap_between_segments_is_named_once(place: Place) -> None:
    """A hole between two files of one recorder is one loss."""
    first = place.segment().steps(2)
    first.write(place.spool, name="a.segment")
    second = place.segment(recorder=first.recorder, first=7)
    second.steps(2).write(place.spool, name="b.segment")

    assert losses(settle(place)) == [(2, 6, "missing")]


def test_a_gap_at_the_end_is_named_by_the_tally(place: Place) -> None:
    """Numbers that the owner gave out and never wrote are named when it is gone."""
    segment = place.segment().steps(2)
    segment.next, segment.refused = 5, 3
    segment.write(place.spool)

    assert losses(settle(place)) == [(2, 4, "refused")]


def test_refused_steps_are_named_by_whoever_lives(place: Place) -> None:
    """A recorder that refused and went on has a loss between what it could record."""
    first = place.segment().steps(1)
    first.write(place.spool, name="a.segment")
    second = place.segment(recorder=first.recorder, first=10).steps(1)
    second.refused = 9
    second.write(place.spool, name="b.segment")

    assert losses(settle(place)) == [(1, 9, "refused")]


def test_a_damaged_tail_of_a_sealed_segment_is_named_once(place: Place) -> None:
    """Damage at the end of a sealed segment whose recorder went on is one loss with exact numbers."""
    first = place.segment().steps(3)
    whole = first.encoded()
    second = place.segment(recorder=first.recorder, first=3).steps(2)
    first.write(place.spool, whole[:-20] + bytes(20), name="a.segment")
    second.write(place.spool, name="b.segment")
    shelf = settle(place)

    (loss,) = shelf.losses()
    assert (loss.first, loss.last) == (2, 2)
    assert shelf.texts() == ["0", "1", "3", "4"]
    assert len(place.damaged()) == 1


def test_a_loss_stands_in_the_latest_episode_of_its_recorder(place: Place) -> None:
    """What a recorder lost is shown where it was last seen, and else in an episode of its own."""
    segment = place.segment().steps(1).add(b"", numbers=3).steps(1)
    segment.write(place.spool)
    homeless = place.segment()
    homeless.next = homeless.refused = 2
    homeless.write(place.spool)
    shelf = settle(place)

    (seen,) = [step for step in shelf.steps if step.kind == "loss" and step.recorder == segment.recorder]
    assert seen.episode == segment.episode
    (alone,) = [step for step in shelf.steps if step.kind == "loss" and step.recorder == homeless.recorder]
    assert alone.episode == homeless.recorder
    Shelf(place.database).audit()


def test_a_loss_is_not_told_again(place: Place) -> None:
    """A gap that was named is not named by the next committer, nor when its segment is replayed."""
    segment = place.segment(first=4).steps(2)
    segment.write(place.spool)
    settle(place)
    segment.write(place.spool)

    assert losses(settle(place)) == [(0, 3, "missing")]


# ------------------------------------------------------------------------------------------------ secrets


def searched(place: Place, *secrets: str) -> list[str]:
    """Which of the texts stand anywhere in the database or its log."""
    held = file_bytes(place.directory)
    return [secret for secret in secrets if secret.encode() in held or secret.encode("utf-16-le") in held]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (b"thought", {"text": f"use {SECRET} for it"}),
        (b"thought", {"text": f"{SECRET} " + "long " * 1_000}),
        (b"tool_call", {"tool": "curl", "arguments": {"headers": {"Authorization": f"Bearer {SECRET}"}}}),
        (b"tool_call", {"tool": "t", "arguments": {SECRET: 1}}),
        (b"observation", {"result": [[{"deep": [SECRET]}]]}),
        (b"observation", {"result": json.dumps({"nested": json.dumps({"api_key": SECRET})})}),
        (b"error_report", {"message": "401", "traceback": f'File "x.py"\n  key = "{SECRET}"\n'}),
        (b"message", {"author": "a", "text": SECRET}),
        (b"log_line", {"level": "info", "logger": "l", "text": "t", "fields": {"password": SECRET}}),
        (
            b"model_call",
            {
                "model": "m",
                "messages": [{"role": "system", "parts": [{"type": "text", "text": SECRET + "x " * 2_000}]}],
            },
        ),
        (b"model_call", {"model": "m", "tools": [{"name": "t", "description": SECRET + " x" * 2_000}]}),
        (b"model_reply", {"rendered_completion": SECRET}),
        (
            b"status_change",
            {"status": "running", "start": {"name": SECRET, "tags": [SECRET], "problem": SECRET}},
        ),
        (b"status_change", {"status": "completed", "reason": SECRET, "end": {"outcome": SECRET}}),
        (
            b"status_change",
            {"status": "running", "start": {"name": "n", "metadata": {"model": "m", "value": {"k": SECRET}}}},
        ),
        (b"feedback", {"author": "a", "comment": SECRET}),
        (
            b"artifact_attached",
            {"artifact": {"sha256": "0" * 64, "name": SECRET, "media_type": "a/b", "size_bytes": 1}},
        ),
    ],
)
def test_a_secret_never_reaches_the_database(place: Place, kind: bytes, payload: dict[str, object]) -> None:
    """A secret anywhere in a payload stands neither in the database nor in its log, and is counted."""
    place.segment().step(json.dumps(payload).encode(), kind=kind).write(place.spool)
    shelf = settle(place)

    assert [step.kind for step in shelf.steps].count(kind.decode()) >= 1
    assert shelf.losses() == []
    assert searched(place, SECRET) == []
    assert sum(int(str(count)) for (count,) in ask(place, "SELECT count FROM redaction")) >= 1


def test_without_redaction_the_search_finds_it(place: Place) -> None:
    """With redaction off the same search finds the secret, so the test above can fail."""
    place.segment().step(thought(SECRET)).write(place.spool)
    from stepstream.settings import RedactionSettings

    options = settings().model_copy(update={"redaction": RedactionSettings(enabled=False)})
    with Office(place, options) as office:
        office.settle()

    assert searched(place, SECRET) == [SECRET]


@pytest.mark.parametrize(
    "payload",
    [
        f'{{"text":"{SECRET}"'.encode(),
        f'{{"text":"{SECRET}","more":1}}'.encode(),
        f'{{"text":1,"{SECRET}":2}}'.encode(),
        f"{SECRET}".encode(),
        f'{{"text":"{SECRET}"}}'.encode("utf-16"),
        f'["{SECRET}"]'.encode(),
    ],
    ids=["cut", "unknown field", "unknown name", "no JSON", "UTF-16", "a list"],
)
def test_a_secret_in_a_refused_step_does_not_come_back_in_its_loss(place: Place, payload: bytes) -> None:
    """The loss of a step that does not fit quotes no secret; its bytes stay in the spool."""
    place.segment().step(payload).write(place.spool)
    shelf = settle(place)

    assert losses(shelf) == [(0, 0, "invalid")]
    assert searched(place, SECRET) == []
    assert SECRET[:20] not in str(shelf.losses())


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"kind": "r", "version": 1, "schema": {"properties": {"k": {"default": SECRET}}}}),
        json.dumps({"kind": SECRET, "version": 1, "schema": {}}),
        json.dumps({"kind": "r", "version": 1, "schema": {}, SECRET: 1}),
        json.dumps({"kind": "r", "version": 1, "schema": {"type": SECRET}}),
        json.dumps({"kind": "r", "version": 1, "schema": {"$ref": f"http://127.0.0.1/{SECRET}"}}),
        f'{{"kind":"{SECRET}',
    ],
    ids=["a default", "the kind", "an unknown field", "a wrong type", "an address", "cut"],
)
def test_a_secret_in_a_schema_never_reaches_the_database(place: Place, body: str) -> None:
    """A secret in an announced schema, sound or not, is taken out like one in a payload."""
    place.segment().body(body.encode(), kind=SCHEMA).steps(1).write(place.spool)
    shelf = settle(place)

    assert shelf.texts() == ["1"]
    assert searched(place, SECRET) == []
    assert SECRET[:20] not in str(shelf.losses())


def test_a_redacted_payload_still_fits_its_kind(place: Place) -> None:
    """Numbers under secret-looking names stay numbers, and what is stored validates."""
    payload = {"usage": {"input_tokens": 1200}, "rendered_completion": f"key={SECRET}"}
    place.segment().step(json.dumps(payload).encode(), kind=b"model_reply").write(place.spool)
    shelf = settle(place)

    (reply,) = [step for step in shelf.steps if step.kind == "model_reply"]
    usage = reply.payload["usage"]
    assert isinstance(usage, dict)
    assert usage["input_tokens"] == 1200
    assert "[redacted:" in str(reply.payload["rendered_completion"])


class Failing(Redactor):
    """A redactor that raises on every suspect."""

    def redact(self, payload: bytes) -> Redaction:
        raise RuntimeError("a rule of the project's own")


class Spoiling(Redactor):
    """A redactor that leaves something that does not fit its kind."""

    def redact(self, payload: bytes) -> Redaction:
        return Redaction(b'{"text":' + payload + b"}")


class Blind(Redactor):
    """A redactor that cannot even tell what is suspect."""

    def suspects(self, payloads: Sequence[bytes]) -> list[int]:
        raise RuntimeError("broken")


@pytest.mark.parametrize("broken", [Failing, Spoiling])
def test_a_redactor_that_fails_fails_closed(place: Place, broken: type[Redactor]) -> None:
    """When a redactor raises, or spoils a payload, every text of that payload is withheld, and counted."""
    segment = place.segment().steps(1).step(thought(f"some text and {SECRET}")).steps(1)
    segment.write(place.spool)
    with Office(place) as office:
        office.committer.stand()
        office.committer._assembler.ledger._redactor.__class__ = broken  # type: ignore[union-attr]
        office.settle()
    shelf = Shelf(place.database)

    assert len(shelf.texts()) == 3
    assert shelf.texts()[0] == "0"
    assert searched(place, SECRET, "some text and") == []
    assert ask(place, "SELECT kind FROM redaction") == [("unscannable",)]


def test_a_redactor_that_cannot_look_lets_nothing_through(place: Place) -> None:
    """When nobody can say what is suspect nothing is stored, everything is kept aside and named."""
    segment = place.segment().steps(2).step(thought(SECRET))
    segment.write(place.spool)
    with Office(place) as office:
        office.committer.stand()
        office.committer._assembler.ledger._redactor.__class__ = Blind  # type: ignore[union-attr]
        office.settle()
    shelf = Shelf(place.database)

    assert shelf.texts() == []
    assert shelf.missing(segment.recorder) == {0, 1, 2}
    assert searched(place, SECRET) == []


def test_pooled_texts_are_redacted_before_they_are_hashed(place: Place) -> None:
    """Two long texts that differ in a secret alone are not the same, and neither is found by its own hash."""
    from stepstream.store.content import content_hash

    text = "a long text " * 200 + SECRET
    place.segment().step(thought(text)).write(place.spool)
    settle(place)

    assert ask(place, "SELECT count(*) FROM content") == [(1,)]
    (key,) = ask(place, "SELECT hash FROM content")[0]
    assert key != content_hash(text.encode())
    assert "[redacted:" in str(ask(place, "SELECT body FROM content")[0][0])


# ------------------------------------------------------------------------------------------------- details


def test_names_are_told_apart_by_their_lengths(place: Place) -> None:
    """Kind, agent and role that read the same when joined are not confused."""
    segment = place.segment()
    for agent, role in ((b"ab", b"c"), (b"a", b"bc"), (b"", b"abc"), (b"abc", b"")):
        body = encode_step(thought("x"), episode=segment.episode, agent=agent, role=role)
        segment.body(body)
    segment.write(place.spool)
    settle(place)

    rows = ask(place, "SELECT agent, role FROM step WHERE kind = 'thought' ORDER BY cursor")
    assert rows == [("ab", "c"), ("a", "bc"), (None, "abc"), ("abc", None)]


def test_absent_is_null(place: Place) -> None:
    """What an envelope does not say is null, and the time is the frame's own."""
    segment = place.segment().steps(1)
    body = encode_step(
        thought("1"), episode=segment.episode, occurred_at=77, parent=new_id(), closes=new_id()
    )
    segment.body(body).write(place.spool)
    settle(place)

    rows = ask(
        place, "SELECT parent_id IS NULL, closes IS NULL, occurred_at FROM step WHERE kind = 'thought'"
    )
    assert [row[:2] for row in rows] == [(1, 1), (0, 0)]
    assert rows[1][2] == 77
    assert int(str(rows[0][2])) > 10**18
    assert NO_ID not in [row[0] for row in ask(place, "SELECT id FROM step")]


def test_keys_and_cursors_go_on_after_a_restart(place: Place) -> None:
    """A committer that comes later numbers on where the last one stopped."""
    for number in range(4):
        place.segment().steps(2).write(place.spool)
        shelf = settle(place)
        shelf.audit()
        assert len(shelf.texts()) == 2 * (number + 1)
    assert ask(place, "SELECT key FROM recorder ORDER BY key") == [(1,), (2,), (3,), (4,)]


def test_the_text_of_a_loss_is_readable(place: Place) -> None:
    """A loss names recorder, numbers, reason and file in one typed payload."""
    segment = place.segment().step(b"no JSON at all")
    segment.write(place.spool)
    shelf = settle(place)

    (loss,) = shelf.losses()
    assert isinstance(loss, Loss)
    assert loss.recorder_id == id_text(segment.recorder)
    assert loss.detail
    assert loss.kept_as == f"damaged/{place.damaged()[0].name}"


def test_a_living_recorders_gap_waits_for_nothing(place: Place) -> None:
    """A jump in the numbers of a recorder that lives is told with its next step, not at its end."""
    segment = place.segment().steps(1)
    segment.state = OPEN
    path = segment.write(place.spool)
    with Owner(path) as owner, Office(place) as office:
        office.drain()
        segment.add(b"", numbers=5).steps(1)
        owner.write(segment.frames[-1])
        office.until(lambda: losses(Shelf(place.database)) == [(1, 5, "missing")])


def test_the_file_says_what_kinds_it_holds(place: Place) -> None:
    """An announced schema is kept verbatim, once, whoever announces it again."""
    schema = {"type": "object", "title": "Result"}
    for _ in range(2):
        place.segment().schema("result", 1, schema).step(b"{}", kind=b"result").write(place.spool)
        settle(place)

    (row,) = ask(place, "SELECT kind, schema_version, json_schema FROM payload_schema WHERE kind = 'result'")
    assert row[:2] == ("result", 1)
    assert json.loads(str(row[2])) == schema


def test_nobody_can_write_a_row_around_the_types(place: Place) -> None:
    """Even by hand SQLite takes no text where a number belongs."""
    settle_once = place.segment().steps(1)
    settle_once.write(place.spool)
    settle(place)
    connection = apsw.Connection(str(place.database))
    with pytest.raises(apsw.ConstraintError):
        connection.execute("UPDATE step SET sequence = 'first'")
    connection.close()
