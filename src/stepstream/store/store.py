"""What an engine must do for the committer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stepstream.store.batch import Batch, EpisodeState, RecorderState


class Store(Protocol):
    """The place where steps last, as the one committer sees it.

    Not thread-safe but for ``sync_log``, ``checkpoint_aside`` and ``log_bytes``. Every method raises
    StoreError when the engine fails; after any error nothing of a batch is stored, and what was loaded before
    must be loaded again.
    """

    @property
    def database_id(self) -> bytes:
        """Which database this is."""
        ...

    @property
    def epoch(self) -> str:
        """Which life of the database its cursors belong to."""
        ...

    @property
    def salt(self) -> bytes:
        """The key of this database's redaction hashes."""
        ...

    def take_office(self, published: int = 0) -> int:
        """Begin a term of office; every batch of an earlier term is refused from here on.

        Args:
            published: The last cursor that anybody heard of. Where the log ends before it somebody took
                commits back, as by removing a file, and an epoch begins.
        """
        ...

    def append(self, batch: Batch, generation: int) -> None:
        """Write a batch in one transaction, whole or not at all.

        Raises:
            Fenced: The generation is over, or an offset is not where the batch says.
            RowRefused: A row breaks a constraint; the caller isolates it.
            Busy: Somebody else holds the database; try again.
        """
        ...

    def last_cursor(self) -> int:
        """The highest cursor ever given out."""
        ...

    def recorder(self, recorder_id: bytes) -> RecorderState | None:
        """A recorder by id."""
        ...

    def episode(self, episode_id: bytes) -> EpisodeState | None:
        """An episode by id."""
        ...

    def episode_at(self, key: int) -> EpisodeState | None:
        """An episode by key."""
        ...

    def running_episodes(self, recorder: int) -> list[bytes]:
        """The ids of the episodes that a recorder opened and nobody ended."""
        ...

    def open_steps(self, episode: int) -> list[bytes]:
        """The ids of an episode's steps that nothing closes."""
        ...

    def has_step(self, step_id: bytes) -> bool:
        """Whether a step is stored."""
        ...

    def next_keys(self) -> tuple[int, int]:
        """The next free keys of a recorder and of an episode."""
        ...

    def offsets(self) -> dict[str, tuple[int, bool]]:
        """How far each segment is consumed, and whether it is finished."""
        ...

    def unfinished_segments(self) -> dict[str, bytes]:
        """The segments that were read in part, each with the id of its recorder, which has not ended."""
        ...

    def schemas(self) -> dict[tuple[str, int], str]:
        """The JSON schema of every kind and version ever stored."""
        ...

    def forget_segments(self, finished_before: int) -> None:
        """Drop the rows of segments finished before a time; their files are long gone."""
        ...

    def sync_log(self) -> bool:
        """Flush what is committed to the disk; False when it failed or the path names another file.

        May be called from another thread.
        """
        ...

    def is_intact(self) -> bool:
        """Whether the path still names the files that are open."""
        ...

    def log_bytes(self) -> int:
        """Size of the write-ahead log."""
        ...

    def checkpoint_aside(self) -> int:
        """Move the log into the database as far as nobody is disturbed; returns the bytes in use in it.

        May be called from another thread; never raises for a busy database.
        """
        ...

    def restart_log(self) -> None:
        """Write the log from its front again, if nobody reads it; waits for nobody."""
        ...

    def close(self, *, clean: bool) -> None:
        """Let go of the database; ``clean`` states that nothing is in doubt."""
        ...
