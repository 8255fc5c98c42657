"""Posts become steps: whole or not at all, once however often they are posted, with nothing missing untold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic_core import to_json
from tests.support.rounds import Office, Pen, Place, Shelf, settings

from stepstream.errors import ValidationFailed
from stepstream.schemas.identity import id_bytes, id_text, new_id
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.post import KindRegistration, StepPost
from stepstream.settings import RedactionSettings
from stepstream.spool.frame import FrameKind
from stepstream.store.post_office import OfficeClosed, Posting, PostOffice, Registration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from stepstream.schemas.post import KindRegistered, StepsAccepted
    from stepstream.schemas.record import JsonObject, JsonValue
    from stepstream.schemas.stream import Delta

WITHIN_S = 10.0
SECRET = "sk-ant-api03-" + "Zq8" * 31 + "AA"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def office(place: Place) -> Iterator[Office]:
    with Office(place, server=True) as office:
        office.committer.work()
        yield office


class Sender:
    """A process elsewhere that posts thoughts, counting them."""

    def __init__(self) -> None:
        self.recorder: JsonObject = {"id": id_text(new_id()), "pid": 7, "host": "elsewhere", "started_at": 5}
        self.episode = id_text(new_id())
        self.next_number = 0

    @property
    def id(self) -> bytes:
        return id_bytes(str(self.recorder["id"]))

    def thought(self, text: str, **fields: JsonValue) -> JsonObject:
        number, self.next_number = self.next_number, self.next_number + 1
        return {
            "id": id_text(new_id()),
            "episode_id": self.episode,
            "kind": "thought",
            "payload": {"text": text},
            "occurred_at": 1_000 + number,
            "recorder": 0,
            "number": number,
            **fields,
        }

    def post(self, *steps: JsonObject, **fields: JsonValue) -> StepPost:
        value: JsonObject = {"recorders": [self.recorder], "steps": list(steps), **fields}
        return StepPost.model_validate_json(to_json(value))


def send(office: Office, post: StepPost, sender: str = "somebody") -> StepsAccepted:
    posting = Posting(post, sender)
    assert office.post_office is not None
    office.post_office.hand_in(posting)
    office.until(posting.accepted.done)
    return posting.accepted.result(0)


def register(office: Office, kind: str, schema: JsonObject) -> KindRegistered:
    value = {"kind": kind, "version": 1, "json_schema": schema}
    registration = Registration(KindRegistration.model_validate_json(to_json(value)))
    assert office.post_office is not None
    office.post_office.hand_in(registration)
    office.until(registration.registered.done)
    return registration.registered.result(0)


def test_posted_steps_are_stored_in_their_order(place: Place, office: Office) -> None:
    """What is posted stands in the log in the order of the post, under its episode."""
    sender = Sender()

    accepted = send(office, sender.post(*(sender.thought(f"{n}") for n in range(5))))

    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == ["0", "1", "2", "3", "4"]
    assert (accepted.stored, accepted.known, accepted.cursor) == (5, 0, shelf.steps[-1].cursor)
    assert shelf.recorders[sender.id] == 4


def test_a_post_that_is_posted_again_stores_nothing_twice(place: Place, office: Office) -> None:
    """Where an answer was lost the same post is answered again, and the log is as it was."""
    sender = Sender()
    post = sender.post(sender.thought("once"), sender.thought("and only"))
    send(office, post)

    accepted = send(office, post)

    assert (accepted.stored, accepted.known) == (0, 2)
    assert Shelf(place.database).texts() == ["once", "and only"]


def test_an_overlapping_post_stores_what_is_new(place: Place, office: Office) -> None:
    """A post that begins with known steps and goes on with new ones adds the new ones alone."""
    sender = Sender()
    first, second, third = (sender.thought(text) for text in "abc")
    send(office, sender.post(first, second))

    accepted = send(office, sender.post(second, third))

    assert (accepted.stored, accepted.known) == (1, 1)
    assert Shelf(place.database).texts() == ["a", "b", "c"]


def test_steps_without_numbers_are_known_by_their_ids(place: Place, office: Office) -> None:
    """Another language counts nothing, and still nothing is stored twice."""
    sender = Sender()
    steps = [sender.thought(text, number=None, recorder=None) for text in "xy"]
    post = StepPost.model_validate_json(to_json({"steps": [*steps, steps[0]]}))
    send(office, post)

    accepted = send(office, post)

    assert (accepted.stored, accepted.known) == (0, 3)
    assert Shelf(place.database).texts() == ["x", "y"]


def test_a_jump_in_the_numbers_becomes_a_loss(place: Place, office: Office) -> None:
    """Numbers that were never posted are told as missing."""
    sender = Sender()
    send(office, sender.post(sender.thought("zero")))
    sender.next_number = 4

    send(office, sender.post(sender.thought("four")))

    (loss,) = Shelf(place.database).losses(sender.id)
    assert (loss.first, loss.last, loss.reason) == (1, 3, LossReason.MISSING)


def test_a_gap_that_stands_for_no_step_is_no_loss(place: Place, office: Office) -> None:
    """Announced schemas take numbers, and whoever posts says so."""
    sender = Sender()
    sender.next_number = 1
    gap: JsonObject = {"recorder": 0, "first": 0, "last": 0}

    send(office, sender.post(sender.thought("one"), gaps=[gap, {"recorder": 0, "first": 2, "last": 3}]))

    shelf = Shelf(place.database)
    assert shelf.losses(sender.id) == []
    assert shelf.recorders[sender.id] == 3


def test_a_gap_with_a_reason_becomes_the_loss_it_tells_of(place: Place, office: Office) -> None:
    """What the other machine knows of its losses is kept as it says it."""
    sender = Sender()
    sender.next_number = 2
    gap: JsonObject = {
        "recorder": 0,
        "first": 0,
        "last": 1,
        "reason": "refused",
        "detail": "the disk was full",
    }

    send(office, sender.post(sender.thought("two"), gaps=[gap]))

    (loss,) = Shelf(place.database).losses(sender.id)
    assert (loss.first, loss.last, loss.reason, loss.detail) == (0, 1, "refused", "the disk was full")


def test_one_bad_step_refuses_the_whole_post(place: Place, office: Office) -> None:
    """The refusal names the step by its place, and nothing of the post is stored."""
    sender = Sender()
    bad = sender.thought("good until", payload={"text": 7})

    with pytest.raises(ValidationFailed) as refused:
        send(office, sender.post(sender.thought("fine"), bad))

    assert [problem.field for problem in refused.value.problems] == ["steps.1.payload"]
    shelf = Shelf(place.database)
    assert shelf.steps == []
    assert shelf.recorders == {}


def test_a_refused_post_leaves_the_committer_as_it_was(place: Place, office: Office) -> None:
    """After a refusal the corrected post is stored, with sequences from 0 and no loss."""
    sender = Sender()
    fine = sender.thought("fine")
    with pytest.raises(ValidationFailed):
        send(office, sender.post(fine, sender.thought("x", payload={"wrong": 1}, number=1)))
    sender.next_number = 1

    send(office, sender.post(fine, sender.thought("corrected")))

    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == ["fine", "corrected"]
    assert shelf.losses() == []


def test_an_unregistered_kind_is_refused_with_the_way_to_register_it(office: Office) -> None:
    """A kind of a project's own needs its schema first, and the refusal says how."""
    sender = Sender()
    step = sender.thought("", kind="weather_report", payload={"celsius": 3})

    with pytest.raises(ValidationFailed, match=r"POST /api/v1/kinds .*weather_report"):
        send(office, sender.post(step))


