"""The image on the page about containers: its file is read strictly, and its commands run as they would there.

No image is built. The commands run as its user, on a read-only root, with a volume and a ``/tmp`` of their own.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support.cell import Cell, why_not
from tests.support.command_line import ROOT
from tests.support.server_page import Page

KNOWN = {"FROM", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
ONCE = KNOWN - {"COPY", "RUN", "ENV"}
SECRET = re.compile(r"(?i)token|secret|password|api_?key")


class Instruction(NamedTuple):
    """One instruction of a Containerfile."""

    name: str
    value: str


class Image:
    """What a Containerfile says of the image."""

    def __init__(self, text: str) -> None:
        joined = re.sub(r"\\\n", " ", text)
        lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
        self.instructions = [Instruction(*line.split(maxsplit=1)) for line in lines]

    def one(self, name: str) -> str:
        """The value of an instruction that stands there once."""
        (value,) = [each.value for each in self.instructions if each.name == name]
        return value

    def exec_form(self, value: str) -> list[str]:
        """A command that is started without a shell."""
        argv = json.loads(value)
        assert isinstance(argv, list)
        assert all(isinstance(word, str) for word in argv)
        return argv

    @property
    def variables(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = [each.value.partition("=") for each in self.instructions if each.name == "ENV"]
        return {name: value for name, _, value in pairs}

    @property
    def user(self) -> int:
        """The user, who is the group too."""
        found = re.fullmatch(r"(\d+):(\d+)", self.one("USER"))
        assert found is not None, "USER is to be two numbers"
        assert found[1] == found[2]
        return int(found[1])


@pytest.fixture(scope="module")
def page() -> Page:
    """The page."""
    return Page("run-in-a-container.md")


@pytest.fixture(scope="module")
def image(page: Page) -> Image:
    """The image of the page."""
    return Image(page.file("Containerfile"))


def test_the_containerfile_is_strict(image: Image) -> None:
    """Every instruction is known, starts no shell at run time, and the order puts the user after the build."""
    names = [each.name for each in image.instructions]

    assert names[0] == "FROM"
    assert set(names) <= KNOWN
    assert [name for name in ONCE if names.count(name) != 1] == []
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in {"RUN", "COPY"})
    assert image.exec_form(image.one("ENTRYPOINT")) == ["stepstream"]
    assert image.exec_form(image.one("CMD"))[0] == "serve"
    assert image.exec_form(image.one("HEALTHCHECK").removeprefix("CMD "))
    assert image.one("EXPOSE") == "8321"


def test_the_user_is_nobody_special(image: Image) -> None:
    """The server is a fixed number that is not root's, and the volume is made for it."""
    assert image.user > 1000
    made = f"--owner={image.user} --group={image.user} --mode=0700 {image.one('VOLUME')}"
    assert made in re.sub(r"\s+", " ", image.one("RUN"))
    assert image.variables["STEPSTREAM_DB"].startswith(f"{image.one('VOLUME')}/")


def test_what_is_installed_is_pinned(image: Image, page: Page) -> None:
    """The image has this release, and its requirements by their hashes."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    wheel = f"stepstream-{version}-py3-none-any.whl"

    assert image.one("COPY").split() == ["runtime.txt", wheel, "/image/"]
    assert f"--no-deps /image/{wheel}" in image.one("RUN")
    assert "--require-hashes --requirement /image/runtime.txt" in image.one("RUN")
    assert set(re.findall(r"stepstream:(\d+\.[\d.]+)", page.text)) == {version}


def test_no_secret_is_in_the_image(image: Image) -> None:
    """Nothing that is named like a secret is set in the image or copied into it."""
    assert [each for each in image.instructions if each.name != "RUN" and SECRET.search(each.value)] == []


def test_the_server_is_run_closed(page: Page) -> None:
    """The command that starts the server takes from it all that it does not need."""
    _, run, _ = page.commands("Run")
    words = run.text.replace("\\\n", " ")

    assert "--read-only --tmpfs /tmp" in words
    assert "--cap-drop ALL --security-opt no-new-privileges" in words
    assert "--publish 127.0.0.1:" in words
    stop_timeout = re.search(r"--stop-timeout (\d+)", words)
    assert stop_timeout is not None
    assert int(stop_timeout[1]) > 10


def arguments_of(command: str, image: str) -> list[str]:
    """What ``docker run`` passes on to the entry point."""
    words = command.replace("\\\n", " ").split()
    return words[words.index(image) + 1 :]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume."""
    path = tmp_path / "volume"
    path.mkdir(mode=0o700)
    return path


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl, and it is not here")
@pytest.mark.skipif(why_not() is not None, reason=f"no cell can be made here: {why_not()}")
def test_the_image_serves_from_a_read_only_root(
    image: Image, page: Page, volume: Path, tmp_path: Path
) -> None:
    """Without a token it does not start; with one it serves, is healthy, and ends with 0 as process 1."""
    entry = image.exec_form(image.one("ENTRYPOINT"))
    serve = [*entry, *image.exec_form(image.one("CMD"))]
    create = [*entry, *arguments_of(page.commands("Run")[0].text, "stepstream:0.1.0")]
    healthy = image.exec_form(image.one("HEALTHCHECK").removeprefix("CMD "))

    def started(argv: list[str], name: str) -> Cell:
        scratch = tmp_path / name
        scratch.mkdir()
        writable = {volume: image.one("VOLUME")}
        return Cell(argv, scratch, user=image.user, writable=writable, variables=image.variables)

    with started(serve, "early") as early:
        assert early.wait() == 2
        assert "stepstream token create" in early.said
    with started(create, "token") as token:
        assert token.wait() == 0
    with started(serve, "server") as server:
        server.wait_for("serving")
        assert server.run(["sh", "-c", page.commands("Run")[2].text]).stdout == '{"status":"ready"}'
        assert server.run(healthy).returncode == 0
        whoami = server.run(
            ["sh", "-c", "id -u; touch /image /usr/image /tmp/image /data/image; ls /tmp /data"]
        )
        assert whoami.stdout.split()[0] == str(image.user)
        assert whoami.stderr.count("Read-only file system") == 2
        assert whoami.stdout.count("image") == 2
        assert server.status()["NSpid"].split()[-1] == "1"
        assert server.stop(within_s=10) == 0
