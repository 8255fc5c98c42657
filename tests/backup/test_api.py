"""Backups of a server: begun by a request or by the clock, told while they run, and noted for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import schemathesis
import urllib3
from fastapi import APIRouter
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from tests.support.backups import Rig, rows
from tests.support.command_line import wait_for
from tests.support.reading_server import API, ReadingServer
from tests.support.served_history import ServedHistory

from stepstream.backup.journal import Job, JobKind, JobState, Journal, Trigger, new_job
from stepstream.backup.keeper import Keeper
from stepstream.schemas.record import JsonObject
from stepstream.server.routes import backups
from stepstream.settings import BackupSettings, Settings

HOUR = 3600 * 1_000_000_000
HTTP = urllib3.PoolManager(retries=False, timeout=50.0)


def ask(served: ServedHistory, method: str, path: str) -> tuple[int, JsonObject]:
    """An answer's status, and the object that it is."""
    answer = HTTP.request(method, f"{served.url}/api/v1{path}")
    return answer.status, cast("JsonObject", json.loads(answer.data))


def settle(database: Path, url: str, more: str = "") -> None:
    """Say where backups go, beside the database."""
    (database.parent / "stepstream.toml").write_text(
        f'disk_free_bytes_min = 0\n[backup]\ntarget = "{url}"\npatience_s = 0.2\n{more}'
    )


def test_a_backup_on_request(rig: Rig, tmp_path: Path) -> None:
    """Whoever waits is answered with what became of it; it is listed, outlives the server, and can be restored."""
    settle(rig.database, rig.url)
    with ServedHistory(rig.database.parent) as served:
        status, job = ask(served, "POST", "/backups?wait=45")
        assert (status, job["state"], job["trigger"]) == (200, "succeeded", "request"), job
        assert ask(served, "GET", f"/backups/{job['id']}") == (200, job)
        served.kill()
        served.start()
        status, report = ask(served, "GET", "/backups")
    assert status == 200
    assert report["jobs"] == [job]
    assert (report["running"], report["is_stale"], report["target"]) == (None, False, rig.url)
    assert report["last_success_at"] == job["started_at"]
    rig.restore(tmp_path / "back.db")
    assert rows(tmp_path / "back.db") == rows(rig.database)


def test_an_increment_and_a_drill_on_request(rig: Rig) -> None:
    """The same request takes what is new, and proves that it can be restored."""
    settle(rig.database, rig.url)
    with ServedHistory(rig.database.parent) as served:
        kinds = [
            ask(served, "POST", f"/backups?wait=45&kind={kind}") for kind in ("full", "increment", "drill")
        ]
        _, report = ask(served, "GET", "/backups")

    assert [(status, job["kind"], job["state"]) for status, job in kinds] == [
        (200, "full", "succeeded"),
        (200, "increment", "succeeded"),
        (200, "drill", "succeeded"),
    ]
    drill = kinds[2][1]
    assert (drill["steps"], drill["is_verified"], drill["backup"]) == (301, True, kinds[1][1]["backup"])
    assert report["last_drill_at"] == drill["started_at"]


def test_at_once_a_job_is_answered_that_runs(rig: Rig) -> None:
    """Without waiting the answer is 202 and a job, whose end can be asked for."""
    settle(rig.database, rig.url)
    with ServedHistory(rig.database.parent) as served:
        status, job = ask(served, "POST", "/backups")
        assert (status, job["state"]) == (202, "running")
        wait_for(lambda: ask(served, "GET", f"/backups/{job['id']}")[1]["state"] == "succeeded", "the backup")


def test_one_at_a_time(rig: Rig) -> None:
    """While a backup runs a second request is answered with it."""
    settle(rig.database, rig.url)
    with ServedHistory(rig.database.parent) as served, rig.journal.take_turn() as turn:
        running = new_job(JobKind.FULL, Trigger.COMMAND, rig.url, time.time_ns())
        turn.name(running.id)
        rig.journal.write(running)

        status, job = ask(served, "POST", "/backups")
        _, report = ask(served, "GET", "/backups")

    assert (status, job["id"]) == (202, running.id)
    assert cast("JsonObject", report["running"])["id"] == running.id


def test_a_failure_is_an_answer_that_scripts_notice(rig: Rig, tmp_path: Path) -> None:
    """A backup that failed is answered with a problem; of directories of the machine nothing is told."""
    settle(rig.database, "s3://bucket/team", 'endpoint = "http://127.0.0.1:9"\n')
    with ServedHistory(rig.database.parent) as served:
        status, problem = ask(served, "POST", "/backups?wait=45")
        _, report = ask(served, "GET", "/backups")

    assert status == 502
    assert "AWS_ACCESS_KEY_ID" in str(problem["detail"])
    assert str(tmp_path) not in json.dumps(problem) + json.dumps(report)
    (job,) = cast("list[JsonObject]", report["jobs"])
    assert (job["state"], job["error_type"]) == ("failed", "TargetUnusable")


def test_without_a_target_the_answer_says_what_to_state(rig: Rig) -> None:
    """A server that was not told where backups go says how it is told."""
    with ServedHistory(rig.database.parent) as served:
        status, problem = ask(served, "POST", "/backups")
        listed, report = ask(served, "GET", "/backups")
        missing, _ = ask(served, "GET", "/backups/01900000-0000-7000-8000-000000000000")
        unknown, _ = ask(served, "GET", "/backups?limit=0")

    assert status == 409
    assert "[backup] in stepstream.toml" in str(problem["detail"])
    assert (listed, report["jobs"], report["target"]) == (200, [], None)
    assert (missing, unknown) == (404, 422)


