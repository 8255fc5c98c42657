"""Artifacts over HTTP: whole, in parts, and so that nothing in them can act in a browser."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.history_builder import EPOCH_NS, HistoryBuilder
from tests.support.reading_server import Answer, ReadingServer, serving

from stepstream import ObservabilityProvider
from stepstream.reading.inventory import StoredArtifact
from stepstream.spool.directory import artifacts_path
from stepstream.store.batch import ArtifactRow

CONTENT = bytes(range(256)) * 4_000


class Kept(NamedTuple):
    """Files that were attached, by name, and the server of them."""

    server: ReadingServer
    database: Path
    hashes: dict[str, str]

    def ask(
        self, name: str, method: str = "GET", headers: dict[str, str] | None = None, **query: object
    ) -> Answer:
        return self.server.ask(f"/artifacts/{self.hashes[name]}", method=method, headers=headers, **query)


FILES = {
    "part.stl": CONTENT,
    "empty.bin": b"",
    "page.html": b"<script>alert(1)</script>",
    "drawing.svg": b"<svg onload='alert(1)'/>",
    "notes.txt": "größer".encode(),
    "picture.png": b"\x89PNG not really",
    "table.csv": b"a,b\n1,2\n",
    'we"ird\\näme\n;.txt': b"weird",
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("artifacts")
    database = folder / "history.db"
    hashes = {}
    with (
        ObservabilityProvider(database, committer="thread") as provider,
        provider.episode("Attach") as episode,
    ):
        for number, (name, content) in enumerate(FILES.items()):
            file = folder / f"{number}.bin"
            file.write_bytes(content)
            hashes[name] = episode.attach(file, name=name).sha256
        mentioned = folder / "mentioned.txt"
        mentioned.write_bytes(b"only referred to")
        hashes["mentioned.txt"] = episode.attach(mentioned, copy=False).sha256
    with serving(database) as server:
        yield Kept(server, database, hashes)


def test_a_file_comes_as_it_was_attached(kept: Kept) -> None:
    """Its bytes, their number, and the hash as a strong tag that may be kept for ever."""
    answer = kept.ask("part.stl")

    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert "immutable" in answer.headers["cache-control"]
    assert kept.ask("empty.bin").body == b""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("inline", [False, True])
def test_nothing_in_a_file_can_act(kept: Kept, name: str, inline: bool) -> None:
    """Every file comes under a policy that lets nothing run, and nothing is guessed about it."""
    headers = kept.ask(name, inline=inline).headers

    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["content-type"].partition(";")[0] not in {"text/html", "image/svg+xml"}


@pytest.mark.parametrize(
    ("name", "sent", "shown"),
    [
        ("part.stl", "model/stl", "model/stl"),
        ("picture.png", "image/png", "image/png"),
        ("notes.txt", "text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("table.csv", "text/csv", None),
        ("page.html", "application/octet-stream", None),
        ("drawing.svg", "application/octet-stream", None),
        ("empty.bin", "application/octet-stream", None),
    ],
)
def test_only_what_is_harmless_is_shown_in_place(kept: Kept, name: str, sent: str, shown: str | None) -> None:
    """Files are downloads; only images, meshes and plain text are shown when that is asked for."""
    download, inline = kept.ask(name).headers, kept.ask(name, inline=1).headers

    assert download["content-type"] == sent
    assert download["content-disposition"].startswith("attachment; ")
    assert inline["content-type"] == (shown or sent)
    assert inline["content-disposition"].startswith("inline; " if shown else "attachment; ")


def test_a_name_is_a_name_and_nothing_else(kept: Kept) -> None:
    """Quotes, separators and line ends of a recorded name end up in no header."""
    disposition = kept.ask('we"ird\\näme\n;.txt').headers["content-disposition"]

    assert disposition == (
        "attachment; filename=\"we_ird_n_me__.txt\"; filename*=UTF-8''we%22ird_n%C3%A4me_%3B.txt"
    )


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=1000-", (1000, len(CONTENT))),
        ("bytes=-5", (len(CONTENT) - 5, len(CONTENT))),
        ("bytes=-99999999", (0, len(CONTENT))),
        (f"bytes={len(CONTENT) - 1}-99999999", (len(CONTENT) - 1, len(CONTENT))),
        ("bytes=300000-700000", (300000, 700001)),
    ],
)
def test_a_part_comes_alone(kept: Kept, asked: str, part: tuple[int, int]) -> None:
    """A range is answered with its bytes and says which they are."""
    answer = kept.ask("part.stl", headers={"range": asked})

    assert (answer.status, answer.body) == (206, CONTENT[slice(*part)])
    assert answer.headers["content-range"] == f"bytes {part[0]}-{part[1] - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(part[1] - part[0])


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", f"bytes={len(CONTENT)}-9999999", "bytes=-0"])
def test_a_part_behind_the_end_is_refused(kept: Kept, asked: str) -> None:
    """It is answered with how long the file is."""
    answer = kept.ask("part.stl", headers={"range": asked})

    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
    assert answer.detail


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=-", "bytes=" + "9" * 30 + "-"]
)
def test_a_range_that_cannot_be_read_is_passed_over(kept: Kept, asked: str) -> None:
    """Several parts, a part that ends before it begins and nonsense are answered with the whole file."""
    answer = kept.ask("part.stl", headers={"range": asked})

    assert (answer.status, answer.body) == (200, CONTENT)


def test_a_part_of_another_file_comes_whole(kept: Kept) -> None:
    """If-Range with another tag, or with a date, gives the whole file; with the right tag the part."""
    tag = kept.ask("part.stl").headers["etag"]

    for condition, status in ((tag, 206), ('"other"', 200), ("Sun, 22 Nov 2026 00:00:00 GMT", 200)):
        answer = kept.ask("part.stl", headers={"range": "bytes=0-9", "if-range": condition})
        assert answer.status == status, condition


def test_what_a_client_has_is_not_sent_again(kept: Kept) -> None:
    """A client that names the tag is told that it has the file already."""
    tag = kept.ask("part.stl").headers["etag"]

    for condition in (tag, f'"other", W/{tag}', "*"):
        answer = kept.ask("part.stl", headers={"if-none-match": condition})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert kept.ask("part.stl", headers={"if-none-match": '"other"'}).status == 200


def test_the_head_is_that_of_the_file(kept: Kept) -> None:
    """HEAD answers the same headers and nothing else."""
    whole, head = kept.ask("part.stl"), kept.ask("part.stl", method="HEAD")

    assert (head.status, head.body) == (200, b"")
    differing = {"date"}
    assert {n: v for n, v in head.headers.items() if n.lower() not in differing} == {
        n: v for n, v in whole.headers.items() if n.lower() not in differing
    }
    assert kept.ask("empty.bin", method="HEAD").headers["content-length"] == "0"


def test_a_file_that_was_only_referred_to_is_not_there(kept: Kept) -> None:
    """Its hash and name are known, its bytes are not."""
    answer = kept.ask("mentioned.txt")
    info = kept.server.ask(f"/artifacts/{kept.hashes['mentioned.txt']}/info")

    assert (answer.status, "not kept" in answer.detail) == (404, True)
    known = StoredArtifact.model_validate_json(info.body)
    assert (known.name, known.is_kept, known.size_bytes) == ("mentioned.txt", False, 16)


@pytest.fixture
def claimed(tmp_path: Path) -> tuple[Path, Path, str]:
    """A database that says that a file is kept, the place of that file, and its hash."""
    return claim(tmp_path, b"secret")


def claim(tmp_path: Path, content: bytes) -> tuple[Path, Path, str]:
    sha256 = hashlib.sha256(content).hexdigest()
    with HistoryBuilder(tmp_path / "history.db") as builder:
        builder.episode()
        builder._batch.artifacts.append(ArtifactRow(sha256, len(content), "text/plain", "x.txt", 1, EPOCH_NS))
    place = artifacts_path(tmp_path / "history.db") / sha256[:2] / sha256[2:]
    place.parent.mkdir(parents=True, mode=0o700)
    return tmp_path / "history.db", place, sha256


def test_a_link_is_not_followed(claimed: tuple[Path, Path, str], tmp_path: Path) -> None:
    """A link in the place of a file, or of its folder, is as good as no file."""
    database, place, sha256 = claimed
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / sha256[2:]).write_bytes(b"secret")
    with serving(database) as server:
        place.symlink_to(tmp_path / "elsewhere" / sha256[2:])
        assert server.ask(f"/artifacts/{sha256}").status == 404
        place.unlink()
        place.parent.rmdir()
        place.parent.symlink_to(tmp_path / "elsewhere")
        assert server.ask(f"/artifacts/{sha256}").status == 404


def test_what_is_no_file_hangs_nobody(tmp_path: Path) -> None:
    """A pipe or a directory in the place of an empty file is as good as no file."""
    database, place, sha256 = claim(tmp_path, b"")
    with serving(database) as server:
        os.mkfifo(place)
        assert server.ask(f"/artifacts/{sha256}").status == 404
        place.unlink()
        place.mkdir()
        assert server.ask(f"/artifacts/{sha256}").status == 404


def test_a_file_that_was_changed_is_not_sent(claimed: tuple[Path, Path, str]) -> None:
    """Bytes that are not those of the hash's record are not passed off as them."""
    database, place, sha256 = claimed
    with serving(database) as server:
        place.write_bytes(b"secret and more")
        assert (server.ask(f"/artifacts/{sha256}").status) == 404
        place.write_bytes(b"secret")
        assert server.ask(f"/artifacts/{sha256}").body == b"secret"
