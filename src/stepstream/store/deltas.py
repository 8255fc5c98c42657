"""The gate: which pieces of answers that are still being made may be shown to who watches now.

A piece is shown when it is fresh, belongs to an answer that is open, and hides no part of a secret. What
waits when an answer closes is dropped, for the step that closes it tells everything. Bounded in memory: what
there is no room for is not shown, and nothing is ever shown for want of room.

Knows frames, posts and deltas. Must not know what a secret looks like, nor who watches.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from pydantic import ValidationError

from stepstream.schemas.identity import NO_ID, id_text
from stepstream.schemas.stream import DELTA_CHARACTERS_MAX, Delta
from stepstream.spool.frame import FrameKind
from stepstream.store.live_text import LiveText
from stepstream.store.secret_beginnings import Beginnings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stepstream.schemas.post import StepPost
    from stepstream.schemas.stream import DeltaPart
    from stepstream.spool.frame import Frame
    from stepstream.store.redaction import Redactor
    from stepstream.store.secret_rules import RedactionRules

_STEP = FrameKind.STEP.value
_DELTA = FrameKind.DELTA.value
# Where a step's envelope says which step it closes.
_CLOSES = slice(48, 64)
_FRESH_NS = 2_000_000_000
_NS_A_MS = 1_000_000
_ANSWERS_MAX = 512


class _Answer:
    """An answer that is being made, part by part; one that is closed has none."""

    def __init__(self, *, is_partial: bool) -> None:
        self.is_closed = False
        self.is_partial = is_partial
        self.parts: dict[DeltaPart, LiveText] = {}


class DeltaGate:
    """Passes on what may be shown, for one term of office.

    Attributes:
        dropped: How many deltas were not passed on, by the reason.
    """

    def __init__(
        self, redactor: Redactor | None, rules: RedactionRules | None, now: Callable[[], int]
    ) -> None:
        """Prepare to pass on.

        Args:
            redactor: The committer's own; None when redaction is off.
            rules: What it redacts by.
            now: Wall time in ns.
        """
        self.dropped: Counter[str] = Counter()
        self._redactor = redactor
        self._beginnings = None if redactor is None or rules is None else Beginnings(rules)
        self._now = now
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        # Of a call that began before this moment, an unknown answer may have pieces that nobody here saw.
        self._unknown_before_ms = now() // _NS_A_MS
        self._shown: list[Delta] = []
        self._run: list[Delta] = []

    def frames(self, frames: Iterable[Frame]) -> list[Delta]:
        """Follow what was committed; returns what may be shown of its deltas, in order."""
        stale_before = self._now() - _FRESH_NS
        has_answers = bool(self._answers)
        # There are 100,000 frames a second, and mostly no delta among them, nor an answer in the making.
        for frame in frames:
            kind = frame[2]
            if kind == _DELTA:
                has_answers = True
                self._read(frame[4], is_stale=frame[3] < stale_before)
            elif has_answers and kind == _STEP and (closed := frame[4][_CLOSES]) != NO_ID:
                self._close(id_text(closed))
        return self._collect()

    def post(self, post: StepPost) -> list[Delta]:
        """Follow what was posted; returns what may be shown of its deltas, in order."""
        for delta in post.deltas:
            self._take(delta)
        for step in post.steps:
            if step.closes is not None:
                self._close(step.closes)
        return self._collect()

    def _read(self, body: bytes, *, is_stale: bool) -> None:
        try:
            delta = Delta.model_validate_json(body)
        except ValidationError:
            self.dropped["invalid"] += 1
            return
        if not is_stale:
            self._take(delta)
            return
        self.dropped["stale"] += 1
        if self._beginnings is not None:
            # What follows it may be the end of a secret that began in it.
            self._flush()
            text = self._text_of(delta)
            if text is not None:
                text.lose()

    def _take(self, delta: Delta) -> None:
        # Pieces of one text that come together are looked at together.
        if self._run and (self._run[0].step_id, self._run[0].part) != (delta.step_id, delta.part):
            self._flush()
        self._run.append(delta)

    def _flush(self) -> None:
        run, self._run = self._run, []
        if not run:
            return
        if self._beginnings is None:
            self._shown += run
            return
        text = self._text_of(run[0])
        if text is None:
            self.dropped["late"] += len(run)
            return
        shown = text.add("".join(delta.text for delta in run))
        for start in range(0, len(shown), DELTA_CHARACTERS_MAX):
            piece = shown[start : start + DELTA_CHARACTERS_MAX]
            self._shown.append(run[0].model_copy(update={"text": piece}))

    def _collect(self) -> list[Delta]:
        self._flush()
        shown, self._shown = self._shown, []
        return shown

    # -- answers

    def _text_of(self, delta: Delta) -> LiveText | None:
        """The part of an answer that a delta belongs to; None when the answer is closed."""
        if self._redactor is None or self._beginnings is None:
            raise AssertionError("without redaction no text is looked at")
        answer = self._answers.get(delta.step_id)
        if answer is None:
            is_partial = _began_ms(delta.step_id) < self._unknown_before_ms
            answer = self._answers[delta.step_id] = _Answer(is_partial=is_partial)
            if len(self._answers) > _ANSWERS_MAX:
                self._forget()
        self._answers.move_to_end(delta.step_id)
        if answer.is_closed:
            return None
        text = answer.parts.get(delta.part)
        if text is None:
            text = answer.parts[delta.part] = LiveText(self._redactor, self._beginnings)
            if answer.is_partial:
                text.lose()
        return text

    def _forget(self) -> None:
        """Forget the answer that has been silent for longest; should it go on, a piece of it is missing."""
        step_id, answer = self._answers.popitem(last=False)
        if not answer.is_closed:
            self._unknown_before_ms = max(self._unknown_before_ms, _began_ms(step_id) + 1)

    def _close(self, step_id: str) -> None:
        self._flush()
        answer = self._answers.get(step_id)
        if answer is not None:
            # Kept for a while: another thread's delta may come after the step that closes its call.
            answer.is_closed = True
            answer.parts.clear()


def _began_ms(step_id: str) -> int:
    """When a call began, as its UUIDv7 says; before everything where the id is none."""
    return int(step_id[:8] + step_id[9:13], 16) if step_id[14] == "7" else 0
