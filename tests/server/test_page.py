"""The dashboard's page and its files, as a browser gets them."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.support.guarded_server import GuardedServer, guarded_server

from stepstream.server.auth.rules import AccessRules
from stepstream.server.page import VIEWS, page_router

INDEX = """<!doctype html>
<meta name="stepstream-root" content="%root%" /><meta name="stepstream-nonce" content="%nonce%" />
<script type="module" src="./assets/index-1a.js"></script>
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What a build leaves."""
    assets = tmp_path / "dashboard/assets"
    assets.mkdir(parents=True)
    (tmp_path / "dashboard/index.html").write_text(INDEX)
    (tmp_path / "dashboard/secret.txt").write_text("nobody's business")
    (assets / "index-1a.js").write_text("console.log(1)")
    (assets / "index-1a.js.gz").write_bytes(gzip.compress(b"console.log(1)"))
    (assets / "notes.txt").write_text("left here by mistake")
    return tmp_path / "dashboard"


Serve = Callable[..., GuardedServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves what was built, at a path."""
    with ExitStack() as stack:

        def served(built: Path, root_path: str = "") -> GuardedServer:
            app = FastAPI()
            app.include_router(page_router(built))
            rules = AccessRules(root_path=root_path)
            return stack.enter_context(guarded_server(app, tmp_path / "history.db", rules=rules))

        yield served


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_has_the_page(serve: Serve, built: Path, view: str) -> None:
    """Whichever address a view has, the page is there."""
    answer = serve(built).ask(f"/{view.format(episode='01a2')}")

    assert answer.status == 200
    assert 'src="/assets/index-1a.js"' in answer.body.decode()


def test_the_page_knows_where_it_stands(serve: Serve, built: Path) -> None:
    """Behind a proxy its files are asked for below the proxy's path, and the script is told of it."""
    text = serve(built, "/obs").ask("/obs/").body.decode()

    assert 'name="stepstream-root" content="/obs"' in text
    assert 'src="/obs/assets/index-1a.js"' in text


def test_the_nonce_is_another_each_time(serve: Serve, built: Path) -> None:
    """The page's nonce is the policy's, and is never used again."""
    server = serve(built)
    answers = [server.ask("/") for _ in range(2)]
    nonces = [re.findall(r'nonce" content="([^"]+)"', answer.body.decode())[0] for answer in answers]

    assert nonces[0] != nonces[1]
    for answer, nonce in zip(answers, nonces, strict=True):
        policy = answer.headers["content-security-policy"]
        assert f"style-src 'self' 'nonce-{nonce}'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"


def test_a_file_may_be_kept_for_good(serve: Serve, built: Path) -> None:
    """A file's name changes with what is in it; it comes packed for whoever takes that."""
    server = serve(built)
    packed = server.ask("/assets/index-1a.js", headers={"accept-encoding": "br, gzip"})
    plain = server.ask("/assets/index-1a.js", headers={"accept-encoding": "identity"})

    assert (gzip.decompress(packed.body), plain.body) == (b"console.log(1)", b"console.log(1)")
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert "immutable" in plain.headers["cache-control"]
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "connect-src 'self'" in plain.headers["content-security-policy"]


@pytest.mark.parametrize(
    "name",
    ["secret.txt", "notes.txt", "..%2Fsecret.txt", "../secret.txt", "index-2b.js", "index-1a.js.gz", "%00"],
)
def test_nothing_else_can_be_asked_for(serve: Serve, built: Path, name: str) -> None:
    """Only the files that the page names are handed out."""
    assert serve(built).ask(f"/assets/{name}").status >= 400


def test_without_a_dashboard_the_page_says_so(serve: Serve, tmp_path: Path) -> None:
    """An installation into which none was built tells how to get one, and that the API works."""
    answer = serve(tmp_path / "nothing").ask("/")

    assert answer.status == 200
    assert "not built into this installation" in answer.body.decode()