def test_a_server_that_is_killed_does_not_take_the_backup_with_it(rig: Rig) -> None:
    """The job goes on to its end, and the next server tells of it."""
    settle(rig.database, rig.url)
    with ServedHistory(rig.database.parent) as served:
        _, job = ask(served, "POST", "/backups")
        served.kill()
        served.start()
        wait_for(lambda: ask(served, "GET", f"/backups/{job['id']}")[1]["state"] != "running", "the end")
        assert ask(served, "GET", f"/backups/{job['id']}")[1]["state"] == "succeeded"


def test_the_clock_begins_backups(rig: Rig) -> None:
    """A server that is told to takes a backup by itself, and then sees that it can be restored."""
    settle(rig.database, rig.url, "every_hours = 1.0\n")
    journal = Journal(rig.database)
    with ServedHistory(rig.database.parent):
        wait_for(lambda: journal.last(JobKind.DRILL, state=JobState.SUCCEEDED) is not None, "the drill", 45)

    assert [(job.kind, job.trigger) for job in journal.jobs()] == [
        (JobKind.DRILL, Trigger.SCHEDULE),
        (JobKind.FULL, Trigger.SCHEDULE),
    ]


@pytest.fixture
def described(rig: Rig) -> Iterator[schemathesis.BaseSchema]:
    """A server with a job in its journal, and what it says of its routes."""
    load_all_checks()
    server = ReadingServer(rig.database)
    keeper = Keeper(rig.database, Settings())
    ended(keeper, JobKind.FULL, time.time_ns())
    server.app.state.services = replace(server.services, keeper=keeper)
    api = APIRouter(prefix=API)
    api.include_router(backups.router)
    server.app.include_router(api)
    with server:
        yield schemathesis.openapi.from_url(f"{server.url}{API}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/backups"), ("GET", "/backups"), ("GET", "/backups/{job_id}")]
)
def test_what_is_answered_is_as_described(
    described: schemathesis.BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    """Whatever is asked, nothing fails inside, and status, headers and body are as the description says."""
    operation = described[API + path][method]
    checks = schemathesis.checks.CHECKS
    excluded = [checks.get_one("positive_data_acceptance"), checks.get_one("ignored_auth")]

    @given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis_settings(
        max_examples=8,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=excluded)

    ask()


class Clock:
    """A time that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keeper(rig: Rig, clock: Clock) -> Keeper:
    """Takes a full backup a day, an increment each ten minutes, a drill a week."""
    backup = BackupSettings(target=rig.url, every_hours=24, increment_minutes=10, drill_days=7)
    return Keeper(rig.database, Settings(backup=backup), now=clock)


def ended(keeper: Keeper, kind: JobKind, at: int, state: JobState = JobState.SUCCEEDED) -> Job:
    """A job that stands in the journal."""
    keeper.journal.take_turn().close()
    job = new_job(kind, Trigger.SCHEDULE, "file:///x", at).model_copy(update={"state": state, "ended_at": at})
    keeper.journal.write(job)
    return job


def test_what_is_due(keeper: Keeper, clock: Clock) -> None:
    """First a full backup, then a drill, then increments, and after a day the next full one."""
    assert keeper.due() is JobKind.FULL
    ended(keeper, JobKind.FULL, clock.now)
    assert keeper.due() is JobKind.DRILL
    ended(keeper, JobKind.DRILL, clock.now)
    assert keeper.due() is None
    clock.now += HOUR // 6
    assert keeper.due() is JobKind.INCREMENT
    ended(keeper, JobKind.INCREMENT, clock.now)
    assert keeper.due() is None
    clock.now += 24 * HOUR
    assert keeper.due() is JobKind.FULL


def test_after_a_failure_the_next_try_comes_sooner(keeper: Keeper, clock: Clock) -> None:
    """Not at once, and not a day later."""
    ended(keeper, JobKind.FULL, clock.now, JobState.FAILED)
    clock.now += HOUR // 12
    assert keeper.due() is not JobKind.FULL
    clock.now += HOUR // 4
    assert keeper.due() is JobKind.FULL


def test_a_clock_that_was_set_back_holds_nothing_up(keeper: Keeper, clock: Clock) -> None:
    """A backup of tomorrow does not keep today's waiting."""
    ended(keeper, JobKind.FULL, clock.now + 900 * 24 * HOUR)

    assert keeper.due() is JobKind.FULL


def test_many_increments_do_not_push_out_a_full_backup(keeper: Keeper, clock: Clock) -> None:
    """The record of the day's backup stays, and with it the knowledge that it was taken."""
    full = ended(keeper, JobKind.FULL, clock.now)
    for number in range(501):
        keeper.journal.write(new_job(JobKind.INCREMENT, Trigger.SCHEDULE, "file:///x", clock.now + number))
    keeper.journal.take_turn().close()

    assert len(keeper.journal.jobs(JobKind.INCREMENT)) == 500
    assert keeper.journal.last(JobKind.FULL) == full
    assert keeper.due() is not JobKind.FULL


def test_while_one_runs_none_is_due(keeper: Keeper) -> None:
    """Whoever holds the turn is left alone."""
    with keeper.journal.take_turn() as turn:
        turn.name("01900000-0000-7000-8000-000000000001")
        assert keeper.due() is None


def test_a_day_and_two_hours_without_a_backup_are_stale(keeper: Keeper, rig: Rig, clock: Clock) -> None:
    """So are two intervals, where they are longer; without any backup there is nothing that could be stale."""
    assert not keeper.is_stale()
    ended(keeper, JobKind.FULL, clock.now)
    clock.now += 47 * HOUR
    assert not keeper.is_stale()
    clock.now += 2 * HOUR
    assert keeper.is_stale()
    manual = Keeper(rig.database, Settings(backup=BackupSettings(target=rig.url)), now=clock)
    assert manual.is_stale()
