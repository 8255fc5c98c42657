"""The destination of a provider's steps: a database file of this machine, or a server.

Knows what differs between the two: how they are named, where the spool lies, who empties it, and how one
waits for that. Must not know episodes or steps: a step is written into the same spool in both cases.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from stepstream.errors import ConfigurationInvalid
from stepstream.schemas.record import short_repr
from stepstream.sdk.step_writer import StepWriter
from stepstream.spool.location import check_location, make_private, state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from stepstream.reading.history import History
    from stepstream.reading.remote.link import Link
    from stepstream.reading.subscription import Events
    from stepstream.sdk.provider import ProviderOptions
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory

logger = logging.getLogger("stepstream")

DEFAULT_DATABASE = "history.db"
_PLACE = "remote"
_SERVERS = frozenset({"http", "https"})
_LATER = frozenset({"postgresql", "postgres"})

_Options = dict[str, str | float | bool | None]


class Destination(Protocol):
    """Where steps go.

    Attributes:
        database: The path that spool and artifacts are named after; for a server there is no file there.
        address: What names the destination to people and to other processes: a path, or a URL.
        settings: Its options.
        waiting_files_bytes_max: How much the files that are attached may hold together; None where they stay.
    """

    database: Path
    address: str
    settings: Settings
    waiting_files_bytes_max: int | None

    def make_place(self) -> None:
        """Make sure that there is a directory to put the spool into.

        Raises:
            UnsafeLocation: It is not safe.
            OSError: It cannot be created.
        """
        ...

    def identify(self, spool: SpoolDirectory) -> bytes:
        """Find out which database the spool feeds.

        Raises:
            StepstreamError: There is something else at its place.
            OSError: The spool cannot be used.
        """
        ...

    def see_to_worker(self, spool: SpoolDirectory) -> None:
        """See to it that somebody empties the spool; never waits, never raises."""
        ...

    def wait(self, spool: SpoolDirectory, timeout_s: float) -> bool:
        """Wait until all that was logged by now has arrived; returns whether it has.

        Raises:
            StepstreamError: Nobody can tell.
            OSError: As above.
        """
        ...

    def open_history(self) -> History:
        """Everything people ask of what has arrived.

        Raises:
            FileNotFoundError: Nothing has.
            StepstreamError: It cannot be read.
        """
        ...

    def subscribe(self, spool: SpoolDirectory, after: int | None, epoch: str | None) -> Events:
        """Events behind a cursor.

        Raises:
            StepstreamError: They cannot be read.
        """
        ...

    def is_known_here(self) -> bool:
        """Whether somebody on this machine has chosen it before, or the machine's settings name it."""
        ...


class FileDestination:
    """A database file of this machine."""

    waiting_files_bytes_max: int | None = None

    def __init__(self, database: Path, settings: Settings) -> None:
        self.database = database
        self.address = os.fspath(database)
        self.settings = settings

    def make_place(self) -> None:
        pass

    def identify(self, spool: SpoolDirectory) -> bytes:
        from stepstream.store.hosting import database_identity  # noqa: PLC0415 - only who records pays

        return database_identity(self.database, spool)

    def see_to_worker(self, spool: SpoolDirectory) -> None:
        from stepstream.store.hosting import ensure_committer  # noqa: PLC0415 - only who records pays

        ensure_committer(self.database, spool, self.settings)

    def wait(self, spool: SpoolDirectory, timeout_s: float) -> bool:
        from stepstream.reading.backlog import wait_until_committed  # noqa: PLC0415 - apsw is heavy

        return wait_until_committed(self.database, spool, timeout_s)

    def open_history(self) -> History:
        from stepstream.reading.history import History  # noqa: PLC0415 - apsw is heavy

        return History.open(self.database)

    def subscribe(self, spool: SpoolDirectory, after: int | None, epoch: str | None) -> Events:
        from stepstream.reading.subscription import Subscription  # noqa: PLC0415 - apsw is heavy

        return Subscription(self.database, spool, after, epoch=epoch)

    def is_known_here(self) -> bool:
        from stepstream.spool.directory import spool_path  # noqa: PLC0415 - only who was sent a context pays

        return spool_path(self.database).is_dir()


