"""A context crosses into threads, pools and other processes when it is told to, and only as what it is."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

import stepstream
from stepstream import (
    ObservabilityProvider,
    Thought,
    agent,
    attach_context,
    child_env,
    context_token,
    current_episode,
    log_event,
    propagate,
)
from stepstream.sdk import context
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]


def _thoughts(steps: list[LoggedStep]) -> dict[str, LoggedStep]:
    return {step.payload.text: step for step in steps if isinstance(step.payload, Thought)}


def _think(text: str) -> None:
    log_event(Thought(text=text))


# -- tokens


def test_a_token_is_plain_ascii(provider: ObservabilityProvider) -> None:
    """A token goes through headers, queues and environments, whatever the names in it."""
    with provider.episode("test", agent="Zoë\n😀", role='"r"'):
        token = context_token()

    assert token.isascii()
    assert token.isprintable()
    assert json.loads(token)["agent"] == "Zoë\n😀"


def test_outside_any_episode_there_is_nothing_to_take_along(provider: ObservabilityProvider) -> None:
    """The token is empty, attaching it changes nothing, and the child's environment has none."""
    assert context_token() == ""
    with attach_context(""):
        assert current_episode() is None
    assert "STEPSTREAM_CONTEXT" not in child_env({"STEPSTREAM_CONTEXT": "old"})
    assert child_env({})["STEPSTREAM_DB"] == str(provider.database)


def test_an_environment_is_copied_not_changed(provider: ObservabilityProvider) -> None:
    """child_env() starts from a copy, and this process's own variables stay as they are."""
    with provider.episode("test"):
        given = {"PATH": "/bin"}
        child = child_env(given)
        everything = child_env()

    assert given == {"PATH": "/bin"}
    assert child["PATH"] == "/bin"
    assert everything.items() >= {name: os.environ[name] for name in ("PATH", "STEPSTREAM_COMMITTER")}.items()
    assert "STEPSTREAM_CONTEXT" not in os.environ


def _tell_settings(path: str) -> None:
    scope = context.current.get()
    assert scope is not None
    assert scope.provider is not None
    Path(path).write_text(scope.provider.settings.committer)


