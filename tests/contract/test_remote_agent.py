"""Agents on another machine: the same SDK with an address instead of a path, and nothing else is different."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.nursery import until
from tests.support.rounds import Shelf
from tests.support.served_history import ServedHistory

from stepstream import (
    ChatMessage,
    ChatRole,
    History,
    ModelReply,
    ObservabilityProvider,
    Observation,
    Status,
    Step,
    StepPayload,
    TextPart,
    Thought,
    ToolCall,
    agent,
    child_env,
    log_event,
    model_call,
    tool,
)
from stepstream.sdk.open_providers import close_providers
from stepstream.shipping.backlog import look_at_backlog
from stepstream.spool.directory import COMMITTER_LOCK, SpoolDirectory
from stepstream.store.election import is_locked

WORKER = """
from stepstream import Thought, log_event, tool

@tool
def mesh(size_mm: float) -> int:
    return int(100 / size_mm)

log_event(Thought(text="I am the worker."))
mesh(2.5)
"""


class RemoteVerdict(StepPayload, kind="remote_verdict"):
    """What a project adds of its own."""

    passed: bool
    stress_mpa: float


@tool
def simulate(thickness_mm: float) -> dict[str, float]:
    """A tool that works at once."""
    log_event(Thought(text=f"simulating {thickness_mm}"))
    return {"max_stress_mpa": 720 / thickness_mm}


@tool
async def look_up(query: str) -> str:
    """A tool that waits."""
    await asyncio.sleep(0)
    log_event(Thought(text=f"looking up {query}"))
    return f"{query}: found"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHistory]:
    """The server of another machine."""
    with ServedHistory(tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.fixture
def remote(
    workspace: Path, served: ServedHistory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServedHistory]:
    """An empty directory on this machine, from where that server can be reached; who ships there ends soon."""
    monkeypatch.setenv("STEPSTREAM_SPOOL_DIRECTORY", str(workspace / "state"))
    monkeypatch.setenv("STEPSTREAM_LINGER_S", "0.2")
    monkeypatch.setenv("STEPSTREAM_FLUSH_TIMEOUT_S", "20")
    monkeypatch.delenv("STEPSTREAM_TOKEN", raising=False)
    yield served
    close_providers()
    for place in (workspace / "state").glob("*"):
        spool = SpoolDirectory(place / "remote", create=False)
        until(lambda spool=spool: not is_locked(spool, COMMITTER_LOCK), "the shipper ends")
        spool.close()


def steps_of(served: ServedHistory, episode_id: str) -> list[Step]:
    """An episode as the server has it."""
    with History.open(served.database) as history:
        return history.steps(episode=episode_id)


def test_a_sync_tool_in_an_episode(remote: ServedHistory, workspace: Path) -> None:
    """Thoughts, a tool call, a kind of the project's own, a file: all of it is at the server, typed and in order."""
    (workspace / "mesh.stl").write_text("solid bracket\n" * 10_000)
    with ObservabilityProvider(remote.url) as provider:
        with provider.episode("Design", agent="engineer", role="engineer", tags=("remote",)) as episode:
            episode.log_event(Thought(text="Start."))
            simulate(4.0)
            artifact = episode.attach("mesh.stl")
            episode.log_event(RemoteVerdict(passed=True, stress_mpa=180.0))
            episode.finish(outcome="accepted", score=0.9)
        assert provider.flush()

    steps = steps_of(remote, episode.id)
    assert [step.kind for step in steps] == [
        "status_change",
        "thought",
        "tool_call",
        "thought",
        "observation",
        "artifact_attached",
        "remote_verdict",
        "status_change",
    ]
    assert [step.sequence for step in steps] == list(range(8))
    call, nested, answer = steps[2:5]
    assert isinstance(call.payload, ToolCall)
    assert call.payload.arguments == {"thickness_mm": 4.0}
    assert isinstance(answer.payload, Observation)
    assert answer.payload.result == {"max_stress_mpa": 180.0}
    assert (nested.parent_id, answer.closes) == (call.id, call.id)
    assert steps[6].payload == RemoteVerdict(passed=True, stress_mpa=180.0)
    assert {(step.agent, step.role) for step in steps} == {("engineer", "engineer")}
    assert {step.origin.pid for step in steps} == {os.getpid()}
    with History.open(remote.database) as history:
        recorded = history.episode(episode.id)
    assert (recorded.status, recorded.outcome, recorded.tags) == (Status.COMPLETED, "accepted", ("remote",))
    assert recorded.code_version is not None
    kept = remote.database.with_name("history.db-artifacts") / artifact.sha256[:2] / artifact.sha256[2:]
    assert kept.read_text() == "solid bracket\n" * 10_000
    until(lambda: not list((workspace / "state").rglob("*.segment")), "nothing is left here")


async def test_an_async_graph_node(remote: ServedHistory) -> None:
    """Concurrent nodes with tools and a model call keep their own context on the way to the server."""

    async def node(name: str) -> None:
        async with agent(name, role="node"):
            with model_call(
                "small", messages=(ChatMessage(role=ChatRole.USER, parts=(TextPart(text=name),)),)
            ) as call:
                await asyncio.sleep(0)
                call.reply(f"answer to {name}", finish_reason="stop")
            await look_up(name)

    async with (
        ObservabilityProvider(remote.url, committer="thread") as provider,
        provider.episode("Graph") as episode,
    ):
        async with asyncio.TaskGroup() as group:
            for name in ("planner", "reviewer"):
                group.create_task(node(name))
        assert await provider.aflush()

    steps = steps_of(remote, episode.id)
    assert [step.sequence for step in steps] == list(range(len(steps)))
    closing = {step.closes: step for step in steps if step.closes}
    for step in steps:
        if step.kind in {"model_call", "tool_call"}:
            assert closing[step.id].agent == step.agent
            assert closing[step.id].sequence > step.sequence
        if isinstance(step.payload, Thought):
            assert step.payload.text == f"looking up {step.agent}"
    replies = {step.agent: step.payload for step in steps if isinstance(step.payload, ModelReply)}
    assert set(replies) == {"planner", "reviewer"}


