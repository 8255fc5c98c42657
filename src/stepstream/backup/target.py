"""The target: the place where backups lie, reached by URL, and what it can be trusted with.

Knows object stores: how bytes get there and back, which failures pass and which do not. Must not know what a
backup is. What a store says it can do is tried out before it is relied on.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from stepstream.backup.place import Place, Timing, open_place
from stepstream.errors import TargetUnreachable, TargetUnusable
from stepstream.shipping.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from stepstream.settings import BackupSettings

    T = TypeVar("T")

_BLOCK_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
_PARTS_MAX = 9_000
_PROBE_BYTES = 64


class Stored(NamedTuple):
    """An object of the target.

    Attributes:
        path: Its name below the target's prefix.
        size: How many bytes it has.
        modified_ns: When it was written, by the target's clock; ns since 1970 UTC.
    """

    path: str
    size: int
    modified_ns: int


class Abilities(NamedTuple):
    """What a target was seen to do.

    Attributes:
        creates: Whether it refuses to write over an object when asked to create one.
        now_ns: What its clock says; ns since 1970 UTC.
    """

    creates: bool
    now_ns: int


class Target:
    """A place for backups.

    Every method goes on trying for as long as the target's patience lasts, and raises TargetUnreachable when
    it is at its end, or TargetUnusable at once where trying again does not help.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._store = place.store
        self._creates = True
        self._failing_since: float | None = None

    @classmethod
    def open(
        cls,
        url: str,
        settings: BackupSettings,
        environment: Mapping[str, str],
        timing: Timing | None = None,
    ) -> Self:
        """Name a target; nothing is asked of it yet.

        Raises:
            TargetUnusable: The URL is of no kind that is known, or holds credentials.
            ConfigurationInvalid: A file with credentials cannot be read.
        """
        timing = timing or Timing(patience_s=settings.patience_s)
        return cls(open_place(url, settings, environment, timing))

    @property
    def url(self) -> str:
        """Where it is; never with credentials."""
        return self._place.url

    # -- what it can do

    def probe(self, prefix: str) -> Abilities:
        """Write, read and remove a small object, and see what the target makes of it.

        Raises:
            TargetUnusable: It does not give back what was written.
        """
        path = f"{prefix}/probe/{secrets.token_hex(8)}"
        data = secrets.token_bytes(_PROBE_BYTES)
        self._creates = True
        self.put_new(path, data)
        found = self.stat(path)
        if found is None or self.read_small(path) != data or self._range(path, 8, 16) != data[8:16]:
            raise TargetUnusable(
                self.url, "it does not give back what was written", "take another place for backups"
            )
        self._creates = self._refuses_to_overwrite(path)
        self.delete(path)
        return Abilities(self._creates, found.modified_ns)

    def _refuses_to_overwrite(self, path: str) -> bool:
        try:
            self._once(path, lambda: obstore.put(self._store, path, b"", mode="create", use_multipart=False))
        except FileExistsError:
            return True
        except TargetUnusable:
            return False
        return False

    # -- writing

    def put_new(self, path: str, data: bytes) -> None:
        """Write a small object, whole or not at all, under a name that nobody has used.

        Raises:
            TargetUnusable: There is another object of the name.
        """
        mode: Literal["create", "overwrite"] = "create" if self._creates else "overwrite"

        def put() -> None:
            obstore.put(self._store, path, data, mode=mode, use_multipart=False)

        try:
            self._persist(path, put)
        except FileExistsError:
            # An earlier try may have succeeded, and its answer been lost.
            if self.read_small(path, len(data) + 1) != data:
                raise TargetUnusable(
                    self.url, f"{path} is there already", "see who else writes there"
                ) from None
        except TargetUnusable:
            if not self._creates:
                raise
            # Some clones answer a condition with an error; names are unique anyway.
            self._creates = False
            self.put_new(path, data)
        self._place.settle(path)

    def upload(self, path: str, size_max: int, chunks: Callable[[], Iterator[bytes]]) -> None:
        """Write a large object in parts, as its bytes are made; it appears whole or not at all.

        Args:
            path: Its name.
            size_max: How many bytes there are at most.
            chunks: Begins to make the bytes; called again when a try has failed.
        """
        part = max(_BLOCK_BYTES, -(-size_max // _PARTS_MAX))

        def put() -> None:
            obstore.put(
                self._store,
                path,
                chunks(),
                use_multipart=True,
                chunk_size=part,
                max_concurrency=_PARTS_AT_ONCE,
            )

        self._persist(path, put)
        self._place.settle(path)

    def delete(self, path: str) -> None:
        """Remove an object; none of the name is as good."""
        try:
            self._persist(path, lambda: obstore.delete(self._store, path))
        except FileNotFoundError:
            return

    # -- reading

    def stat(self, path: str) -> Stored | None:
        """An object by name; None when there is none."""
        try:
            meta = self._persist(path, lambda: obstore.head(self._store, path))
        except FileNotFoundError:
            return None
        return Stored(path, meta["size"], int(meta["last_modified"].timestamp() * 1e9))

    def read_small(self, path: str, bytes_max: int = 64 * 1024 * 1024) -> bytes:
        """A small object, whole.

        Raises:
            FileNotFoundError: There is none of the name.
        """

        def get() -> bytes:
            result = obstore.get(self._store, path)
            if result.meta["size"] > bytes_max:
                return bytes(obstore.get_range(self._store, path, start=0, end=bytes_max))
            return bytes(result.bytes())

        return self._persist(path, get)

    def read(self, path: str, size: int) -> Iterator[bytes]:
        """An object piece by piece; a read that breaks goes on where it broke.

        Raises:
            FileNotFoundError: There is none of the name.
        """
        for start in range(0, size, _BLOCK_BYTES):
            yield self._range(path, start, min(start + _BLOCK_BYTES, size))

    def _range(self, path: str, start: int, end: int) -> bytes:
        return self._persist(path, lambda: bytes(obstore.get_range(self._store, path, start=start, end=end)))

    def hash_of(self, path: str, size: int, told: Callable[[int], None]) -> str:
        """The SHA-256 of what the target gives back for an object."""
        digest = hashlib.sha256()
        done = 0
        for block in self.read(path, size):
            digest.update(block)
            done += len(block)
            told(done)
        return digest.hexdigest()

    def objects(self, prefix: str) -> list[Stored]:
        """The objects below a prefix, by name."""

        def collect() -> list[Stored]:
            return [
                Stored(meta["path"], meta["size"], int(meta["last_modified"].timestamp() * 1e9))
                for page in obstore.list(self._store, prefix)
                for meta in page
            ]

        return sorted(self._persist(prefix, collect))

    def folders(self) -> list[str]:
        """The names of the folders there are."""
        found = self._persist("", lambda: obstore.list_with_delimiter(self._store)["common_prefixes"])
        return sorted(found)

    def sweep_parts(self, older_than_ns: int) -> int:
        """Remove what a process left that died while it wrote; returns how many.

        Of an S3 server only its own rule can do that: see docs/how-to/back-up.md.
        """
        return self._place.sweep_parts(older_than_ns)

    # -- patience

    def _persist(self, path: str, action: Callable[[], T]) -> T:
        """Do something, again and again while the target fails, for as long as patience lasts."""
        patience = Patience()
        while True:
            try:
                done = self._once(path, action)
            except TargetUnreachable:
                self._failing_since = self._failing_since or time.monotonic()
                patience.fail()
                if time.monotonic() + patience.pause_s > self._failing_since + self._place.timing.patience_s:
                    raise
                time.sleep(patience.pause_s)
            except OSError:
                # There is no such object, or there is one: an answer all the same.
                self._failing_since = None
                raise
            else:
                self._failing_since = None
                return done

    def _once(self, path: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except AlreadyExistsError as error:
            raise FileExistsError(17, "there is one already", path) from error
        except FileNotFoundError as error:
            if self._place.is_missing(error):
                raise self._place.translate(path, error) from error
            raise FileNotFoundError(2, "there is no such object", path) from error
        except (BaseError, ConnectionError, TimeoutError) as error:
            raise self._place.translate(path, error) from error
