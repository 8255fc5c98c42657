"""``stepstream show``: one episode as a tree, its errors, one step of it, or what was known at a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import HistoryOption, JsonOption, open_history, pasted, place_of
from stepstream.cli.failure import CommandFailed, ExitCode

if TYPE_CHECKING:
    from stepstream.cli.access import Place
    from stepstream.cli.output import Output
    from stepstream.reading.history import History
    from stepstream.schemas.episode import Episode

EpisodeArgument = Annotated[
    str, typer.Argument(metavar="ID", help="An id, the beginning of one, or @last.", show_default=False)
]


def show(
    episode: EpisodeArgument,
    *,
    at: Annotated[
        int | None, typer.Option("--at", metavar="SEQ", help="What was known at this step.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only what went wrong.")] = False,
    step: Annotated[int | None, typer.Option("--step", metavar="SEQ", help="One step, whole.")] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Errors with their tracebacks.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="Of a longer episode its last steps; 0 for all.")
    ] = 1000,
    as_json: JsonOption = False,
    db: HistoryOption = None,
) -> None:
    """Show an episode: its tree, its errors or a step of it."""
    from stepstream.cli.output import Output

    if sum((at is not None, errors, step is not None)) > 1:
        raise CommandFailed("--at, --errors and --step exclude each other; take one of them", ExitCode.USAGE)
    output = Output()
    place = place_of(db)
    with open_history(place, output) as history:
        found = history.episode(episode)
        if at is not None:
            _show_state(history, found, at, output, as_json=as_json)
        elif step is not None:
            _show_step(history, found, step, output, as_json=as_json)
        elif errors:
            _show_errors(history, found, output, traceback=traceback, as_json=as_json)
        else:
            _show_tree(history, found, place, output, limit, traceback=traceback, as_json=as_json)


def _show_tree(
    history: History,
    episode: Episode,
    place: Place,
    output: Output,
    limit: int,
    *,
    traceback: bool,
    as_json: bool,
) -> None:
    from stepstream.cli.episode_view import header_lines, tree_lines
    from stepstream.cli.latest import latest_steps
    from stepstream.cli.output import dim
    from stepstream.reading.tree import grow

    if limit and episode.steps > limit:
        steps = latest_steps(history, limit, episode=episode)
    else:
        steps = history.steps(episode=episode.id, limit=None)
    tree = grow(episode, steps, history.episodes(parent=episode.id)[::-1])
    if as_json:
        output.json(tree.model_dump(mode="json"))
        return
    output.show(header_lines(episode, steps, output.width))
    output.line()
    left_out = steps[0].sequence if steps else 0
    if left_out:
        command = pasted(f"show {episode.id} --limit 0", place)
        output.line(dim(f"… {left_out:,} steps before these; all of them with: {command}"))
    output.show(tree_lines(tree, output.width, traceback=traceback))


def _show_errors(
    history: History, episode: Episode, output: Output, *, traceback: bool, as_json: bool
) -> None:
    from stepstream.cli.episode_view import error_lines, header_lines
    from stepstream.schemas.error_report import ErrorReport
    from stepstream.schemas.kinds import Loss

    found = [
        step
        for kind in (ErrorReport.kind, Loss.kind)
        for step in history.steps(episode=episode.id, kind=kind, limit=None)
    ]
    found.sort(key=lambda step: step.sequence)
    if as_json:
        output.json(
            {
                "episode": episode.model_dump(mode="json"),
                "errors": [step.model_dump(mode="json") for step in found],
            }
        )
        return
    output.show(header_lines(episode, (), output.width))
    output.line()
    if not found:
        output.line("nothing went wrong")
    for step in found:
        output.show(error_lines(step, history.opener(step), output.width, traceback=traceback))


def _show_step(history: History, episode: Episode, sequence: int, output: Output, *, as_json: bool) -> None:
    from stepstream.cli.step_view import step_lines

    found = history.steps(episode=episode.id, filter=f"seq:{sequence}", limit=1)
    if not found:
        raise CommandFailed(
            f"episode {episode.id} has no step {sequence}; its steps are 0 to {episode.steps - 1}",
            ExitCode.NOT_FOUND,
        )
    step = found[0]
    if as_json:
        output.json(step.model_dump(mode="json"))
        return
    output.show(step_lines(episode, step, history.opener(step), history.closer(step), output.width))


def _show_state(history: History, episode: Episode, sequence: int, output: Output, *, as_json: bool) -> None:
    from stepstream.cli.state_view import state_lines

    state = history.state(episode.id, at=sequence)
    if as_json:
        output.json(state.model_dump(mode="json"))
        return
    output.show(state_lines(episode, state, output.width))