def test_a_registered_kind_is_checked_by_its_schema(place: Place, office: Office) -> None:
    """After its registration a kind is stored where it fits, and refused where it does not."""
    schema: JsonObject = {
        "type": "object",
        "properties": {"celsius": {"type": "number"}},
        "required": ["celsius"],
        "additionalProperties": False,
    }
    assert register(office, "weather_report", schema).is_new
    assert not register(office, "weather_report", schema).is_new
    sender = Sender()
    send(office, sender.post(sender.thought("", kind="weather_report", payload={"celsius": 3})))

    with pytest.raises(ValidationFailed, match="celsius"):
        send(office, sender.post(sender.thought("", kind="weather_report", payload={"celsius": "warm"})))

    assert [step.payload for step in Shelf(place.database).steps if step.kind == "weather_report"] == [
        {"celsius": 3}
    ]


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:1/schema.json"}, {"pattern": "("}]
)
def test_what_is_no_schema_is_refused(office: Office, schema: JsonObject) -> None:
    """A schema that payloads cannot be checked by is refused, and nothing is fetched for it."""
    with pytest.raises(ValidationFailed):
        register(office, "odd_kind", schema)


def test_an_ended_recorder_leaves_its_episode_interrupted(place: Place, office: Office) -> None:
    """When a process elsewhere ended, what it left open is interrupted, once."""
    sender = Sender()
    start: JsonObject = {"status": "running", "start": {"name": "far away"}}
    begin = sender.thought("", kind="status_change", payload=start)
    call = sender.thought("", kind="tool_call", payload={"tool": "simulate", "arguments": {}})
    post = sender.post(begin, call, ends=[{"recorder": 0, "next_number": 2}])

    send(office, post)
    send(office, post)

    shelf = Shelf(place.database)
    assert shelf.status == {id_bytes(sender.episode): "interrupted"}
    assert [step.payload.get("status") for step in shelf.steps if step.kind == "status_change"] == [
        "running",
        "interrupted",
    ]