def test_a_child_has_the_settings_of_its_parent(
    database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What was said in code goes along in the environment, and to spawned processes."""
    monkeypatch.delenv("STEPSTREAM_COMMITTER")
    options = ObservabilityProvider(database, committer="none", spool_shared_group=False, linger_s=0.5)
    with options as provider, provider.episode("test"):
        child = child_env({})
        told = tmp_path / "told"
        process = multiprocessing.get_context("spawn").Process(target=_tell_settings, args=(str(told),))
        process.start()
        process.join(30)

    assert (child["STEPSTREAM_COMMITTER"], child["STEPSTREAM_LINGER_S"]) == ("none", "0.5")
    assert child["STEPSTREAM_SPOOL_SHARED_GROUP"] == "False"
    assert told.read_text() == "none"


EPISODE = "0190b6f2-7c1a-7f3e-8d52-3a0f6f6f2b11"


@pytest.mark.parametrize(
    "token",
    [
        "garbage",
        "{}",
        "[1]",
        "\ud800",
        "x" * 1_000_000,
        json.dumps({"version": 2, "database": "/tmp/x.db", "episode": EPISODE}),
        json.dumps({"version": 1, "database": "relative.db", "episode": EPISODE}),
        json.dumps({"version": 1, "database": "/etc/shadow", "episode": EPISODE}),
        json.dumps({"version": 1, "database": "/no/such/place.db", "episode": EPISODE}),
        json.dumps({"version": 1, "database": "HERE", "episode": "../../etc"}),
        json.dumps({"version": 1, "database": "HERE", "episode": EPISODE, "step": 17}),
        json.dumps({"version": 1, "database": "HERE", "episode": EPISODE, "agent": "x" * 70_000}),
        json.dumps({"version": 1, "database": "HERE", "episode": EPISODE, "surprise": 1}),
        json.dumps({"version": 1, "database": "THERE", "episode": EPISODE}),
    ],
    ids=range(14),
)
def test_a_token_that_is_none_of_ours_is_ignored_with_one_warning(
    provider: ObservabilityProvider, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    """Garbage and hostile tokens raise nothing, lead nowhere and create nothing."""
    caplog.set_level(logging.WARNING, "stepstream")
    place = provider.database.parent
    before = sorted(place.iterdir())
    token = token.replace("THERE", str(place / "new.db")).replace("HERE", str(provider.database))

    with provider.episode("test") as episode, attach_context(token):
        assert current_episode() is episode

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert len(caplog.records[0].getMessage()) < 2000
    assert sorted(place.iterdir()) == before


def test_an_attached_context_ends_with_its_block(provider: ObservabilityProvider, logged: Logged) -> None:
    """Inside the block steps go where the token says, behind it where they went before."""
    with provider.episode("one", agent="a", role="r") as one:
        token = context_token()
    with provider.episode("two") as two:
        with attach_context(token):
            _think("in one")
            assert str(one.id) in repr(current_episode())
        _think("in two")

    thoughts = _thoughts(logged())
    assert (thoughts["in one"].episode_id, thoughts["in one"].agent, thoughts["in one"].role) == (
        one.id,
        "a",
        "r",
    )
    assert thoughts["in two"].episode_id == two.id


def test_an_episode_begun_elsewhere_is_ended_there(provider: ObservabilityProvider) -> None:
    """Who only attached a context can log into the episode, and cannot finish it."""
    with provider.episode("test"):
        token = context_token()
    with attach_context(token):
        episode = current_episode()
        assert episode is not None
        with pytest.raises(stepstream.NotOpen, match="only the process that entered it"):
            episode.finish()
        with pytest.raises(stepstream.NotOpen, match="entered before"), episode:
            pass


def test_a_worker_that_attaches_again_and_again_holds_nothing(provider: ObservabilityProvider) -> None:
    """Contexts attached without a block replace each other; none is kept behind the last."""

    def work() -> None:
        for _ in range(1000):
            attach_context(token)
        scope, depth = context.current.get(), 0
        while scope is not None:
            scope, depth = scope.outer, depth + 1
        assert depth == 1

    with provider.episode("test"):
        token = context_token()
    contextvars.Context().run(work)


WORKER = """
import threading
import stepstream
from stepstream import Thought, ObservabilityProvider, agent, log_event, tool

def work():
    log_event(Thought(text="thread"))

thread = threading.Thread(target=work)
thread.start()
thread.join()
with agent("helper"):
    log_event(Thought(text="helper"))
with ObservabilityProvider() as provider:
    log_event(Thought(text="provider"))
    with provider.episode("child"):
        log_event(Thought(text="child"))
with ObservabilityProvider("other.db", committer="none") as other:
    with other.episode("elsewhere") as episode:
        assert stepstream.current_episode() is episode
"""


def test_a_whole_child_process_stands_under_the_step_that_started_it(
    provider: ObservabilityProvider, logged: Logged, tmp_path: Path
) -> None:
    """All threads of a child log there; its agents, providers and episodes know where they come from."""
    with provider.episode("test", agent="boss") as episode, episode.tool_call("spawn") as call:
        subprocess.run([sys.executable, "-c", WORKER], env=child_env(), cwd=tmp_path, check=True, timeout=30)

    thoughts = _thoughts(logged())
    for text, name in (("thread", "boss"), ("helper", "helper"), ("provider", "boss")):
        step = thoughts[text]
        assert (step.episode_id, step.parent_id, step.agent) == (episode.id, call.id, name)
    child = next(step for step in logged() if step.episode_id == thoughts["child"].episode_id)
    assert child.payload.start.parent_id == episode.id  # type: ignore[attr-defined]
    assert child.parent_id == call.id


# -- threads and tasks


def test_a_propagated_function_takes_its_place_along(provider: ObservabilityProvider, logged: Logged) -> None:
    """Wherever and however often it runs, it logs where it was propagated, and leaves no trace there."""
    with provider.episode("test") as episode, episode.tool_call("t") as call, agent("hand"):
        carried = propagate(_think)

    def work() -> None:
        carried("carried")
        assert current_episode() is None

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work) for _ in range(8)]:
            future.result()

    steps = [step for step in logged() if step.kind == "thought"]
    assert {(step.episode_id, step.parent_id, step.agent) for step in steps} == {
        (episode.id, call.id, "hand")
    }
    assert len(steps) == 8


def test_a_propagated_function_goes_into_a_pool_of_processes(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """Pickled, it takes its place along, whatever the worker logged before."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as pool:
        with provider.episode("one") as one, one.tool_call("t") as call:
            pool.submit(propagate(_think), "in one").result(30)
        with provider.episode("two") as two:
            pool.submit(propagate(_think), text="in two").result(30)

    thoughts = _thoughts(logged())
    assert (thoughts["in one"].episode_id, thoughts["in one"].parent_id) == (one.id, call.id)
    assert (thoughts["in two"].episode_id, thoughts["in two"].parent_id) == (two.id, None)


async def test_a_propagated_coroutine_function_is_one(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """Asynchronous functions are carried likewise, and are still asynchronous."""

    async def think(text: str) -> None:
        await asyncio.sleep(0)
        _think(text)

    with provider.episode("test") as episode:
        carried = propagate(think)
    assert inspect.iscoroutinefunction(carried)
    await carried("later")

    assert _thoughts(logged())["later"].episode_id == episode.id
    assert current_episode() is None


def test_what_is_propagated_from_nowhere_stays_nowhere(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """A function propagated outside any episode does not slip into the one it runs in."""
    carried = propagate(_think)
    with provider.episode("test") as episode:
        carried("from nowhere")

    assert _thoughts(logged())["from nowhere"].episode_id != episode.id


async def test_tasks_do_not_see_each_others_blocks(provider: ObservabilityProvider, logged: Logged) -> None:
    """Concurrent tasks have their own episodes, calls and agents, and may outlive the block they began in."""

    async def work(name: str) -> None:
        async with provider.episode(name, agent=name) as episode:
            with episode.tool_call("t"):
                await asyncio.sleep(0.001)
                _think(name)
                await asyncio.sleep(0.001)

    await asyncio.gather(*(work(f"t{number}") for number in range(20)))
    async with provider.episode("short") as short:

        async def log_late() -> None:
            await asyncio.sleep(0.01)
            _think("late")

        task = asyncio.create_task(log_late())
    await task

    for step in logged():
        if isinstance(step.payload, Thought) and step.payload.text.startswith("t"):
            assert step.agent == step.payload.text
    assert _thoughts(logged())["late"].episode_id == short.id


def test_generators_of_agents_do_not_lend_their_name(provider: ObservabilityProvider, logged: Logged) -> None:
    """Between the items of an agent's generator the consumer is who it was."""

    @agent("inner")
    def think(texts: list[str]) -> Iterator[str]:
        for text in texts:
            _think(f"inner {text}")
            yield text

    with provider.episode("test", agent="outer"):
        for left, right in zip(think(["1", "2"]), think(["3", "4"]), strict=True):
            _think(f"outer {left}{right}")

    assert all(step.agent == text.split()[0] for text, step in _thoughts(logged()).items())


async def test_an_agents_asynchronous_generator_left_half_way_leaves_nobody_inside(
    provider: ObservabilityProvider,
) -> None:
    """A generator that the loop closes much later takes nothing from whoever runs then."""

    @agent("inner")
    async def think() -> AsyncIterator[int]:
        yield 1
        yield 2

    async with provider.episode("test") as episode:
        async for _ in think():
            break
        assert current_episode() is episode
        scope = context.current.get()
        assert scope is not None
        assert scope.agent == b""


def test_a_block_inside_a_generator_throws_nobody_out(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """A block that a generator opened in its consumer's context, and leaves later, is left alone."""

    def careless() -> Iterator[int]:
        with stepstream.tool_call("inside"):
            yield 1

    with provider.episode("test") as episode:
        generator = careless()
        next(generator)
        with stepstream.tool_call("consumer") as call:
            assert list(generator) == []
            _think("still in the consumer's call")
        assert current_episode() is episode

    assert _thoughts(logged())["still in the consumer's call"].parent_id == call.id


def test_agents_nest_and_are_used_again(provider: ObservabilityProvider, logged: Logged) -> None:
    """The innermost agent logs; one object names the same agent any number of times."""
    coder = agent("coder", role="engineer")
    with provider.episode("test", agent="planner"):
        with coder, agent("tester"):
            _think("1")
            with coder:
                _think("2")
            _think("3")
        _think("4")

    assert [(step.agent, step.role) for step in _thoughts(logged()).values()] == [
        ("tester", None),
        ("coder", "engineer"),
        ("tester", None),
        ("planner", None),
    ]


def test_an_agent_outside_any_episode_is_named_in_the_ambient_one(
    provider: ObservabilityProvider, logged: Logged
) -> None:
    """The name holds even where there is no episode."""
    with agent("loner"):
        _think("hello")

    assert _thoughts(logged())["hello"].agent == "loner"


def test_a_thread_without_context_is_not_guessed(provider: ObservabilityProvider, logged: Logged) -> None:
    """A bare thread's steps go to the ambient episode even if there is just one other."""
    with provider.episode("test") as episode:
        thread = threading.Thread(target=_think, args=("bare",))
        thread.start()
        thread.join()

    assert _thoughts(logged())["bare"].episode_id != episode.id


# -- multiprocessing


def _spawn_again(text: str) -> None:
    _think(text)
    process = multiprocessing.get_context("spawn").Process(target=_think, args=(f"{text}'s child",))
    process.start()
    process.join(30)


def test_spawned_processes_spawn_on(provider: ObservabilityProvider, logged: Logged) -> None:
    """A grandchild stands under the same call as its parent, without any help."""
    with provider.episode("test") as episode, episode.tool_call("t") as call:
        process = multiprocessing.get_context("spawn").Process(target=_spawn_again, args=("child",))
        process.start()
        process.join(60)

    thoughts = _thoughts(logged())
    for text in ("child", "child's child"):
        assert (thoughts[text].episode_id, thoughts[text].parent_id) == (episode.id, call.id)


def test_processes_spawned_outside_any_episode_do_not_even_import_us(provider: ObservabilityProvider) -> None:
    """Where there is nothing to take along, the child is what it would be without us."""

    def spawned_with_us() -> bool:
        script = "import sys; sys.exit('stepstream' in sys.modules)"
        process = multiprocessing.get_context("spawn").Process(target=exec, args=(script,))
        process.start()
        process.join(30)
        return bool(process.exitcode)

    with provider.episode("test"):
        assert spawned_with_us()
    assert not spawned_with_us()
