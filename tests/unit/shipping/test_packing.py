"""Packing: what was logged becomes JSON that a server reads as a post, without secrets and with every number."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json
from tests.support.frames import DELTA, SCHEMA, encode_frame, encode_step, new_id, thought

from stepstream.schemas.kinds import LossReason, Thought
from stepstream.schemas.post import STEPS_MAX, PostedGap, StepPost
from stepstream.shipping.mark import UNMARKED, Mark
from stepstream.shipping.packing import Packer
from stepstream.shipping.parcel import Parcel, Sender, sender_of
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.intake import Intake
from stepstream.store.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.rounds import Place

    from stepstream.store.assembly import Taken

SECRET = "sk-ant-api03-" + "aB3-_xY7" * 11 + "AA"
OWN_SCHEMA = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}


class Desk:
    """A packer and the spool it packs from."""

    def __init__(self, place: Place) -> None:
        self.spool = SpoolDirectory(place.database)
        self.intake = Intake(self.spool)
        self.intake.begin(place.database_id, {})
        self.packer = Packer()
        self.senders: dict[bytes, Sender] = {}
        self.marks: dict[str, Mark] = {}
        self.taken: list[Taken] = []

    def gather(self, last: int = -1) -> Desk:
        """Take everything; of unknown recorders the server knows the numbers up to ``last``."""
        self.intake.discover()
        while taken := self.intake.gather(2**62):
            self.taken += taken
        for _, reader in self.taken:
            self.senders.setdefault(reader.recorder_id, sender_of(reader.header, last, 1))
        return self

    def pack(self) -> Parcel:
        """Make one parcel of what was taken."""
        parcel = self.packer.pack(self.taken, self.senders, self.marks)
        del self.taken[: parcel.frames]
        return parcel

    def close(self) -> None:
        self.intake.clear()
        self.spool.close()


@pytest.fixture
def desk(place: Place) -> Iterator[Desk]:
    desk = Desk(place)
    yield desk
    desk.close()


def read(parcel: Parcel) -> StepPost:
    """The post as a server reads it."""
    return StepPost.model_validate_json(parcel.body(with_deltas=True))


def silent(first: int, last: int) -> PostedGap:
    return PostedGap(recorder=0, first=first, last=last)


def test_a_parcel_is_a_post(place: Place, desk: Desk) -> None:
    """Every field of the envelope arrives, and the payload byte by byte."""
    segment = place.segment()
    step, parent, closes = new_id(), new_id(), new_id()
    payload = '{"text":"ünïcode \\" \\\\ \\u0000 😀","x":[1e400,-0.0,12345678901234567890]}'.encode()
    body = encode_step(
        payload,
        episode=segment.episode,
        step=step,
        parent=parent,
        closes=closes,
        occurred_at=77,
        version=9,
        agent=b'pla"nner\\\n',
        role="rôle".encode(),
    )
    segment.body(body).step(b"{}").write(place.spool)
    parcel = desk.gather().pack()

    assert b'"payload":' + payload + b"}" in parcel.body()
    first, second = parcel.steps
    assert json.loads(first)["payload"]["text"] == 'ünïcode " \\ \0 😀'
    post = StepPost.model_validate_json(parcel.body().replace(b"1e400", b"1e40"))
    posted = post.steps[0]
    raw = [bytes.fromhex(str(each).replace("-", "")) for each in (posted.id, posted.parent_id, posted.closes)]
    assert raw == [step, parent, closes]
    assert (posted.kind, posted.schema_version, posted.occurred_at) == ("thought", 9, 77)
    assert (posted.agent, posted.role) == ('pla"nner\\\n', "rôle")
    assert (posted.recorder, posted.number) == (0, 0)
    bare = json.loads(second)
    assert bare["occurred_at"] > 10**18, "what states no time happened when it was logged"
    assert not {"agent", "role", "parent_id", "closes"} & bare.keys()
    (recorder,) = post.recorders
    assert recorder.id.replace("-", "") == segment.recorder.hex()
    assert (recorder.pid, recorder.host) == (segment.header["pid"], "bench")


@settings(max_examples=50, deadline=None)
@given(text=st.text(), agent=st.text(max_size=300), role=st.text(max_size=300))
def test_any_text_comes_through(text: str, agent: str, role: str) -> None:
    """Whatever agents are called and whatever they think, the post says the same."""
    packer = Packer()
    body = encode_step(
        Thought(text=text).encoded(), episode=new_id(), agent=agent.encode(), role=role.encode()
    )
    recorder = new_id()
    sender = Sender(recorder, b'{"id":"00000000-0000-0000-0000-000000000000","host":"h","started_at":1}', -1)

    class Reader:
        name = "x"
        recorder_id = recorder

    parcel = packer.pack([((1, 0, 1, 5, body, 5000), Reader())], {recorder: sender}, {})  # type: ignore[list-item]
    (step,) = read(parcel).steps
    assert step.payload == {"text": text}
    assert (step.agent or "", step.role or "") == (agent, role)


def test_numbers_that_stand_for_no_step_are_passed_over(place: Place, desk: Desk) -> None:
    """Announcements and deltas have numbers; runs of them become one gap in which nothing is missing."""
    segment = place.segment().schema("own", 1, OWN_SCHEMA).step()
    segment.body(b"{}", kind=DELTA).body(b"{}", kind=DELTA).body(b"{}", kind=DELTA).step()
    segment.write(place.spool)
    parcel = desk.gather().pack()
    post = read(parcel)

    assert [step.number for step in post.steps] == [1, 5]
    assert post.gaps == (silent(0, 0), silent(2, 4))
    assert desk.packer.schemas[("own", 1)] == to_json(OWN_SCHEMA).decode()
    assert next(iter(parcel.reached.values())).number == 5


def test_of_two_recorders_each_run_is_one_gap(place: Place, desk: Desk) -> None:
    """The gaps of recorders that log at the same time do not break each other up."""
    for number in range(2):
        segment = place.segment()
        for count in range(10):
            segment.body(b"{}", kind=DELTA, stamp=10 * count + number)
        segment.write(place.spool)
    post = read(desk.gather().pack())

    assert post.gaps == (silent(0, 9), PostedGap(recorder=1, first=0, last=9))


def test_missing_numbers_are_told_with_their_reason(place: Place, desk: Desk) -> None:
    """What was refused, what was damaged and what was removed is told apart."""
    removed = place.segment().step()
    removed.next = 5
    removed.step().write(place.spool)
    refused = place.segment().step()
    refused.next, refused.refused = 3, 2
    refused.step().write(place.spool)
    damaged = place.segment().step()
    damaged.add(b"\xf5Ss\xfe" + b"x" * 100, numbers=1).step().write(place.spool)

    post = read(desk.gather().pack())
    found = {(gap.reason, gap.first, gap.last, gap.kept_as is not None) for gap in post.gaps}
    assert found == {
        (LossReason.MISSING, 1, 4, False),
        (LossReason.REFUSED, 1, 2, False),
        (LossReason.DAMAGED, 1, 1, True),
    }


def test_what_cannot_be_read_is_set_aside(place: Place, desk: Desk) -> None:
    """A frame that is no step, no schema and no delta costs its own number, and its bytes are kept."""
    segment = place.segment().step().body(b"short").step()
    segment.body(b"?", kind=9).body(b"{", kind=SCHEMA).step()
    segment.body(encode_step(b"{}", kind=b"\xff\xfe", episode=segment.episode))
    segment.write(place.spool)
    post = read(desk.gather().pack())

    assert [step.number for step in post.steps] == [0, 2, 5]
    assert {(gap.first, gap.last, gap.reason) for gap in post.gaps} == {
        (number, number, LossReason.INVALID) for number in (1, 3, 4, 6)
    }
    kept = {(place.spool / str(gap.kept_as)).read_bytes() for gap in post.gaps}
    assert {b"short", b"?", b"{"} <= kept


def test_a_number_beyond_all_numbers_is_not_told(place: Place, desk: Desk) -> None:
    """A frame whose number no recorder can have is kept aside, and the next one goes on as if it were not there."""
    segment = place.segment().step()
    segment.add(encode_frame(segment.recorder, 2**60, b"mad", stamp=2_000)).step().write(place.spool)
    post = read(desk.gather().pack())

    assert [step.number for step in post.steps] == [0, 1]
    assert post.gaps == ()
    assert [path.read_bytes() for path in place.damaged()] == [b"mad"]


def test_secrets_are_taken_out(place: Place, desk: Desk) -> None:
    """Neither payloads nor the schemas of kinds carry a secret away."""
    desk.packer.redactor = Redactor(b"x" * 16)
    segment = place.segment()
    segment.schema("own", 1, {**OWN_SCHEMA, "default": {"note": SECRET}})
    segment.step(thought(f"the key is {SECRET}")).step(thought("nothing")).write(place.spool)
    parcel = desk.gather().pack()

    assert SECRET.encode() not in parcel.body()
    assert SECRET not in desk.packer.schemas[("own", 1)]
    texts = [step.payload["text"] for step in read(parcel).steps]
    assert str(texts[0]).startswith("the key is [redacted:anthropic:")
    assert texts[1] == "nothing"


def test_a_step_that_cannot_be_redacted_is_withheld(place: Place, desk: Desk) -> None:
    """A step that would not be what it is without its secret is lost by name, and its bytes are kept nowhere."""
    desk.packer.redactor = Redactor(b"x" * 16)
    schema = {"type": "object", "properties": {"x": {"type": "string", "minLength": len(SECRET)}}}
    segment = place.segment().schema("own", 1, schema)
    segment.step(to_json({"x": SECRET}), kind=b"own").step(thought("after")).write(place.spool)
    parcel = desk.gather().pack()
    post = read(parcel)

    assert [step.number for step in post.steps] == [2]
    assert post.gaps[1].reason is LossReason.INVALID
    assert (post.gaps[1].first, post.gaps[1].kept_as) == (1, None)
    assert SECRET.encode() not in parcel.body()
    assert place.damaged() == []


def test_a_failing_rule_withholds_all_text(place: Place, desk: Desk) -> None:
    """Where a project's own rule raises, every text of the payload is replaced."""

    class Failing(Redactor):
        def redact(self, payload: bytes) -> None:  # type: ignore[override]
            raise RuntimeError(payload)

        def suspects(self, payloads: object) -> list[int]:
            return [0]

    desk.packer.redactor = Failing(b"x" * 16)
    place.segment().step(thought("private words")).write(place.spool)
    parcel = desk.gather().pack()

    assert b"private words" not in parcel.body()
    assert str(read(parcel).steps[0].payload["text"]).startswith("[redacted:unscannable:")


