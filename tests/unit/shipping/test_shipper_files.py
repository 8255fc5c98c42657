"""Secrets stay on the machine, and files travel before the steps that show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic_core import to_json
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.rounds import Pen, Place, settings
from tests.support.voyage import Voyage, rows, write

from stepstream.schemas.identity import new_id
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.settings import RedactionPattern, RedactionSettings
from stepstream.shipping.notice import give_notice

if TYPE_CHECKING:
    from tests.support.served_history import ServedHistory


def test_what_any_project_calls_a_secret_leaves_with_none(
    place: Place, voyage: Voyage, proxy: FaultProxy
) -> None:
    """Rules that two agents left word of hold for the steps of both, before the first byte leaves."""
    pattern = RedactionPattern(regex=r"PRJ-\d+", literals=("PRJ-",))
    first, second = Pen(place), Pen(place)
    write(first, 1)
    voyage.drain()
    give_notice(first.spool, RedactionSettings(names=("launch_code",)))
    give_notice(second.spool, RedactionSettings(patterns={"project": pattern}))
    first.write('PRJ-4711 {"launch_code": "moonlight"}')
    second.write('PRJ-0815 {"launch_code": "sunshine"}')
    voyage.drain()

    for secret in (b"PRJ-4711", b"PRJ-0815", b"moonlight", b"sunshine"):
        assert secret not in proxy.sent
    assert proxy.sent.count(b"[redacted:project:") == 2
    first.close()
    second.close()


def test_redaction_is_off_only_where_all_have_turned_it_off(
    place: Place, voyage: Voyage, proxy: FaultProxy
) -> None:
    """One project that wants its secrets seen does not show those of another."""
    secret = "sk-ant-api03-" + "aB3-_xY7" * 11 + "AA"
    pen = Pen(place)
    give_notice(pen.spool, RedactionSettings(enabled=False))
    pen.write(f"open {secret}")
    voyage.drain()
    assert secret.encode() in proxy.sent
    proxy.sent.clear()
    give_notice(pen.spool, RedactionSettings())
    pen.write(f"closed {secret}")
    voyage.drain()

    assert secret.encode() not in proxy.sent
    assert b"closed [redacted:anthropic:" in proxy.sent
    pen.close()


def test_rules_that_nobody_can_use_stop_everything(place: Place, voyage: Voyage, proxy: FaultProxy) -> None:
    """Where a notice cannot be read nobody can say what is a secret, and nothing leaves."""
    pen = Pen(place)
    notice = place.spool / "redaction-0.json"
    notice.write_text("{")
    notice.chmod(0o600)
    write(pen, 3)
    voyage.until(lambda: "redaction-0.json" in voyage.shipper.state)
    assert proxy.connections == 0
    notice.unlink()
    voyage.drain()
    pen.close()


def attached(place: Place, text: str) -> tuple[bytes, Path]:
    """A file that was attached, as the payload of the step that says so, and where its bytes are kept."""
    store = ArtifactStore(place.database, settings())
    artifact = store.keep(text.encode(), "mesh.stl", "model/stl")
    return to_json({"artifact": artifact.model_dump()}), store.path / artifact.sha256[:2] / artifact.sha256[
        2:
    ]


def test_files_travel_before_their_steps_and_once(
    place: Place, voyage: Voyage, proxy: FaultProxy, served: ServedHistory
) -> None:
    """A file is at the server before the step that shows it, is sent once, and its copy here goes afterwards."""
    text = f"solid {new_id().hex()} " + "facet " * 100_000
    payload, kept = attached(place, text)
    segment = (
        place.segment().step(payload, kind=b"artifact_attached").step(payload, kind=b"artifact_attached")
    )
    segment.write(place.spool)
    proxy.fail(Fault(request_bytes=300_000), Fault(answer_bytes=0))
    voyage.settle()

    digest = kept.parent.name + kept.name
    there = served.database.with_name("history.db-artifacts") / kept.parent.name / kept.name
    assert there.read_text() == text
    assert not kept.exists()
    sent = bytes(proxy.sent)
    assert sent.rindex(b"PUT /api/v1/artifacts/" + digest.encode()) < sent.index(b'"artifact_attached"')
    assert len(rows(served, segment.recorder)) == 2

    payload, kept = attached(place, text)
    proxy.cut()
    proxy.sent.clear()
    place.segment().step(payload, kind=b"artifact_attached").write(place.spool)
    voyage.settle()
    assert b"PUT " not in proxy.sent
    assert not kept.exists()


@pytest.mark.parametrize("damage", ["gone", "changed", "a directory"])
def test_a_file_that_is_not_there_holds_nothing_up(
    place: Place, voyage: Voyage, served: ServedHistory, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A step is told even where the bytes that it shows are gone, or are others by now and stay where they are."""
    payload, kept = attached(place, f"file {new_id().hex()}")
    kept.unlink()
    if damage == "changed":
        kept.write_text("something else")
    elif damage == "a directory":
        kept.mkdir()
    segment = place.segment().step(payload, kind=b"artifact_attached").step()
    segment.write(place.spool)
    voyage.settle()

    assert [row.kind for row in rows(served, segment.recorder)] == ["artifact_attached", "thought"]
    assert "is not sent" in caplog.text or "does not take the file" in caplog.text
    assert kept.exists() is (damage != "gone"), "what the server does not have is not removed here"


def test_a_file_of_a_tools_value_travels_too(place: Place, voyage: Voyage, served: ServedHistory) -> None:
    """Whatever kind of step refers to a file whose bytes were kept, they travel; those of a path do not."""
    payload, kept = attached(place, f"file {new_id().hex()}")
    reference = json.loads(payload)["artifact"]
    result = {"result": {"deep": [reference]}, "artifacts": [{**reference, "path": "/somewhere"}]}
    place.segment().step(to_json(result), kind=b"observation").write(place.spool)
    voyage.settle()

    assert (served.database.with_name("history.db-artifacts") / kept.parent.name / kept.name).exists()
