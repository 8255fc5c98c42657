"""The mail: what was posted to a server, committed post by post and acknowledged when the disk has it.

Whoever posted deletes his copy on our word, so the word is given after the flush, not after the commit. A
post that cannot be stored is given back with the reason; nothing of it is kept.

Knows the post office and the Store protocol. Must not know SQL or HTTP.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stepstream.errors import Problem, StepstreamError, StoreError, ValidationFailed
from stepstream.schemas.post import KindRegistered, StepsAccepted
from stepstream.store.batch import Fenced, RowRefused
from stepstream.store.post_office import OfficeClosed, Posting, Registration, give_back
from stepstream.store.posting import Sorter

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.schemas.post import StepPost
    from stepstream.store.ledger import Ledger
    from stepstream.store.log_sync import LogSync
    from stepstream.store.post_office import PostOffice
    from stepstream.store.store import Store

logger = logging.getLogger("stepstream")


class Mail:
    """Commits what waits in a post office, for one term of office."""

    def __init__(
        self,
        office: PostOffice,
        store: Store,
        ledger: Ledger,
        sync: LogSync,
        generation: int,
        now: Callable[[], int],
        *,
        on_posted: Callable[[StepPost], None],
    ) -> None:
        """Open the office.

        Args:
            office: Where posts are handed in.
            store: Where they last.
            ledger: Where steps get their places.
            sync: What tells when the disk has them.
            generation: The term of office.
            now: Wall time in ns.
            on_posted: Told each post that was committed.
        """
        self.cursor = store.last_cursor()
        self._office = office
        self._store = store
        self._ledger = ledger
        self._sync = sync
        self._generation = generation
        self._sorter = Sorter(ledger, now)
        self._on_posted = on_posted
        office.open()

    def deliver(self) -> int:
        """Commit what waits.

        Returns:
            How many posts and registrations there were.

        Raises:
            StoreError: The database cannot be written; what was collected is given back.
            Fenced: The term is over; as above.
        """
        items = self._office.collect()
        waiting = items[::-1]
        try:
            while waiting:
                self._deliver(waiting[-1])
                waiting.pop()
        except BaseException:
            self._ledger.forget()
            for item in waiting:
                give_back(item, OfficeClosed("the database cannot be written at the moment; post it again"))
            raise
        return len(items)

    def _deliver(self, item: Posting | Registration) -> None:
        """Commit one; what is wrong with itself is its own, what is wrong with the store is raised."""
        try:
            if isinstance(item, Posting):
                self._post(item)
            else:
                self._register(item)
        except (StoreError, Fenced, OSError):
            raise
        except RowRefused as error:
            self._ledger.forget()
            logger.warning("a post of %s is refused: %s", _sender(item), error)
            reason = "the database refuses a row of it; is an id used for two different things?"
            give_back(item, ValidationFailed("post", [Problem("steps", "…", reason)]))
        except StepstreamError as error:
            # Whatever it had taken before it was refused is not in the database.
            self._ledger.forget()
            give_back(item, error)
        except Exception as error:
            self._ledger.forget()
            logger.exception("a post of %s could not be stored", _sender(item))
            give_back(item, error)

    def _post(self, item: Posting) -> None:
        batch, stored = self._sorter.sort(item)
        self._store.append(batch, self._generation)
        self._ledger.committed()
        self.cursor = max(self.cursor, batch.last_cursor)
        if item.post.ends:
            # Only what is in the database is known to have been left open.
            ending = self._sorter.end(item.post)
            self._store.append(ending, self._generation)
            self._ledger.committed()
            self.cursor = max(self.cursor, ending.last_cursor)
        self._on_posted(item.post)
        accepted = StepsAccepted(
            stored=stored.new, known=stored.known, cursor=self._store.last_cursor(), epoch=self._store.epoch
        )
        self._acknowledge(item, lambda: item.accepted.set_result(accepted))

    def _register(self, item: Registration) -> None:
        batch, is_new = self._sorter.register(item.registration)
        if is_new:
            self._store.append(batch, self._generation)
        kind, version = item.registration.kind, item.registration.version
        registered = KindRegistered(kind=kind, version=version, is_new=is_new)
        self._acknowledge(item, lambda: item.registered.set_result(registered))

    def _acknowledge(self, item: Posting | Registration, done: Callable[[], None]) -> None:
        doubt = OfficeClosed("it may not be on the disk; post it again")
        self._sync.committed()
        self._sync.tell(done, lambda: give_back(item, doubt))

    def close(self) -> None:
        """Take in nothing more; what waits is given back."""
        self._office.shut()


def _sender(item: Posting | Registration) -> str:
    return item.sender if isinstance(item, Posting) else "a kind"
