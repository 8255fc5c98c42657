"""From what was posted to a batch: each post whole or not at all, and nothing stored twice.

A post is looked at to its end before anything of it gets a place. What its recorders had posted before is
known by their numbers and by the steps' ids, so that a post whose answer was lost can be posted again.

Knows posts. Must not know HTTP or SQL, nor how a step gets its place: that is the ledger's.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from stepstream.errors import Problem, ValidationFailed
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.record import refusal, short_repr
from stepstream.store.batch import RecorderState
from stepstream.store.ledger import WITHHELD
from stepstream.store.validation import Invalid, SchemaAnnouncement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.post import KindRegistration, PostedGap, PostedRecorder, PostedStep, StepPost
    from stepstream.store.batch import Batch
    from stepstream.store.ledger import Entry, Ledger
    from stepstream.store.post_office import Posting

_PROBLEMS_MAX = 20
_HOST_CHARACTERS_MAX = 255


class Stored(NamedTuple):
    """How many steps of a post are new, and how many were there."""

    new: int
    known: int


class _Sound(NamedTuple):
    """A step that can be stored."""

    step: PostedStep
    entry: Entry
    value: StepPayload | None
    payload: bytes


class Sorter:
    """Turns posts into batches."""

    def __init__(self, ledger: Ledger, now: Callable[[], int]) -> None:
        """Prepare to sort.

        Args:
            ledger: Where steps get their places.
            now: Wall time in ns.
        """
        self._ledger = ledger
        self._now = now

    def sort(self, posting: Posting) -> tuple[Batch, Stored]:
        """Make the batch of a post.

        Raises:
            ValidationFailed: Something in the post does not fit; nothing of it is to be stored.
        """
        post = posting.post
        batch = self._ledger.begin()
        _check_places(post)
        recorders = [self._recorder(recorder) for recorder in post.recorders]
        sender = self._sender(posting.sender, post)
        new = self._new(post, recorders)
        sound = self._examine(post, new, recorders, sender)
        for recorder in (*recorders, sender):
            if recorder is not None and recorder.key == 0:
                self._ledger.enter(recorder)
        gaps = _Gaps(post.gaps)
        for item in sound:
            step = item.step
            if step.recorder is not None and step.number is not None:
                self._count(recorders[step.recorder], gaps.of(step.recorder), step.number)
            self._ledger.add(item.entry, item.value, item.payload)
        for index, recorder in enumerate(recorders):
            # What stands for no step may come last.
            for gap in gaps.of(index):
                if gap.first <= recorder.last_number + 1 <= gap.last:
                    self._tell_gap(recorder, gap)
        return batch, Stored(len(sound), len(post.steps) - len(sound))

    def end(self, post: StepPost) -> Batch:
        """Make the batch that ends the recorders which log no more; their steps are committed."""
        batch = self._ledger.begin()
        for end in post.ends:
            recorder = self._ledger.find_recorder(_raw(post.recorders[end.recorder].id))
            if recorder is None or recorder.ended_at is not None:
                continue
            last = recorder.last_number if end.next_number is None else end.next_number - 1
            if last > recorder.last_number:
                self._lose(recorder, recorder.last_number + 1, last)
                recorder.last_number = last
            self._ledger.end_recorder(recorder)
        return batch

    def register(self, registration: KindRegistration) -> tuple[Batch, bool]:
        """Make the batch that keeps the schema of a kind; and tell whether it is new.

        Raises:
            ValidationFailed: It is no schema that payloads could be checked by.
        """
        batch = self._ledger.begin()
        text = to_json(
            {
                "kind": registration.kind,
                "version": registration.version,
                "schema": registration.json_schema,
            }
        )
        try:
            announcement = SchemaAnnouncement.model_validate_json(self._ledger.redact_aside(text))
            return batch, self._ledger.announce(announcement)
        except ValidationError as error:
            raise refusal(registration.kind, error) from None
        except Invalid as error:
            problem = Problem("json_schema", short_repr(registration.json_schema), str(error))
            raise ValidationFailed(registration.kind, [problem]) from None

    # -- whose it is

    def _recorder(self, posted: PostedRecorder) -> RecorderState:
        known = self._ledger.find_recorder(_raw(posted.id))
        if known is None:
            return RecorderState(
                id=_raw(posted.id),
                pid=posted.pid,
                host=posted.host,
                boot_id=posted.boot_id,
                release=posted.release,
                started_at=posted.started_at,
            )
        # A machine may be given another name while the process runs.
        if (known.pid, known.boot_id) != (posted.pid, posted.boot_id):
            reason = "this id is another process's; a recorder makes a new one for itself"
            raise ValidationFailed("post", [Problem("recorders", posted.id, reason)])
        return known

    def _sender(self, sender: str, post: StepPost) -> RecorderState | None:
        """What stands for the recorder of steps that name none: one a sender."""
        if all(step.recorder is not None for step in post.steps):
            return None
        raw = blake2b(sender.encode(), digest_size=16, person=b"stepstream-post").digest()
        return self._ledger.find_recorder(raw) or RecorderState(
            id=raw, pid=0, host=sender[:_HOST_CHARACTERS_MAX], boot_id="", release="", started_at=self._now()
        )

    # -- what is new, and whether it fits

    def _new(self, post: StepPost, recorders: Sequence[RecorderState]) -> list[PostedStep]:
        """The steps that are not stored, each once."""
        seen: set[str] = set()
        new = []
        for step in post.steps:
            if step.id in seen:
                continue
            seen.add(step.id)
            ahead = (
                step.recorder is not None
                and step.number is not None
                and step.number > recorders[step.recorder].last_number
            )
            if ahead or not self._ledger.has_step(_raw(step.id)):
                new.append(step)
        return new

    def _examine(
        self,
        post: StepPost,
        new: Sequence[PostedStep],
        recorders: Sequence[RecorderState],
        sender: RecorderState | None,
    ) -> list[_Sound]:
        """Redact and check every new step; all of them fit, or the post is refused.

        Raises:
            ValidationFailed: Some do not; it names them by their place in the post.
        """
        entries = [_entry(step, recorders, sender) for step in new]
        payloads = [to_json(step.payload) for step in new]
        self._ledger.redact(entries, payloads)
        sound: list[_Sound] = []
        problems: list[Problem] = []
        for step, entry, payload in zip(new, entries, payloads, strict=True):
            try:
                if payload is WITHHELD:
                    raise Invalid("it could not be redacted and stay what it is")
                sound.append(_Sound(step, entry, self._ledger.check(entry[7], entry[6], payload), payload))
            except Invalid as problem:
                if len(problems) < _PROBLEMS_MAX:
                    place = f"steps.{post.steps.index(step)}.payload"
                    problems.append(Problem(place, f"{step.kind} {step.id}", self._reason(problem, step)))
        if problems:
            raise ValidationFailed("post", problems)
        return sound

    def _reason(self, problem: Invalid, step: PostedStep) -> str:
        """Why a step does not fit; it may quote a secret, which goes no further than into an answer."""
        text = str(from_json(self._ledger.redact_aside(to_json(str(problem)))))[:500]
        if "never announced" in text:
            text += (
                f"; register its JSON schema first: POST /api/v1/kinds "
                f'{{"kind": "{step.kind}", "version": {step.schema_version}, "json_schema": ...}}'
            )
        return text

    # -- numbers

    def _count(self, recorder: RecorderState, gaps: Iterable[PostedGap], number: int) -> None:
        """Move a recorder on to a number, telling what is missing on the way."""
        for gap in gaps:
            if gap.first <= recorder.last_number + 1 <= gap.last < number:
                self._tell_gap(recorder, gap)
        if number > recorder.last_number + 1:
            self._lose(recorder, recorder.last_number + 1, number - 1)
        recorder.last_number = max(recorder.last_number, number)

    def _tell_gap(self, recorder: RecorderState, gap: PostedGap) -> None:
        if gap.reason is not None:
            first = recorder.last_number + 1
            self._ledger.lose(recorder, first, gap.last, gap.reason, gap.detail, gap.kept_as)
        recorder.last_number = gap.last

    def _lose(self, recorder: RecorderState, first: int, last: int) -> None:
        self._ledger.lose(recorder, first, last, LossReason.MISSING, "they were never posted")


class _Gaps:
    """The gaps of a post by recorder, in the order of their numbers."""

    def __init__(self, gaps: Sequence[PostedGap]) -> None:
        self._gaps: dict[int, list[PostedGap]] = {}
        for gap in sorted(gaps, key=lambda gap: gap.first):
            self._gaps.setdefault(gap.recorder, []).append(gap)

    def of(self, recorder: int) -> Sequence[PostedGap]:
        return self._gaps.get(recorder, ())


def _check_places(post: StepPost) -> None:
    """Refuse what names a recorder that the post does not list."""
    there = len(post.recorders)
    named: dict[str, list[int | None]] = {
        "steps": [step.recorder for step in post.steps],
        "gaps": [gap.recorder for gap in post.gaps],
        "ends": [end.recorder for end in post.ends],
    }
    problems = [
        Problem(f"{name}.{index}.recorder", str(recorder), f"recorders has {there} entries")
        for name, recorders in named.items()
        for index, recorder in enumerate(recorders)
        if recorder is not None and recorder >= there
    ]
    problems += [
        Problem(f"steps.{index}.number", str(step.number), "recorder and number go together")
        for index, step in enumerate(post.steps)
        if (step.recorder is None) != (step.number is None)
    ]
    if problems:
        raise ValidationFailed("post", problems[:_PROBLEMS_MAX])


def _raw(identifier: str) -> bytes:
    """The bytes of an id that was validated, at a quarter of the price of reading any."""
    return bytes.fromhex(identifier.replace("-", ""))


def _entry(step: PostedStep, recorders: Sequence[RecorderState], sender: RecorderState | None) -> Entry:
    recorder = sender if step.recorder is None else recorders[step.recorder]
    if recorder is None:
        raise AssertionError("a step without a recorder has a sender")
    return (
        recorder,
        _raw(step.id),
        _raw(step.episode_id),
        None if step.parent_id is None else _raw(step.parent_id),
        None if step.closes is None else _raw(step.closes),
        step.occurred_at,
        step.schema_version,
        step.kind,
        step.agent,
        step.role,
    )