def test_numbers_missing_at_the_end_are_told(place: Place, office: Office) -> None:
    """A recorder that ended beyond its last posted step has lost what lies between."""
    sender = Sender()

    send(office, sender.post(sender.thought("last"), ends=[{"recorder": 0, "next_number": 3}]))

    assert Shelf(place.database).missing(sender.id) == {1, 2}


def test_a_machine_may_be_renamed_under_a_recorder(place: Place, office: Office) -> None:
    """The name of the machine does not tell recorders apart: it may change while one logs."""
    sender = Sender()
    send(office, sender.post(sender.thought("before")))
    sender.recorder["host"] = "renamed"

    send(office, sender.post(sender.thought("after")))

    assert Shelf(place.database).texts() == ["before", "after"]


def test_somebody_elses_recorder_cannot_be_taken(place: Place, office: Office) -> None:
    """A recorder's id that another process has used is refused."""
    sender = Sender()
    send(office, sender.post(sender.thought("mine")))
    sender.recorder["boot_id"] = "0" * 32

    with pytest.raises(ValidationFailed, match="another process"):
        send(office, sender.post(sender.thought("not mine")))

    assert Shelf(place.database).texts() == ["mine"]


@pytest.mark.parametrize("missing", ["recorder", "number"])
def test_a_recorder_counts_all_its_steps(office: Office, missing: str) -> None:
    """A step that names a recorder and no number, or the other way round, is refused by its place."""
    sender = Sender()

    with pytest.raises(ValidationFailed, match=r"steps\.0\.number"):
        send(office, sender.post(sender.thought("x", **{missing: None})))


@pytest.mark.parametrize("place_of", ["steps", "gaps", "ends"])
def test_a_recorder_that_is_not_listed_is_refused(office: Office, place_of: str) -> None:
    """What names a recorder that the post does not list is refused by its place."""
    sender = Sender()
    named: dict[str, JsonObject] = {
        "steps": sender.thought("x", recorder=3),
        "gaps": {"recorder": 3, "first": 0, "last": 0},
        "ends": {"recorder": 3},
    }
    value: JsonObject = {"recorders": [sender.recorder], place_of: [named[place_of]]}

    with pytest.raises(ValidationFailed, match=rf"{place_of}\.0\.recorder"):
        send(office, StepPost.model_validate_json(to_json(value)))


def test_an_id_for_two_things_is_refused_and_others_go_on(place: Place, office: Office) -> None:
    """A number that is new with an id that is stored cannot be kept, and holds up nobody else."""
    sender, other = Sender(), Sender()
    first = sender.thought("first")
    send(office, sender.post(first))

    with pytest.raises(ValidationFailed, match="refuses a row"):
        send(office, sender.post(sender.thought("second", id=first["id"])))
    send(office, other.post(other.thought("from elsewhere")))

    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == ["first", "from elsewhere"]


def test_what_follows_a_refused_post_has_its_place(place: Place, office: Office) -> None:
    """What a refused post had taken is free again: the next step of its episode, the next number of its recorder."""
    sender = Sender()
    first = sender.thought("first")
    send(office, sender.post(first))
    with pytest.raises(ValidationFailed, match="refuses a row"):
        send(office, sender.post(sender.thought("second"), sender.thought("third", id=first["id"])))
    sender.next_number = 1

    accepted = send(office, sender.post(sender.thought("second"), sender.thought("third")))

    shelf = Shelf(place.database)
    shelf.audit()
    assert shelf.texts() == ["first", "second", "third"]
    assert [step.sequence for step in shelf.steps] == list(range(len(shelf.steps)))
    assert (accepted.stored, shelf.recorders[sender.id], shelf.losses()) == (2, 2, [])


