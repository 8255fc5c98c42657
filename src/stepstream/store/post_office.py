"""The post office: where a server hands in what was posted to it, and hears when it is committed.

Any thread hands in; the committer's thread collects. Bounded, so that a crowd is told to come back instead of
filling the memory. Knows waiting. Must not know what is in a post, nor the database.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stepstream.errors import StepstreamError

if TYPE_CHECKING:
    from stepstream.schemas.post import KindRegistered, KindRegistration, StepPost, StepsAccepted

_WAITING_MAX = 256
_STEPS_A_PASS = 4_000


class OfficeClosed(StepstreamError):
    """Nothing can be handed in: nobody commits here, or too much waits already."""


@dataclass(frozen=True, slots=True, eq=False)
class Posting:
    """Steps on their way into the database.

    Attributes:
        post: What was posted.
        sender: Who posted it, as its token is called; stands for a recorder where none is named.
        accepted: Done when it is committed, or refused.
    """

    post: StepPost
    sender: str
    accepted: Future[StepsAccepted] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """A kind on its way into the database."""

    registration: KindRegistration
    registered: Future[KindRegistered] = field(default_factory=Future)


class PostOffice:
    """Takes in what is posted, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Posting | Registration] = deque()
        self._lock = threading.Lock()
        self.is_open = False
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """A descriptor that is readable while something waits."""
        return self._descriptor

    def hand_in(self, item: Posting | Registration) -> None:
        """Hand something in; its future tells what becomes of it.

        Raises:
            OfficeClosed: Nobody commits here, or too much waits already.
        """
        with self._lock:
            if not self.is_open:
                raise OfficeClosed("this server does not commit at the moment; post it again in a moment")
            if len(self._waiting) >= _WAITING_MAX:
                raise OfficeClosed("too many posts wait to be committed; post it again in a moment")
            self._waiting.append(item)
            os.eventfd_write(self._descriptor, 1)

    def collect(self) -> list[Posting | Registration]:
        """What waits, as much as one transaction should hold; what was given up meanwhile is left out."""
        if not self._waiting:
            return []
        taken: list[Posting | Registration] = []
        steps = 0
        with self._lock:
            while self._waiting and steps < _STEPS_A_PASS:
                item = self._waiting.popleft()
                if not _future(item).set_running_or_notify_cancel():
                    continue
                if isinstance(item, Posting):
                    steps += len(item.post.steps)
                taken.append(item)
            if not self._waiting:
                os.eventfd_read(self._descriptor)
        return taken

    def open(self) -> None:
        """Take in posts from here on: the office of committer is ours."""
        with self._lock:
            self.is_open = True

    def shut(self) -> None:
        """Take in nothing more until it is opened again, and give back what waits."""
        with self._lock:
            self.is_open = False
            waiting, self._waiting = list(self._waiting), deque()
            if waiting:
                os.eventfd_read(self._descriptor)
        for item in waiting:
            give_back(item, OfficeClosed("this server has stopped committing; post it again in a moment"))

    def close(self) -> None:
        """Let go of the descriptor, once nobody waits on it."""
        self.shut()
        os.close(self._descriptor)


def give_back(item: Posting | Registration, error: Exception) -> None:
    """Tell who waits for it that nothing of it was stored."""
    future = _future(item)
    if not future.done():
        future.set_exception(error)


def _future(item: Posting | Registration) -> Future[StepsAccepted] | Future[KindRegistered]:
    return item.accepted if isinstance(item, Posting) else item.registered
