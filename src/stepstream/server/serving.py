"""Serving: one process that commits, answers and streams, from the first signal of life to the last.

Knows the order in which the parts start and end. Must not know what they answer.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from stepstream.backup.keeper import Keeper
from stepstream.errors import ConfigurationInvalid, StepstreamError
from stepstream.reading.local_history import LocalHistory
from stepstream.reading.search.indexer import SearchIndexer
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.server.app import create_app
from stepstream.server.auth.rules import check_start
from stepstream.server.auth.tokens import TokenFile
from stepstream.server.guard.door import Door
from stepstream.server.guard.guard import Guard
from stepstream.server.guard.limits import Limits
from stepstream.server.services import Services
from stepstream.server.stream.broadcast import Broadcast
from stepstream.spool.directory import SERVER_LOCK, SpoolDirectory
from stepstream.store.election import COMMITTING, is_locked, read_status
from stepstream.store.loop import run_committer
from stepstream.store.post_office import PostOffice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from starlette.types import ASGIApp

    from stepstream.schemas.stream import Delta
    from stepstream.server.auth.rules import AccessRules
    from stepstream.settings import Settings

logger = logging.getLogger("stepstream")

_BACKLOG = 2_048
_FILES_MAX = 16_384
_KEEP_ALIVE_S = 30
_REQUESTS_DRAIN_S = 4
_COMMITTER_DRAIN_S = 5.0
_BIRTH_S = 10.0
_LOOK_INTERVAL_S = 0.01
_WEBSOCKET_BYTES_MAX = 64 * 1024
_UNSENT_BYTES_MAX = 32 * 1024


class ServerRunning(StepstreamError):
    """Another server serves the database already."""

    def __init__(self, database: Path | str, pid: int | None) -> None:
        self.pid = pid
        whose = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{whose} serves {database} already; stop it first, or use the one that is there")


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server can be reached.

    Attributes:
        host: The address.
        port: The port, also where any free one was asked for.
    """

    host: str
    port: int

    @property
    def url(self) -> str:
        """What to type into a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


@dataclass(frozen=True, slots=True)
class Offer:
    """What is served, and where.

    Attributes:
        database: The database; created when it is not there.
        settings: Bounds and intervals.
        host: The address to listen on.
        port: The port; 0 for any free one.
        rules: Who may come in.
    """

    database: Path
    settings: Settings
    host: str
    port: int
    rules: AccessRules


def serve(offer: Offer, announce: Callable[[Listening], None]) -> None:
    """Serve a database until SIGTERM or SIGINT; what was accepted is finished first.

    Args:
        offer: What is served, and where.
        announce: Told where the server listens, once it answers.

    Raises:
        ServerRunning: Another server serves it already.
        ConfigurationInvalid: The address cannot be listened on, or others reach it and there is no token.
        StepstreamError: The database cannot be used.
    """
    database, settings = offer.database, offer.settings
    tokens = TokenFile(database)
    check_start(offer.rules, tokens)
    _raise_file_limit()
    with ExitStack() as stack:
        listener = stack.enter_context(_bind(offer.host, offer.port))
        spool = SpoolDirectory(database, shared_group=settings.spool_shared_group)
        stack.callback(spool.close)
        if is_locked(spool, SERVER_LOCK):
            raise ServerRunning(database, _pid(spool))
        office = PostOffice()
        stack.callback(office.close)
        committer = _Committer(database, spool, settings, office)
        committer.start()
        stack.callback(committer.stop)
        committer.wait()
        history = stack.enter_context(LocalHistory.at(database))
        indexer = SearchIndexer(database, settings)
        keeper = Keeper(database, settings)
        keeper.start()
        stack.callback(keeper.stop)
        services = Services(
            database=database,
            settings=settings,
            history=history,
            post_office=office,
            artifacts=ArtifactStore(database, settings),
            keeper=keeper,
            index_progress=lambda: indexer.progress,
        )
        indexer.start()
        stack.callback(indexer.stop)
        # What was imported stays; looking it through again and again would only hold up who watches.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(offer, services, tokens, committer, listener, announce))


async def _serve(
    offer: Offer,
    services: Services,
    tokens: TokenFile,
    committer: _Committer,
    listener: socket.socket,
    announce: Callable[[Listening], None],
) -> None:
    has_changed = tokens.watch()
    async with Broadcast(
        offer.database, committer.spool, services.history, has_access_changed=has_changed
    ) as broadcast:
        committer.show = broadcast.publish_deltas
        watched = replace(services, stream_figures=lambda: broadcast.figures)
        limits = Limits()
        server = _Server(
            Guard(create_app(watched, broadcast), rules=offer.rules, tokens=tokens, limits=limits),
            Door(limits, offer.rules),
            on_started=lambda: announce(_where(listener)),
            on_end=broadcast.close,
        )
        await server.serve_until_told(listener)


def _raise_file_limit() -> None:
    """Take as many file descriptors as we may: each client that watches is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, _FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What a client does not read is noticed after some kilobytes, not after megabytes.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES_MAX)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigurationInvalid(
                "--host and --port", f"{host}:{port}", f"a free one ({reason})"
            ) from None
        yield listener
    finally:
        listener.close()