def test_what_cannot_be_shown_is_stored_all_the_same(place: Place) -> None:
    """Whoever shows what is being made may fail at it; steps are committed, posts answered, the office is kept."""
    failures: list[int] = []

    def fail(deltas: Sequence[Delta]) -> None:
        failures.append(len(deltas))
        raise RuntimeError("nobody can be told")

    options = settings().model_copy(update={"redaction": RedactionSettings(enabled=False)})
    with Office(place, options, server=True, on_deltas=fail) as office:
        office.committer.work()
        term = office.committer._generation
        sender, pen = Sender(), Pen(place)
        step = sender.thought("posted")
        delta: JsonObject = {"step_id": step["id"], "episode_id": sender.episode, "text": "p"}
        accepted = send(office, sender.post(step, deltas=[delta]))
        pen.write("logged")
        pen.recorder.append(int(FrameKind.DELTA), to_json(delta))
        office.drain()
        pen.close()

        assert (accepted.stored, failures) == (1, [1, 1])
        assert (office.committer.elected, office.committer._generation) == (True, term)
    assert sorted(Shelf(place.database).texts()) == ["logged", "posted"]


def test_secrets_are_taken_out_of_what_is_posted(place: Place, office: Office) -> None:
    """A post passes the same redaction as the spool."""
    sender = Sender()

    send(office, sender.post(sender.thought(f"the key is {SECRET} there")))

    (text,) = Shelf(place.database).texts()
    assert SECRET[14:] not in text
    assert "redacted" in text.lower()


def test_without_the_office_nothing_is_taken_in() -> None:
    """Whoever posts where nobody commits is told to come back."""
    office = PostOffice()
    try:
        with pytest.raises(OfficeClosed, match="does not commit"):
            office.hand_in(Posting(StepPost(), "somebody"))
    finally:
        office.close()


def test_a_crowd_is_told_to_come_back(office: Office) -> None:
    """What waits is bounded, and whoever comes beyond the bound hears so at once."""
    assert office.post_office is not None
    post_office = office.post_office

    def crowd() -> None:
        for _ in range(10_000):
            post_office.hand_in(Posting(StepPost(), "somebody"))

    with pytest.raises(OfficeClosed, match="too many"):
        crowd()


def test_what_waits_is_given_back_when_the_office_is_left(office: Office) -> None:
    """A post that nobody will commit fails at once, so that it is posted elsewhere."""
    posting = Posting(StepPost(), "somebody")
    assert office.post_office is not None
    office.post_office.hand_in(posting)

    office.committer.leave()

    with pytest.raises(OfficeClosed):
        posting.accepted.result(0)


def test_a_post_that_was_given_up_is_not_stored(place: Place, office: Office) -> None:
    """Where nobody waits for the answer any more, the post is not begun."""
    sender = Sender()
    posting = Posting(sender.post(sender.thought("too late")), "somebody")
    assert office.post_office is not None
    office.post_office.hand_in(posting)
    assert posting.accepted.cancel()

    send(office, sender.post(sender.thought("in time", number=0)))

    assert Shelf(place.database).texts() == ["in time"]


def test_a_post_is_answered_only_when_the_disk_has_it(place: Place, office: Office) -> None:
    """The answer comes after the flush: whoever posted deletes his copy on it."""
    sender = Sender()
    posting = Posting(sender.post(sender.thought("flushed")), "somebody")
    assert office.post_office is not None
    sync = office.committer._sync
    assert sync is not None
    seen: list[bool] = []
    posting.accepted.add_done_callback(lambda _: seen.append(sync.synced >= sync.commits))
    office.post_office.hand_in(posting)

    office.until(lambda: bool(seen))

    assert seen == [True]


def test_a_post_into_a_file_that_is_gone_is_given_back(place: Place, office: Office) -> None:
    """Where the path names the file no more when it is flushed, nobody is told that the disk has it."""
    sender = Sender()
    posting = Posting(sender.post(sender.thought("in doubt")), "somebody")
    assert office.post_office is not None
    place.database.unlink()
    office.post_office.hand_in(posting)

    office.until(posting.accepted.done)

    with pytest.raises(OfficeClosed):
        posting.accepted.result(0)
