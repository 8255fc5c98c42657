"""The search index under fire: killed at any moment, built by several at once, and never told a secret."""

from __future__ import annotations

import random
import shutil
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.corpus.secret_samples import SECRETS
from tests.support import tracer
from tests.support.agents import new_journal, settings
from tests.support.history_builder import HistoryBuilder
from tests.support.ledger import Ledger, drain
from tests.support.nursery import until
from tests.support.search_index import SETTINGS, contents, fresh_contents, index_all
from tests.support.tracer import Tracer

from stepstream import ObservabilityProvider
from stepstream.reading.history import History
from stepstream.reading.search.index import index_path
from stepstream.reading.search.indexer import PAGE_STEPS, IndexerState, Indexing, SearchIndexer
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import Observation, Thought, ToolCall
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart

if TYPE_CHECKING:
    from tests.support.nursery import Child, Nursery

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

needs_tracing = pytest.mark.skipif(tracer.forbidden() is not None, reason=tracer.forbidden() or "")

HERE = "tests.faults.test_search_index"
STEPS = 4_000
WRITES = "pwrite64,ftruncate,unlink,openat,fdatasync,fsync"
AGENTS = 3
STEPS_EACH = 1_500


# -- what the children do


def index_once(database: str) -> None:
    """Bring the index up to date."""
    index_all(Path(database))


def index_for_ever(database: str) -> None:
    """Keep the index as a server does, and do no more than that."""
    indexer = SearchIndexer(Path(database), SETTINGS)
    indexer.start()
    while True:
        time.sleep(1)


def fill(database: Path, steps: int = STEPS) -> None:
    """A history with thoughts, observations and conversations that grow."""
    chance = Random(7)
    words = ["bolt", "nut", "mesh", "gusset", "stress", "converge"]
    with HistoryBuilder(database) as builder:
        episodes = [builder.episode(f"Bracket {number}") for number in range(4)]
        told: list[list[ChatMessage]] = [[] for _ in episodes]
        for number in range(steps - len(episodes)):
            place = chance.randrange(len(episodes))
            text = " ".join(chance.choices(words, k=20)) + f" {number}"
            if number % 20 == 0:
                told[place].append(ChatMessage(role=ChatRole.USER, parts=(TextPart(text=text),)))
                episodes[place].log(ModelCall(model="m1", messages=tuple(told[place])))
            else:
                episodes[place].log(Thought(text=text))


def find_all(history: History, text: str, filter: str | None = None) -> list[int]:
    """The cursors of every hit."""
    cursors: list[int] = []
    before: int | None = None
    while True:
        page = history.search(text, filter=filter, before=before, limit=500)
        cursors += [hit.cursor for hit in page.items]
        if page.next is None:
            return cursors
        before = page.next


# -- killed


def test_an_indexer_killed_at_any_moment_leaves_a_right_index(
    tmp_path: Path, nursery: Nursery, rounds: int
) -> None:
    """After any number of kill -9 the index goes on where it was, and ends as one built at a stroke."""
    database = tmp_path / "history.db"
    fill(database)
    killed_within = 0
    with History.open(database) as history:
        expected = find_all(history, "bolt -nut", "kind:thought")
        for _ in range(8 * rounds):
            if reach(history) == STEPS:
                index_path(database).unlink()
            child = nursery.bear(f"{HERE}:index_for_ever", str(database))
            await_more(history)
            begun = index_path(database).stat().st_ino
            time.sleep(random.uniform(0.0, 0.15))
            child.kill()
            reached = reach(history)
            index_next_page(database)
            assert index_path(database).stat().st_ino == begun, "it was taken for damaged"
            assert reach(history) == min(STEPS, reached + PAGE_STEPS)
            killed_within += reached < STEPS
            found = find_all(history, "bolt -nut", "kind:thought")
            assert found == expected, f"killed when the index reached {reached}"

    index_all(database)
    assert contents(database) == fresh_contents(database)
    assert killed_within > 0, "it was always killed too late"


def await_more(history: History) -> None:
    """Wait until the index reaches further than now, or everything."""
    before = reach(history)
    until(lambda: before < reach(history) or before == STEPS, "the indexer goes on")


def index_next_page(database: Path) -> None:
    """Go on where somebody was killed."""
    with closing(Indexing(database, SETTINGS)) as work:
        until(lambda: work.advance().state is not IndexerState.ELSEWHERE, "the lock is free")


def reach(history: History) -> int:
    """How far the index reaches."""
    return history.search("bolt", limit=1).indexed_to


