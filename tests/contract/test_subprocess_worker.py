"""Work in other processes: subprocess, fork, spawn, a queue; all of it lands where it belongs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

import stepstream
from stepstream import (
    ObservabilityProvider,
    StatusChange,
    Thought,
    attach_context,
    child_env,
    context_token,
    log_event,
    propagate,
    tool,
)
from stepstream.testing.spool_steps import LoggedStep, logged_steps

WORKER = """
import stepstream
from stepstream import Thought, log_event, tool

@tool
def mesh(size_mm: float) -> int:
    return int(100 / size_mm)

log_event(Thought(text="I am the worker."))
mesh(2.5)
"""

CHILD_EPISODE = """
import stepstream
from stepstream import Thought, log_event

with stepstream.episode("Mesh it", agent="mesher"):
    log_event(Thought(text="I have an episode of my own."))
"""


@pytest.fixture
def provider(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> ObservabilityProvider:
    """A provider whose steps stay in the spool."""
    monkeypatch.setenv("STEPSTREAM_COMMITTER", "none")
    return ObservabilityProvider("history.db")


def _run(script: str) -> None:
    subprocess.run([sys.executable, "-c", script], env=child_env(), check=True, timeout=30)


def _by_text(steps: list[LoggedStep]) -> dict[str, LoggedStep]:
    return {step.payload.text: step for step in steps if isinstance(step.payload, Thought)}


def test_a_subprocess_logs_under_the_step_that_started_it(
    provider: ObservabilityProvider, workspace: Path
) -> None:
    """A worker started with child_env() logs into the same episode, under the tool call that started it."""
    with (
        provider,
        provider.episode("Design", agent="engineer", role="engineer") as episode,
        episode.tool_call("run_mesher") as call,
    ):
        _run(WORKER)

    steps = logged_steps(workspace / "history.db")
    worker = _by_text(steps)["I am the worker."]
    assert worker.episode_id == episode.id
    assert worker.parent_id == call.id
    assert (worker.agent, worker.role) == ("engineer", "engineer")
    assert worker.pid != os.getpid()
    assert [step.kind for step in steps] == [
        "status_change",
        "tool_call",
        "thought",
        "tool_call",
        "observation",
        "observation",
        "status_change",
    ]


def test_a_child_episode_knows_its_parent(provider: ObservabilityProvider, workspace: Path) -> None:
    """A worker that opens an episode of its own has the caller's as its parent, and ends its own only."""
    with provider, provider.episode("Design") as episode:
        _run(CHILD_EPISODE)

    steps = logged_steps(workspace / "history.db")
    changes = [step.payload for step in steps if isinstance(step.payload, StatusChange)]
    parents = [change.start.parent_id for change in changes if change.start is not None]
    assert parents == [None, episode.id]
    assert [change.status for change in changes] == ["running", "running", "completed", "completed"]


def _think(text: str) -> None:
    log_event(Thought(text=text))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_follows(provider: ObservabilityProvider, workspace: Path, method: str) -> None:
    """A multiprocessing child logs into the episode it was started in, however it was started."""
    with provider, provider.episode("Design") as episode, episode.tool_call("mesh") as call:
        process = multiprocessing.get_context(method).Process(target=_think, args=("in the child",))
        process.start()
        process.join(30)

    thought = _by_text(logged_steps(workspace / "history.db"))["in the child"]
    assert (thought.episode_id, thought.parent_id) == (episode.id, call.id)
    assert thought.pid != os.getpid()


def test_a_pool_follows_by_its_initializer(provider: ObservabilityProvider, workspace: Path) -> None:
    """A spawned pool takes the context as the argument of its initializer."""
    with (
        provider,
        provider.episode("Design") as episode,
        ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=attach_context,
            initargs=(context_token(),),
        ) as pool,
    ):
        pool.submit(_think, "in the pool").result(30)

    assert _by_text(logged_steps(workspace / "history.db"))["in the pool"].episode_id == episode.id


def test_threads_follow_when_they_are_told_to(provider: ObservabilityProvider, workspace: Path) -> None:
    """propagate() carries the context into an executor; a bare thread has none and is never guessed."""
    with provider, provider.episode("Design") as episode:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(propagate(_think), "carried").result()
        thread = threading.Thread(target=_think, args=("bare",))
        thread.start()
        thread.join()

    thoughts = _by_text(logged_steps(workspace / "history.db"))
    assert thoughts["carried"].episode_id == episode.id
    assert thoughts["bare"].episode_id != episode.id


def test_a_token_travels_through_a_queue(provider: ObservabilityProvider, workspace: Path) -> None:
    """A token is text for a queue or a header; who attaches it logs under the step that gave it."""

    @tool
    def enqueue() -> str:
        return context_token()

    with provider, provider.episode("Design") as episode:
        token = enqueue()
    with attach_context(token):
        log_event(Thought(text="later"))

    steps = logged_steps(workspace / "history.db")
    call = next(step for step in steps if step.kind == "tool_call")
    assert (_by_text(steps)["later"].episode_id, _by_text(steps)["later"].parent_id) == (episode.id, call.id)


def test_a_forked_child_never_ends_its_parents_episode(
    provider: ObservabilityProvider, workspace: Path
) -> None:
    """A child that leaves the blocks it was forked in, as by sys.exit(), closes none of them."""
    parent = os.getpid()
    try:
        with provider, provider.episode("Design"), stepstream.tool_call("fork"):
            child = os.fork()
            if child == 0:
                log_event(Thought(text="forked"))
                sys.exit(0)
            os.waitpid(child, 0)
    except SystemExit:
        assert os.getpid() != parent
        os._exit(0)

    steps = logged_steps(workspace / "history.db")
    assert [step.kind for step in steps] == [
        "status_change",
        "tool_call",
        "thought",
        "observation",
        "status_change",
    ]
