"""``stepstream tail``: the last steps, and those that come, a line each.

From a file somebody has to commit what comes, and this sees to it; a server does that itself.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import (
    HistoryOption,
    JsonLinesOption,
    drain,
    existing_spool,
    open_history,
    place_of,
    shown_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stepstream.cli.access import Place
    from stepstream.cli.output import Output
    from stepstream.reading.history import History
    from stepstream.reading.remote.subscription import RemoteSubscription
    from stepstream.reading.subscription import Events
    from stepstream.schemas.episode import Episode
    from stepstream.schemas.step import Step
    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.spool.directory import SpoolDirectory

_COUNT_DEFAULT = 50
_CONTEXT_STEPS = 200
_LOOK_INTERVAL_S = 0.1
_KEEP_INTERVAL_S = 2.0
_SERVER_INTERVAL_S = 0.5


def tail(
    episode: Annotated[
        str, typer.Argument(metavar="EPISODE", help="An id, its beginning, or @last.", show_default=False)
    ] = "",
    filter: Annotated[
        str,
        typer.Argument(metavar="FILTER", help="As in: kind:tool_call agent:planner", show_default=False),
    ] = "",
    *,
    follow: Annotated[
        bool | None,
        typer.Option(
            "--follow/--no-follow",
            "-f/-F",
            help="Wait for more; at a terminal by default.",
            show_default=False,
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", "-n", min=0, help="How many of the steps that are there.  [default: 50]"),
    ] = None,
    since: Annotated[str, typer.Option(metavar="AGO", help="Only steps younger than this: 5m, 2h.")] = "",
    full: Annotated[bool, typer.Option("--full", help="Whole texts and tracebacks.")] = False,
    as_json_lines: JsonLinesOption = False,
    db: HistoryOption = None,
) -> None:
    """Show the last steps and follow new ones.

    One word that is no id is a filter: stepstream tail kind:error
    """
    from stepstream.cli.output import Output

    output = Output()
    place = place_of(db)
    wanted = filter
    if episode and not filter and not _names_an_episode(episode):
        episode, wanted = "", episode
    if since:
        wanted = f"({wanted}) since:-{since}" if wanted else f"since:-{since}"
    count_max = _COUNT_DEFAULT if count is None and not since else count
    if follow:
        _wait_for(place, output)
    stream = _Stream(place, output, wanted, full=full, as_json_lines=as_json_lines)
    goes_on = stream.begin(episode, count_max)
    if goes_on and (output.is_terminal if follow is None else follow):
        stream.follow()


def _names_an_episode(text: str) -> bool:
    """Whether the first of two words that may be left out is an id; anything else is a filter."""
    return text.startswith("@") or all(digit in "0123456789abcdef-" for digit in text.lower())


def _wait_for(place: Place, output: Output) -> None:
    """Until there is something to read from."""
    if isinstance(place, Path):
        _wait_for_file(place, output)
    else:
        _wait_for_server(place, output)


def _wait_for_server(server: ServerAddress, output: Output) -> None:
    """Until it answers, whatever it answers."""
    from stepstream.errors import Busy, Unreachable
    from stepstream.reading.history import History
    from stepstream.reading.remote.link import Misdirected

    is_told = False
    while True:
        try:
            History.open(server.text).close()
        except Misdirected:
            raise
        except (Busy, Unreachable) as error:
            if not is_told:
                output.say(f"waiting: {error}")
            is_told = True
            time.sleep(_SERVER_INTERVAL_S)
        else:
            return


def _wait_for_file(database: Path, output: Output) -> None:
    """Until somebody records at the path."""
    from stepstream.spool.directory import spool_path

    if database.exists():
        return
    output.say(f"waiting for {shown_path(database)}")
    while not database.exists() and not spool_path(database).exists():
        time.sleep(_LOOK_INTERVAL_S)
    while not database.exists():
        drain(database, output, timeout_s=_KEEP_INTERVAL_S)
        time.sleep(_LOOK_INTERVAL_S)


class _Stream:
    """What passes the filter, printed."""

    def __init__(self, place: Place, output: Output, filter: str, *, full: bool, as_json_lines: bool) -> None:
        from stepstream.cli.step_line import StepLines
        from stepstream.reading.filter import Filter
        from stepstream.reading.matcher import Passing, StepMatcher

        self._place = place
        self._output = output
        self._filter = filter
        self._as_json_lines = as_json_lines
        self._lines = StepLines(output.width, full=full)
        self._passing = Passing(steps_max=10_000)
        self._matches = StepMatcher(Filter.parse(filter), time.time_ns(), self._passing)
        self._names: dict[str, str] = {}
        self._episode: Episode | None = None
        self._after = 0

    def begin(self, episode: str, count: int | None) -> bool:
        """Print what is there.

        Args:
            episode: The only episode to show; empty for all.
            count: At most how many of the last steps; None for all.

        Returns:
            Whether more can come.
        """
        from stepstream.cli.latest import latest_steps
        from stepstream.schemas.episode import Status

        with open_history(self._place, self._output) as history:
            self._episode = history.episode(episode) if episode else None
            self._after = history.last_cursor() if self._episode is None else self._episode.last_cursor
            # What was opened before the first line closes in a later one.
            around = {step.id: step for step in latest_steps(history, _CONTEXT_STEPS, episode=self._episode)}
            for step in around.values():
                self._passing.note(step)
            for step in self._there(history, count):
                self._after = max(self._after, step.cursor)
                self._print(step, around.get(step.closes or "") or history.opener(step), history)
        self._output.flush()
        return self._episode is None or self._episode.status is Status.RUNNING

    def _there(self, history: History, count: int | None) -> Iterable[Step]:
        """The steps that are there and pass; all of them are read page by page."""
        from stepstream.cli.latest import latest_steps
        from stepstream.export.selection import Selection, pages

        wanted = self._filter or None
        if count is not None:
            return latest_steps(history, count, episode=self._episode, filter=wanted)
        selection = Selection(None if self._episode is None else self._episode.id, wanted)
        return chain.from_iterable(pages(history, selection))

    def follow(self) -> None:
        """Print what comes, until the episode ends or somebody interrupts."""
        from stepstream.schemas.event import Reset

        with ExitStack() as stack:
            place = self._place
            followed = self._file(place, stack) if isinstance(place, Path) else self._server(place, stack)
            if followed is None:
                self._output.say(f"nobody records into {shown_path(place)} any more: it has no spool")
                return
            history, events = followed
            for event in events:
                if isinstance(event, Reset):
                    self._output.say(f"{shown_path(place)} was replaced; following the new one")
                    self._names.clear()
                elif self._take(event.step, history):
                    return

    def _file(self, database: Path, stack: ExitStack) -> tuple[History, Events] | None:
        """A file and what is committed to it behind what was printed; None where nobody can record."""
        from stepstream.reading.history import History
        from stepstream.reading.subscription import Subscription
        from stepstream.settings import Settings

        settings = Settings.load(database)
        spool = stack.enter_context(existing_spool(database, settings))
        if spool is None:
            return None
        stack.enter_context(_committer_kept(database, spool, settings))
        history = stack.enter_context(History.open(database))
        return history, stack.enter_context(Subscription(database, spool, self._after))

    def _server(self, server: ServerAddress, stack: ExitStack) -> tuple[History, Events]:
        """The same at a server, which may have gone since, and be back soon."""
        from stepstream.reading.remote.history import RemoteHistory
        from stepstream.reading.remote.link import Link
        from stepstream.reading.remote.subscription import RemoteSubscription

        history = stack.enter_context(RemoteHistory(Link.open(server.text)))
        events = stack.enter_context(RemoteSubscription(Link.open(server.text), self._after))
        stack.enter_context(_trouble_told(events, self._output))
        return history, events

    def _take(self, step: Step, history: History) -> bool:
        """Print a new step if it passes; returns whether it is the last one to wait for."""
        from stepstream.schemas.episode import Status
        from stepstream.schemas.kinds import StatusChange

        of_ours = self._episode is None or step.episode_id == self._episode.id
        if of_ours and self._matches(step):
            self._print(step, self._passing.opener(step), history)
            self._output.flush()
        self._passing.note(step)
        ends = isinstance(step.payload, StatusChange) and step.payload.status is not Status.RUNNING
        return ends and of_ours and self._episode is not None

    def _print(self, step: Step, opener: Step | None, history: History) -> None:
        if self._as_json_lines:
            self._output.json_line(step)
        else:
            name = None if self._episode is not None else self._name(step.episode_id, history)
            self._output.show(self._lines.of(step, opener, name))

    def _name(self, episode_id: str, history: History) -> str:
        from stepstream.errors import Busy, Unreachable

        if episode_id not in self._names:
            try:
                self._names[episode_id] = history.episode(episode_id).name
            except (Busy, Unreachable):
                # The server has gone since it told of the step; the next one may have the name.
                return episode_id
        return self._names[episode_id]


@contextmanager
def _trouble_told(events: RemoteSubscription, output: Output) -> Iterator[None]:
    """While we follow, a person hears that the server is away, and that it is back."""
    over = threading.Event()

    def watch() -> None:
        is_away = False
        while not over.wait(_KEEP_INTERVAL_S):
            trouble = events.trouble
            if trouble is not None and not is_away:
                output.say(f"waiting: {trouble}")
            elif trouble is None and is_away:
                output.say("the server is back")
            is_away = trouble is not None

    watcher = threading.Thread(target=watch, name="stepstream-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextmanager
def _committer_kept(database: Path, spool: SpoolDirectory, settings: Settings) -> Iterator[None]:
    """While we follow, somebody commits: agents and committer may all have been killed at once."""
    from stepstream.cli.access import commit_soon
    from stepstream.errors import StepstreamError
    from stepstream.reading.backlog import waiting_bytes

    over = threading.Event()

    def keep() -> None:
        while not over.wait(_KEEP_INTERVAL_S):
            # What hinders us here hinders the reading too, and is told there.
            with suppress(StepstreamError, OSError):
                if waiting_bytes(database, spool):
                    commit_soon(database, spool, settings)

    keeper = threading.Thread(target=keep, name="stepstream-keeper", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