@needs_tracing
def test_an_indexer_killed_at_any_write_leaves_a_right_index(
    tmp_path: Path, nursery: Nursery, rounds: int
) -> None:
    """Wherever an indexer is killed, the next one ends with the same index."""
    template = tmp_path / "template"
    template.mkdir()
    fill(template / "history.db", 1_200)
    whole = Path(shutil.copytree(template, tmp_path / "whole"))
    with Tracer(_traced(nursery, whole), WRITES, report=whole / "strace") as strace:
        strace.wait()
    calls = strace.calls()
    expected = contents(whole / "history.db")
    hits = 0
    for name, count in sorted(calls.items()):
        for number in sorted({random.randint(1, count) for _ in range(3 * rounds)}):
            place = Path(shutil.copytree(template, tmp_path / f"{name}-{number}"))
            child = _traced(nursery, place)
            with Tracer(child, f"{name}:signal=KILL:when={number}", report=place / "strace") as strace:
                strace.wait()
            hits += child.wait() != 0
            index_all(place / "history.db")
            assert contents(place / "history.db") == expected, f"killed at {name} {number}"
            shutil.rmtree(place)

    assert hits > 0


def _traced(nursery: Nursery, place: Path) -> Child:
    return nursery.bear(f"{HERE}:index_once", str(place / "history.db"), traced=True)


# -- beside agents


def test_agents_and_two_indexers_do_not_disturb_each_other(tmp_path: Path, nursery: Nursery) -> None:
    """While agents log, two indexers stand by; one is killed, the other goes on; all is stored and found."""
    database = tmp_path / "history.db"
    options = settings(committer="process", linger_s=0.2).model_dump_json()
    agents = []
    for number in range(AGENTS):
        journal = new_journal(tmp_path, f"agent{number}")
        agents.append(
            nursery.bear(
                "tests.support.agents:log_steps",
                str(database),
                str(journal.path),
                options,
                STEPS_EACH,
                0.0,
                200,
            )
        )
    first, second = (nursery.bear(f"{HERE}:index_for_ever", str(database)) for _ in range(2))
    until(index_path(database).exists, "an index is begun")
    first.kill()
    for agent in agents:
        agent.finish()
    drain(tmp_path)
    with History.open(database) as history:
        last = history.last_cursor()
        until(lambda: history.search("lorem", limit=1).indexed_to == last, "the other indexer finishes")
        assert len(find_all(history, "lorem")) == AGENTS * STEPS_EACH
        assert history.verify(deep=True).is_whole
    second.kill()

    Ledger(tmp_path).check()
    grown = contents(database)
    assert grown.reached == last
    assert grown == fresh_contents(database)


def test_commands_may_index_at_the_same_time(tmp_path: Path, nursery: Nursery) -> None:
    """Several processes that bring the index up to date at once end with one right index."""
    database = tmp_path / "history.db"
    fill(database)

    children = [nursery.bear(f"{HERE}:index_once", str(database)) for _ in range(4)]
    for child in children:
        child.finish()
    index_all(database)

    assert contents(database) == fresh_contents(database)


# -- secrets


def test_no_secret_reaches_the_index(tmp_path: Path) -> None:
    """Of what redaction takes out of the history not a piece stands in the index's bytes or words."""
    database = tmp_path / "history.db"
    chance = Random(11)
    secrets = [make(chance) for _, make in SECRETS.values()]
    with (
        ObservabilityProvider(database, committer="thread") as provider,
        provider.episode("Leaky", agent="coder") as episode,
    ):
        for secret in secrets:
            said = (ChatMessage(role=ChatRole.USER, parts=(TextPart(text=f"try {secret} please"),)),)
            episode.log_event(Thought(text=f"controlword {secret}"))
            episode.log_event(
                ToolCall(tool="login", arguments={"password": secret, "note": f"uses {secret}"})
            )
            episode.log_event(Observation(result={"stdout": f"token={secret}\n" * 40}))
            episode.log_event(ErrorReport(message=f"rejected {secret}", traceback=f"in login\n  {secret}"))
            episode.log_event(ModelCall(model="m1", messages=said))
        assert provider.flush(timeout_s=30)
    assert index_all(database).state is IndexerState.CURRENT
    words = {word for word, _, _ in contents(database).words}
    files = [path for path in tmp_path.iterdir() if path.name.startswith("history.db-search")]
    held = b"\0".join(path.read_bytes() for path in files)

    assert _shown("controlword", held, words)
    assert [secret for secret in secrets if _shown(_telling(secret), held, words)] == []


def _telling(secret: str) -> str:
    """The part of a secret that nothing else has: its longest run of letters and digits, folded as words are."""
    lines = [line for line in secret.splitlines() if not line.startswith("-----")]
    runs = "".join(character if character.isalnum() else " " for character in "\n".join(lines)).split()
    return max(runs, key=len).lower()


def _shown(telling: str, held: bytes, words: set[str]) -> bool:
    """Whether a piece of a word is in the bytes, or the word or most of it among the words."""
    # Words are stored without the beginning that they share with the word before.
    pieces = {telling[start : start + 8] for start in range(2, len(telling) - 8)} or {telling}
    return any(piece.encode() in held for piece in pieces) or any(
        piece in word for piece in pieces for word in words
    )