def _think(text: str) -> None:
    log_event(Thought(text=text))


def test_workers_in_other_processes(remote: ServedHistory) -> None:
    """A subprocess, a forked and a spawned child log under the step that started them, through one shipper."""
    with ObservabilityProvider(remote.url) as provider:
        with provider.episode("Workers") as episode, episode.tool_call("work") as call:
            subprocess.run([sys.executable, "-c", WORKER], env=child_env(), check=True, timeout=30)
            for method in ("fork", "spawn"):
                process = multiprocessing.get_context(method).Process(target=_think, args=(method,))
                process.start()
                process.join(30)
                assert process.exitcode == 0
            call.observe("done")
        assert provider.flush()

    steps = steps_of(remote, episode.id)
    texts = {step.payload.text: step for step in steps if isinstance(step.payload, Thought)}
    assert set(texts) == {"I am the worker.", "fork", "spawn"}
    assert {step.parent_id for step in texts.values()} == {call.id}
    assert len({step.origin.pid for step in steps}) == 4
    assert [step.sequence for step in steps] == list(range(len(steps)))
    assert steps[-1].kind == "status_change"
    assert steps[-2].closes == call.id


def test_flush_says_no_while_the_server_is_away(
    remote: ServedHistory, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a network flush waits its time and says no, nothing raises, and all arrives when there is one again."""
    with FaultProxy(remote.port) as proxy:
        proxy.refuse()
        with ObservabilityProvider(proxy.url, committer="thread", flush_timeout_s=0.3) as provider:
            with provider.episode("Away") as episode:
                began = time.monotonic()
                for number in range(100):
                    episode.log_event(Thought(text=str(number)))
                assert time.monotonic() - began < 5
            assert not provider.flush()
            assert provider.refused == 0
            proxy.accept()
            assert provider.flush(timeout_s=40)

    assert len(steps_of(remote, episode.id)) == 102
    assert "Connection refused" in caplog.text


def test_two_agents_share_one_shipper(remote: ServedHistory, workspace: Path) -> None:
    """Two programs that record for one server ship through one process, and both arrive whole."""
    script = f"""
import sys, time
from stepstream import ObservabilityProvider, Thought
with ObservabilityProvider({remote.url!r}, flush_timeout_s=30.0) as provider:
    with provider.episode(sys.argv[1]) as episode:
        print(episode.id, flush=True)
        for number in range(300):
            episode.log_event(Thought(text=str(number)))
            time.sleep(0.002)
"""
    agents = [
        subprocess.Popen([sys.executable, "-c", script, name], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    seen: set[str] = set()

    def watch() -> bool:
        for status in (workspace / "state").glob("*/remote-spool/committer.json"):
            # It is made, and a moment later written.
            seen.add(status.read_text().partition(",")[0] or "nobody yet")
        return all(each.poll() is not None for each in agents)

    until(watch, "both end", 60)
    for each in agents:
        episode_id = each.communicate()[0].strip()
        assert each.returncode == 0
        assert [step.sequence for step in steps_of(remote, episode_id)] == list(range(302))
    assert len(seen - {"nobody yet"}) == 1


def test_redaction_happens_before_the_network(remote: ServedHistory, workspace: Path) -> None:
    """No secret is among the bytes on the wire: not in a payload, a schema, a file's name or an error."""
    (workspace / "stepstream.toml").write_text('[redaction]\nnames = ["launch_code"]\n')
    key = "sk-ant-api03-" + "aB3-_xY7" * 11 + "AA"
    with FaultProxy(remote.port, lambda _: Fault()) as proxy:
        with ObservabilityProvider(proxy.url, committer="thread") as provider:
            with provider.episode("Secrets") as episode:
                episode.log_event(Thought(text=f"my key is {key}"))
                with episode.tool_call("call", {"api_key": "hunter2-hunter2", "launch_code": "moonlight"}):
                    pass
                try:
                    with episode.tool_call("fail"):
                        raise ValueError(f"could not log in with {key}")
                except ValueError:
                    pass
            assert provider.flush()
        wire = bytes(proxy.sent)

    assert b"my key is [redacted:anthropic:" in wire
    for secret in (key, "hunter2-hunter2", "moonlight"):
        assert secret.encode() not in wire
    shelf = Shelf(remote.database)
    assert any("[redacted:" in str(row.payload) for row in shelf.steps)


def test_an_agent_hears_nothing_of_a_wrong_token(
    remote: ServedHistory, workspace: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a wrong token everything is recorded and kept, the log says why it waits, and nothing raises."""
    monkeypatch.setenv("STEPSTREAM_TOKEN", "sst_" + "00" * 6 + "_" + "11" * 32)
    caplog.set_level(logging.WARNING)
    with (
        ObservabilityProvider(remote.url, committer="thread", flush_timeout_s=0.2) as provider,
        provider.episode("Wrong token") as episode,
    ):
        episode.log_event(Thought(text="kept"))
        until(lambda: "the server refuses the token" in caplog.text, "it is told")
        assert not provider.flush()
        monkeypatch.delenv("STEPSTREAM_TOKEN")
        assert provider.flush(timeout_s=20)

    assert "11" * 32 not in caplog.text
    spool = SpoolDirectory(provider.database)
    assert look_at_backlog(spool).bytes == 0 or not spool.segment_names()
    spool.close()