def test_what_the_server_has_is_not_posted_again(place: Place, desk: Desk) -> None:
    """After a restart what is marked, and confirmed by number, costs nothing but reading it; kinds are learnt."""
    segment = place.segment().schema("own", 1, OWN_SCHEMA).steps(4)
    path = segment.write(place.spool)
    offsets = list(itertools.accumulate(map(len, segment.frames), initial=4096))
    desk.marks[path.name] = Mark(offsets[3], 2)
    parcel = desk.gather(last=2).pack()

    assert [step.number for step in read(parcel).steps] == [3, 4]
    assert parcel.gaps == []
    assert ("own", 1) in desk.packer.schemas


@pytest.mark.parametrize(("last", "marked"), [(2, False), (0, True)])
def test_what_only_one_side_knows_of_is_posted_again(
    place: Place, desk: Desk, last: int, marked: bool
) -> None:
    """Neither a mark that the server does not confirm nor a number that was never marked makes us skip a step."""
    segment = place.segment().steps(4)
    path = segment.write(place.spool)
    offsets = list(itertools.accumulate(map(len, segment.frames), initial=4096))
    desk.marks[path.name] = Mark(offsets[3], 2) if marked else UNMARKED
    numbers = [step.number for step in read(desk.gather(last=last).pack()).steps]

    assert numbers == list(range(4))[1 if marked else 0 :]