def _where(listener: socket.socket) -> Listening:
    host, port = listener.getsockname()[:2]
    return Listening(str(host), int(port))


def _pid(spool: SpoolDirectory) -> int | None:
    status = read_status(spool)
    return None if status is None else status.pid


class _Server(uvicorn.Server):
    """uvicorn, told by us when to end."""

    def __init__(
        self, app: ASGIApp, door: Door, *, on_started: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=door.http,
                ws=door.websocket,
                ws_max_size=_WEBSOCKET_BYTES_MAX,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_REQUESTS_DRAIN_S,
            )
        )
        self._on_started = on_started
        self._on_end = on_end

    async def serve_until_told(self, listener: socket.socket) -> None:
        """Answer until SIGTERM or SIGINT; a second one ends at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        await self.serve([listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    def _end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        # What has no end of its own is ended now, so that the rest can be waited for.
        self._on_end()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: uvicorn would end the process by the signal, and a service's end is 0."""
        yield


def _show_nobody(_: Sequence[Delta]) -> None:
    """Before the stream begins nobody watches."""


class _Committer(threading.Thread):
    """The committer, as a thread of the server.

    Attributes:
        spool: What it reads.
        show: Told what may be shown of answers that are being made.
    """

    def __init__(self, database: Path, spool: SpoolDirectory, settings: Settings, office: PostOffice) -> None:
        super().__init__(name="stepstream-committer", daemon=True)
        self._database = database
        self.spool = spool
        self.show: Callable[[Sequence[Delta]], None] = _show_nobody
        self._settings = settings
        self._office = office
        self._stopping = threading.Event()

    def run(self) -> None:
        """Commit until stopped."""
        run_committer(
            self._database,
            self.spool,
            self._settings,
            until=self._stopping.is_set,
            post_office=self._office,
            on_deltas=self._pass_on,
        )

    def _pass_on(self, deltas: Sequence[Delta]) -> None:
        # Asked for each time: the stream begins later than we do.
        self.show(deltas)

    def wait(self) -> None:
        """Wait until it commits, or say why it does not.

        Raises:
            ServerRunning: Another server was faster.
            StepstreamError: The database cannot be used.
        """
        deadline = time.monotonic() + _BIRTH_S
        while not self._office.is_open:
            if time.monotonic() > deadline:
                status = read_status(self.spool)
                if status is None or status.state == COMMITTING:
                    raise ServerRunning(self._database, None if status is None else status.pid)
                raise StepstreamError(f"{self._database} cannot be served: {status.state}")
            time.sleep(_LOOK_INTERVAL_S)

    def stop(self) -> None:
        """Commit what is there, leave the office and end."""
        self._stopping.set()
        self.join(_COMMITTER_DRAIN_S)
        if self.is_alive():
            logger.warning("the committer did not end in time; what is in the spool is committed later")
