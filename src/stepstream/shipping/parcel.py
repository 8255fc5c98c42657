"""The parcel: what one post holds, and how far it takes each recorder and each segment.

A post's JSON is put together here from pieces that are JSON already. Knows the wire's shapes (schemas.post).
Must not know frames, redaction or HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import to_json

from stepstream.shipping.mark import Mark

if TYPE_CHECKING:
    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.kinds import LossReason
    from stepstream.schemas.stream import Delta
    from stepstream.spool.reader import SegmentReader
    from stepstream.spool.segment import SegmentHeader
    from stepstream.store.assembly import Taken

SENDERS_MAX = 256
_DETAIL_CHARACTERS_MAX = 500
_HOST_CHARACTERS_MAX = 255
_RELEASE_CHARACTERS_MAX = 100
_BOOT = re.compile(r"[0-9a-f]{0,32}")


@dataclass(slots=True, eq=False)
class Sender:
    """A recorder as far as the server has acknowledged it.

    Attributes:
        id: Its id.
        posted: What a post says of it, as JSON.
        last: The last of its numbers that is acknowledged; -1 for none.
        refused: How many refused numbers were told of.
        confirmed: On which connection the server was last seen to know of ``last``.
    """

    id: bytes
    posted: bytes
    last: int
    refused: int = 0
    confirmed: int = 0


def sender_of(header: SegmentHeader, last: int, confirmed: int) -> Sender:
    """The recorder of a segment."""
    posted = {
        "id": header.recorder_id,
        "pid": header.pid,
        "host": header.host[:_HOST_CHARACTERS_MAX],
        "boot_id": header.boot_id if _BOOT.fullmatch(header.boot_id) else "",
        "release": header.release[:_RELEASE_CHARACTERS_MAX],
        "started_at": max(1, header.created_at),
    }
    return Sender(header.recorder, to_json(posted), last, 0, confirmed)


class Gap(NamedTuple):
    """Numbers that no step has."""

    place: Place
    first: int
    last: int
    reason: LossReason | None
    detail: str
    kept_as: str | None


@dataclass(slots=True, eq=False)
class Place:
    """A recorder's place in a parcel.

    Attributes:
        index: Its index among the recorders of the post.
        last: The last of its numbers that the parcel takes it to.
        refused: How many refused numbers are told of by then.
        silent: Which of the gaps is its latest where nothing is missing; -1 for none.
    """

    index: int
    last: int
    refused: int
    silent: int = -1


class Parcel:
    """What one post holds."""

    def __init__(self) -> None:
        self.places: dict[Sender, Place] = {}
        self.steps: list[bytes] = []
        self.origins: list[Taken] = []
        self.gaps: list[Gap] = []
        self.ended: list[Place] = []
        self.deltas: list[Delta] = []
        self.kinds: set[tuple[str, int]] = set()
        self.artifacts: dict[str, ArtifactRef] = {}
        self.reached: dict[SegmentReader, Mark] = {}
        self.frames = 0
        self._order: list[Sender] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to post."""
        return not (self.steps or self.gaps or self.ended or self.deltas)

    def place(self, sender: Sender) -> Place:
        """The place of a recorder."""
        place = self.places.get(sender)
        if place is None:
            place = Place(len(self._order), sender.last, sender.refused)
            self.places[sender] = place
            self._order.append(sender)
        return place

    def pass_over(self, place: Place, number: int) -> None:
        """A number stands for no step, and nothing is missing there."""
        if place.silent >= 0 and self.gaps[place.silent].last == number - 1:
            self.gaps[place.silent] = self.gaps[place.silent]._replace(last=number)
            return
        place.silent = len(self.gaps)
        self.gaps.append(Gap(place, number, number, None, "", None))

    def lose(
        self,
        place: Place,
        numbers: tuple[int, int],
        reason: LossReason,
        detail: str,
        kept_as: str | None = None,
    ) -> None:
        """Steps are missing from a first to a last number, for a reason."""
        self.gaps.append(Gap(place, *numbers, reason, detail[:_DETAIL_CHARACTERS_MAX], kept_as))

    def reach(self, reader: SegmentReader, offset: int, number: int) -> None:
        """The parcel holds all of a segment up to an offset."""
        self.reached[reader] = Mark(offset, number)

    def body(self, *, with_deltas: bool = False) -> bytes:
        """The post as JSON."""
        parts = [
            b'{"recorders":[',
            b",".join(sender.posted for sender in self._order),
            b'],"steps":[',
            b",".join(self.steps),
            b'],"gaps":[',
            b",".join(_gap(gap) for gap in self.gaps),
            b'],"ends":[',
            b",".join(
                b'{"recorder":%d,"next_number":%d}' % (place.index, place.last + 1) for place in self.ended
            ),
            b'],"deltas":[',
            b",".join(delta.model_dump_json().encode() for delta in (self.deltas if with_deltas else ())),
            b"]}",
        ]
        return b"".join(parts)


def _gap(gap: Gap) -> bytes:
    if gap.reason is None:
        return b'{"recorder":%d,"first":%d,"last":%d}' % (gap.place.index, gap.first, gap.last)
    return to_json(
        {
            "recorder": gap.place.index,
            "first": gap.first,
            "last": gap.last,
            "reason": gap.reason,
            "detail": gap.detail,
            "kept_as": gap.kept_as,
        }
    )