def test_parcels_are_bounded(place: Place, desk: Desk) -> None:
    """A backlog becomes posts of so many steps and bytes, in order and without a hole; one step always fits."""
    place.segment().steps(30).write(place.spool)
    desk.gather()
    desk.packer.steps_max = 7
    sizes, numbers = [], []
    while desk.taken:
        parcel = desk.pack()
        sender = next(iter(desk.senders.values()))
        sender.last = parcel.places[sender].last
        sizes.append(len(parcel.steps))
        numbers += [step.number for step in read(parcel).steps]
        desk.packer.bytes_max = 900 if len(sizes) > 2 else desk.packer.bytes_max
    assert sizes[:3] == [7, 7, 7]
    assert set(sizes[3:]) == {1}
    assert numbers == list(range(30))


def test_a_post_never_has_more_than_it_may(place: Place, desk: Desk) -> None:
    """Of gaps and steps together there are never more than a server takes."""
    segment = place.segment()
    for _ in range(STEPS_MAX):
        segment.step(b"{}")
        segment.next += 1
    segment.write(place.spool)
    desk.gather()
    post = read(desk.pack())

    assert len(post.gaps) + len(post.steps) <= STEPS_MAX
    assert desk.taken


def conclude(desk: Desk, *, has_ended: bool = True) -> StepPost:
    """What is told of the end of the only segment."""
    desk.gather()
    if desk.taken:
        parcel = desk.pack()
        sender = next(iter(desk.senders.values()))
        sender.last = parcel.places[sender].last
    (reader,) = desk.intake.readers.values()
    sender = desk.senders.setdefault(reader.recorder_id, sender_of(reader.header, -1, 1))
    assert reader.owner_is_dead()
    parcel = Parcel()
    desk.packer.conclude(parcel, reader, sender, has_ended=has_ended)
    assert parcel.reached[reader].offset == reader.size()
    return read(parcel)


