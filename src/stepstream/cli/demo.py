"""``stepstream demo``: a team designs a bracket while you watch, or as fast as it can as a load."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stepstream.cli.access import JsonOption, database_path, pasted, shown_path
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.cli.live import Live
    from stepstream.cli.output import Output
    from stepstream.demo.catalogue import Problem
    from stepstream.demo.team import Run, Verdict
    from stepstream.schemas.record import JsonObject
    from stepstream.sdk.provider import ObservabilityProvider

DIRECTORY = "stepstream-demo"
PROBLEM_DEFAULT = 14
_STEPS_A_SECOND = 20.0
_GRACE_S = 5.0


def demo(
    *,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", help="Log exactly so many steps, without showing them."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="R", min=0.001, help="Steps a second; flat out by default."),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option("--episodes", metavar="N", min=1, help="So many episodes, one after another."),
    ] = None,
    problem: Annotated[
        int,
        typer.Option(
            "--problem", metavar="N", min=0, help="The order to begin with; each is another bracket."
        ),
    ] = PROBLEM_DEFAULT,
    speed: Annotated[
        float, typer.Option("--speed", min=0.01, help="How fast it goes by when it is watched.")
    ] = 1.0,
    page: Annotated[
        bool | None,
        typer.Option(
            "--page/--no-page",
            help="Show it in a browser, too, which stays until Ctrl+C; else where one can be opened.",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result.")] = False,
    as_json: JsonOption = False,
    db: Annotated[
        Path | None,
        typer.Option("--db", metavar="PATH", help=f"Where to record; ./{DIRECTORY}/history.db by default."),
    ] = None,
) -> None:
    """Watch three agents design a bracket, or make it a load.

    With --steps, --rate or --episodes nothing is shown and it works as fast as it is told to.
    """
    from stepstream.cli.output import Output
    from stepstream.cli.page import page_beside

    output = Output()
    load = Load(steps, rate, episodes)
    has_page = page if page is not None else output.is_terminal and not (quiet or as_json or load.is_wanted)
    with ExitStack() as stack:
        provider, folder = stack.enter_context(_place(db, leave_files=not load.is_wanted))
        url = stack.enter_context(page_beside(provider.database)) if has_page else None
        is_seen = url is not None and _announce(url, output)
        if load.is_wanted:
            verdicts = _load(provider, folder, problem, load, output, quiet=quiet)
        else:
            verdicts = [_watch(provider, folder, problem, speed, output, is_shown=not (quiet or as_json))]
        committed = provider.flush(_GRACE_S if _is_committed_for(provider) else 0.0)
        _report(provider, verdicts, load, output, committed=committed, as_json=as_json)
        if url is not None and (page or is_seen):
            _stay(url, output)


def _announce(url: str, output: Output) -> bool:
    """Say where the page is; tells whether a browser was opened on it."""
    from stepstream.cli.output import bold
    from stepstream.cli.page import show_in_browser

    output.say("live in a browser: ", bold(url))
    output.say()
    return show_in_browser(url)


def _stay(url: str, output: Output) -> None:
    """Leave the page there for as long as the person wants to look around."""
    output.say()
    output.say(f"the page stays at {url} until Ctrl+C")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        output.say()


class Load(NamedTuple):
    """What makes the demo a load; None is what was not asked for."""

    steps: int | None
    rate: float | None
    episodes: int | None

    @property
    def is_wanted(self) -> bool:
        """Whether any figure was given."""
        return any(figure is not None for figure in self)


@contextmanager
def _place(db: Path | None, *, leave_files: bool) -> Iterator[tuple[ObservabilityProvider, Path]]:
    """Where to record, and a directory for the mesh and the solver's log.

    Without a database of the person's choice one in a directory of its own is taken; there the files of a run
    that is watched are left, where they can be opened.
    """
    from stepstream.sdk.provider import ObservabilityProvider

    if db is None:
        Path(DIRECTORY).mkdir(exist_ok=True)
    database = database_path(Path(DIRECTORY, "history.db") if db is None else db)
    with ObservabilityProvider(database) as provider, TemporaryDirectory(prefix="stepstream-demo-") as folder:
        yield provider, database.parent if db is None and leave_files else Path(folder)


def _is_committed_for(provider: ObservabilityProvider) -> bool:
    from stepstream.settings import CommitterMode

    return provider.settings.committer is not CommitterMode.NONE


def _report(
    provider: ObservabilityProvider,
    verdicts: list[Verdict],
    load: Load,
    output: Output,
    *,
    committed: bool,
    as_json: bool,
) -> None:
    if as_json:
        output.json(
            {
                "database": str(provider.database),
                "steps": sum(verdict.steps for verdict in verdicts),
                "refused": provider.refused,
                "is_committed": committed,
                "episodes": [_json(verdict) for verdict in verdicts],
            }
        )
    else:
        _tell(verdicts, provider.database, output, is_load=load.is_wanted)
        if provider.refused or not committed:
            output.say(f"not all of it is in the database; see: {pasted('doctor', provider.database)}")
    if provider.refused:
        raise typer.Exit(ExitCode.FAILED)


# -- as a load


def _load(
    provider: ObservabilityProvider,
    folder: Path,
    problem: int,
    load: Load,
    output: Output,
    *,
    quiet: bool,
) -> list[Verdict]:
    """Run episode after episode; a number of steps is shared out among them, to the last one."""
    from stepstream.cli.progress import Progress
    from stepstream.demo.catalogue import Problem
    from stepstream.demo.team import STEPS_MIN, Pace, Run

    steps, rate, episodes = load.steps, load.rate, load.episodes or 1
    if steps is not None and steps < STEPS_MIN * episodes:
        raise CommandFailed(
            f"{episodes} episodes have {STEPS_MIN * episodes} steps at least; ask for more of them",
            ExitCode.USAGE,
        )
    verdicts: list[Verdict] = []
    pace = None if rate is None else Pace(rate)
    done = 0
    with Progress(output, "logging", steps or 0, "steps") as progress:

        def before(logged: int) -> None:
            if not quiet:
                progress.at(done + logged, done + logged)
            if pace is not None:
                pace(logged)

        for number in range(episodes):
            share = None if steps is None else steps // episodes + (number < steps % episodes)
            if pace is not None:
                pace.begin_another(done)
            run = Run(provider, Problem.numbered(problem + number), folder, steps=share, pace=before)
            verdicts.append(run.record())
            done += verdicts[-1].steps
    return verdicts


# -- to be watched


def _watch(
    provider: ObservabilityProvider,
    folder: Path,
    problem: int,
    speed: float,
    output: Output,
    *,
    is_shown: bool,
) -> Verdict:
    """Run one episode in a thread and show what the database says of it meanwhile."""
    from stepstream.cli.live import Live
    from stepstream.demo.catalogue import Problem
    from stepstream.demo.team import Pace, Run

    order = Problem.numbered(problem)
    # The solver appends to its log, and this is another run.
    (folder / f"{order.name}.log").unlink(missing_ok=True)
    is_shown = is_shown and _is_committed_for(provider)
    if is_shown:
        _introduce(order, output)
    run = Run(provider, order, folder, pace=Pace(_STEPS_A_SECOND * speed) if is_shown else None)
    if not is_shown:
        return run.record()
    live = Live(provider, output)
    verdicts: list[Verdict] = []
    thread = threading.Thread(target=_record, args=(run, provider, live, verdicts), name="demo")
    thread.start()
    try:
        live.show()
        thread.join()
    except KeyboardInterrupt:
        run.stop()
        thread.join()
        raise
    finally:
        live.close()
    if not verdicts:
        raise CommandFailed(
            f"the demo ended without a verdict; see: {pasted('show @last', provider.database)}"
        )
    return verdicts[0]


def _record(run: Run, provider: ObservabilityProvider, live: Live, verdicts: list[Verdict]) -> None:
    try:
        verdicts.append(run.record())
    finally:
        provider.flush(_GRACE_S)
        live.end_soon()


def _introduce(order: Problem, output: Output) -> None:
    from stepstream.cli.output import bold, dim

    mounting = order.mounting
    output.say(
        bold(f"{order.name}: "),
        f"carry {order.load_n:g} N at {mounting.reach_mm:g} mm from the wall "
        f"with at most {order.mass_max_g:g} g, sinking at most {order.deflection_max_mm:g} mm",
    )
    output.say(
        dim("planner, engineer and reviewer are scripts; geometry, stress and meshes are calculated for real")
    )
    output.say()


def _tell(verdicts: list[Verdict], database: Path, output: Output, *, is_load: bool) -> None:
    from stepstream.cli.figures import counted
    from stepstream.cli.output import Ink, Span, bold, dim

    steps = counted(sum(verdict.steps for verdict in verdicts), "step")
    output.say()
    if is_load:
        output.say(bold(steps), f" in {counted(len(verdicts), 'episode')}: {shown_path(database)}")
    else:
        verdict = verdicts[0]
        ink = Ink.GREEN if verdict.outcome == "accepted" else Ink.YELLOW
        output.say(Span(verdict.outcome, ink), f": {verdict.reason}")
        output.say(dim(f"{steps} in {shown_path(database)}"))
    output.say()
    for command in ("show @last", "show @last --errors", "serve --open"):
        output.say(f"  {pasted(command, database)}")


def _json(verdict: Verdict) -> JsonObject:
    return {
        "id": verdict.episode_id,
        "outcome": verdict.outcome,
        "score": verdict.score,
        "reason": verdict.reason,
        "steps": verdict.steps,
    }
