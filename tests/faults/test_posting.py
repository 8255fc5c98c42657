"""``kill -9`` between the transactions of one post: posted again it is stored once, and ends what it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic_core import to_json
from tests.support.rounds import Office, Place, Shelf

from stepstream.schemas.identity import id_bytes, id_text, new_id
from stepstream.schemas.post import StepPost
from stepstream.store.post_office import Posting
from stepstream.store.sqlite.connection import open_reader
from stepstream.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from tests.support.nursery import Nursery

    from stepstream.schemas.post import StepsAccepted
    from stepstream.schemas.record import JsonObject
    from stepstream.store.batch import Batch

pytestmark = pytest.mark.fault


class Deadly(SqliteStore):
    """An engine whose process is killed as soon as some transactions are committed."""

    transactions = 0

    def append(self, batch: Batch, generation: int) -> None:
        super().append(batch, generation)
        type(self).transactions -= 1
        if self.transactions == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def hand_in(office: Office, post: str) -> StepsAccepted:
    """Post, and wait for the word that it lasts."""
    posting = Posting(StepPost.model_validate_json(post), "somebody")
    assert office.post_office is not None
    office.post_office.hand_in(posting)
    office.until(posting.accepted.done)
    return posting.accepted.result(0)


def be_killed(directory: str, post: str, transactions: int) -> None:
    """Take in a post, and be killed behind so many of its transactions."""
    with Office(Place.at(Path(directory)), server=True) as office:
        office.committer.work()
        Deadly.transactions = transactions
        office.committer._store.__class__ = Deadly  # type: ignore[union-attr]
        hand_in(office, post)


@pytest.mark.parametrize("transactions", [1, 2])
def test_a_post_whose_committer_is_killed_is_whole_when_it_is_posted_again(
    tmp_path: Path, nursery: Nursery, transactions: int
) -> None:
    """Behind the steps and behind the end of their recorder: both are there once, and nothing is said to be lost."""
    place, recorder, episode = Place(tmp_path), id_text(new_id()), id_text(new_id())
    payloads: list[tuple[str, JsonObject]] = [
        ("status_change", {"status": "running", "start": {"name": "far away"}}),
        ("thought", {"text": "nearly there"}),
        ("tool_call", {"tool": "simulate", "arguments": {}}),
    ]
    steps = [
        {
            "id": id_text(new_id()),
            "episode_id": episode,
            "kind": kind,
            "payload": payload,
            "occurred_at": 1_000 + number,
            "recorder": 0,
            "number": number,
        }
        for number, (kind, payload) in enumerate(payloads)
    ]
    posted = {"id": recorder, "pid": 7, "host": "elsewhere", "started_at": 5}
    ends = [{"recorder": 0, "next_number": len(steps)}]
    post = to_json({"recorders": [posted], "steps": steps, "ends": ends}).decode()
    child = nursery.bear(f"{__name__}:be_killed", str(tmp_path), post, transactions)
    assert child.wait() == -signal.SIGKILL

    with Office(place, server=True) as office:
        office.committer.work()
        accepted = hand_in(office, post)

    assert (accepted.stored, accepted.known) == (0, 3)
    shelf = Shelf(place.database)
    shelf.audit()
    kinds = [step.kind for step in shelf.steps]
    assert kinds == ["status_change", "thought", "tool_call", "status_change"]
    assert shelf.status == {id_bytes(episode): "interrupted"}
    connection = open_reader(place.database)
    ended = connection.execute(
        "SELECT last_number, ended_at FROM recorder WHERE id = ?", (id_bytes(recorder),)
    )
    last_number, ended_at = next(ended)
    connection.close()
    assert (last_number, ended_at is not None) == (2, True)