@pytest.mark.parametrize("has_ended", [True, False])
def test_the_end_is_told(place: Place, desk: Desk, has_ended: bool) -> None:
    """A recorder that is gone has ended behind its last number; one that goes on in another segment has not."""
    place.segment().steps(3).write(place.spool)
    post = conclude(desk, has_ended=has_ended)

    assert [end.next_number for end in post.ends] == ([3] if has_ended else [])
    assert post.gaps == ()


def test_refusals_at_the_end_are_told(place: Place, desk: Desk) -> None:
    """Steps that were refused after the last one that was written are lost by name."""
    segment = place.segment().steps(2)
    segment.next, segment.refused = 5, 3
    segment.write(place.spool)
    post = conclude(desk)

    assert [(gap.first, gap.last, gap.reason) for gap in post.gaps] == [(2, 4, LossReason.REFUSED)]
    assert [end.next_number for end in post.ends] == [5]


@pytest.mark.parametrize(("tail", "is_damage"), [(b"\xf5Ss\xfe" + b"\x01", False), (b"rubbish" * 20, True)])
def test_a_torn_tail_is_no_loss_and_rubbish_is(
    place: Place, desk: Desk, tail: bytes, is_damage: bool
) -> None:
    """What a killed process had begun to write was never acknowledged; what is no frame at all was something."""
    segment = place.segment().steps(2)
    segment.write(place.spool, segment.as_killed() + tail)
    post = conclude(desk)

    assert [gap.reason for gap in post.gaps] == ([LossReason.DAMAGED] if is_damage else [])
    assert len(post.ends) == 1


def test_a_rejected_step_is_lost_by_name(place: Place, desk: Desk) -> None:
    """A step that the server refuses is packed again as a gap, with why, and its bytes are kept."""
    path = place.segment().steps(3).write(place.spool)
    desk.gather()
    desk.packer.rejected[path.name, 1] = "the server refuses it: too blue"
    post = read(desk.pack())

    assert [step.number for step in post.steps] == [0, 2]
    (gap,) = post.gaps
    assert (gap.first, gap.last, gap.reason, gap.detail) == (
        1,
        1,
        LossReason.INVALID,
        "the server refuses it: too blue",
    )
    assert thought("1") in (place.spool / str(gap.kept_as)).read_bytes()
