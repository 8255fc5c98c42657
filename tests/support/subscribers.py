"""Subscribers to a server, as tests make them, and what they were told."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING

from stepstream.reading.remote.link import Link
from stepstream.reading.remote.subscription import RemoteSubscription
from stepstream.schemas.event import StepRecorded
from stepstream.schemas.kinds import Thought
from stepstream.shipping.address import ServerAddress

if TYPE_CHECKING:
    from stepstream.reading.subscription import Events
    from stepstream.schemas.event import Event


def link_to(port: int, token: str | None = None) -> Link:
    """A link to a server on the loopback."""
    return Link(ServerAddress.parse(f"http://127.0.0.1:{port}", "here"), token)


def subscribe(
    port: int, after: int | None = 0, *, epoch: str | None = None, silence_s: float = 25.0
) -> RemoteSubscription:
    """Subscribe to a server on the loopback."""
    return RemoteSubscription(link_to(port), after, epoch=epoch, silence_s=silence_s)


def followers() -> list[threading.Thread]:
    """The threads of all subscriptions of this process."""
    return [thread for thread in threading.enumerate() if thread.name == "stepstream-follower"]


def take(events: Events, count: int) -> list[Event]:
    """So many events."""
    return list(islice(events, count))


def cursors(events: list[Event]) -> list[int]:
    """The cursors of the steps among some events."""
    return [event.cursor for event in events if isinstance(event, StepRecorded)]


def thoughts(events: list[Event]) -> list[str]:
    """What was thought, as some events tell."""
    steps = [event.step for event in events if isinstance(event, StepRecorded)]
    return [step.payload.text for step in steps if isinstance(step.payload, Thought)]