class ServerDestination:
    """A server; its steps wait in a directory of this user's."""

    def __init__(self, stated: str, where: str, options: ProviderOptions) -> None:
        """Name a server.

        Args:
            stated: Its URL.
            where: Where that was stated, for the error.
            options: Settings given in code.

        Raises:
            ConfigurationInvalid: The URL or an option cannot be used.
            UnsafeLocation: Steps could be lost where they were to wait.
        """
        from stepstream.settings import Settings  # noqa: PLC0415 - a third of our import time
        from stepstream.shipping.address import ServerAddress  # noqa: PLC0415 - only who has a server pays
        from stepstream.shipping.hosting import Shipping  # noqa: PLC0415 - as above
        from stepstream.store.rules import redaction_rules  # noqa: PLC0415 - as above

        server = ServerAddress.parse(stated, where)
        # There is no file beside which the project's own settings could lie but the one we run in.
        settings = Settings.load(Path(DEFAULT_DATABASE), None, **cast("_Options", options))
        for name in ("spool_directory", "token_file"):
            _check_absolute(name, getattr(settings, name))
        # Nobody must find out by a secret that left the machine.
        redaction_rules(settings.redaction)
        self._directory = state_directory(settings.spool_directory, os.environ) / server.slug
        self.database = self._directory / _PLACE
        self.address = server.text
        self.settings = settings
        self.waiting_files_bytes_max: int | None = settings.spool_bytes_max
        check_location(self.database, allow_unsafe=settings.unsafe_location)
        self._server = server
        self._shipping = Shipping(self.database, server)

    def make_place(self) -> None:
        make_private(self._directory)

    def identify(self, spool: SpoolDirectory) -> bytes:
        from stepstream.schemas.identity import new_id  # noqa: PLC0415 - only who records pays
        from stepstream.shipping.notice import give_notice  # noqa: PLC0415 - as above

        give_notice(spool, self.settings.redaction)
        return (spool.identity() or spool.claim_identity(new_id())).database_id

    def see_to_worker(self, spool: SpoolDirectory) -> None:
        self._shipping.ensure(spool, self.settings)

    def wait(self, spool: SpoolDirectory, timeout_s: float) -> bool:
        from stepstream.shipping.backlog import wait_until_shipped  # noqa: PLC0415 - only who waits pays

        return wait_until_shipped(spool, timeout_s)

    def open_history(self) -> History:
        from stepstream.reading.remote.history import RemoteHistory  # noqa: PLC0415 - only who reads pays

        return RemoteHistory(self._link())

    def subscribe(self, spool: SpoolDirectory, after: int | None, epoch: str | None) -> Events:  # noqa: ARG002
        from stepstream.reading.remote.subscription import RemoteSubscription  # noqa: PLC0415 - as above

        return RemoteSubscription(self._link(), after, epoch=epoch)

    def _link(self) -> Link:
        from stepstream.reading.remote.link import Link  # noqa: PLC0415 - only who reads pays
        from stepstream.shipping.token import read_token  # noqa: PLC0415 - as above

        return Link(self._server, read_token(self.settings))

    def is_known_here(self) -> bool:
        from stepstream.settings import DATABASE_VARIABLE  # noqa: PLC0415 - only who was sent a context pays
        from stepstream.spool.directory import spool_path  # noqa: PLC0415 - as above

        if spool_path(self.database).is_dir():
            return True
        stated = os.environ.get(DATABASE_VARIABLE, "")
        try:
            return _names_server(stated) and ServerDestination(stated, "", {}).address == self.address
        except ConfigurationInvalid:
            return False


class PlacedWriter(StepWriter):
    """A writer that makes the place of its spool first."""

    def __init__(
        self,
        destination: Destination,
        identify: Callable[[SpoolDirectory], bytes],
        on_check: Callable[[SpoolDirectory], None],
    ) -> None:
        super().__init__(destination.database, destination.settings, identify, on_check)
        self._make_place = destination.make_place

    def _open(self) -> SpoolDirectory:
        self._make_place()
        return super()._open()


def destination_of(stated: str | os.PathLike[str] | None, options: ProviderOptions) -> Destination:
    """The destination that a path or a URL names.

    Args:
        stated: The path or URL; what ``STEPSTREAM_DB`` says, else ``./history.db``, by default.
        options: Settings given in code.

    Raises:
        ConfigurationInvalid: It names none, or an option cannot be used.
        UnsafeLocation: Steps could be lost there.
    """
    from stepstream.settings import DATABASE_VARIABLE, Settings  # noqa: PLC0415 - a third of our import time

    where = "the argument database"
    if stated is None:
        where = DATABASE_VARIABLE
        stated = os.environ.get(DATABASE_VARIABLE) or DEFAULT_DATABASE
    text = os.fspath(stated)
    if isinstance(text, str) and _names_server(text):
        return ServerDestination(text, where, options)
    path = _database_path(text, where)
    settings = Settings.load(path, None, **cast("_Options", options))
    check_location(path, allow_unsafe=settings.unsafe_location)
    return FileDestination(path, settings)


def _names_server(text: str) -> bool:
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in _SERVERS


def _database_path(text: str | bytes, where: str) -> Path:
    if not isinstance(text, str) or "\0" in text or text in {"", ":memory:"}:
        raise ConfigurationInvalid(
            where, short_repr(text), "the path of a file, for a history outlives its process"
        )
    scheme, separator, _ = text.partition("://")
    if separator:
        advice = "the path of a file, or the http:// or https:// address of a server"
        if scheme in _LATER:
            advice += f"; {scheme}:// is not available in this release"
        raise ConfigurationInvalid(where, short_repr(text), advice)
    path = Path(os.path.realpath(text))
    if path.is_dir():
        raise ConfigurationInvalid(where, short_repr(text), f"the path of a file; {path} is a directory")
    if not path.parent.is_dir():
        advice = f"a path in a directory that is there; run: mkdir -p {path.parent}"
        raise ConfigurationInvalid(where, short_repr(text), advice)
    return path


def _check_absolute(name: str, path: str | None) -> None:
    """Refuse a relative path: the shipper, and an agent's children, run in other directories."""
    if path is not None and not Path(path).expanduser().is_absolute():
        raise ConfigurationInvalid(name, short_repr(path), "an absolute path")
