"""The dashboard's page and its files: what ``tools/dashboard.py`` built, handed to browsers.

Every view of the dashboard has an address of its own, and all of them are the one page. It is filled in for
each request: with the path the server stands at, and a nonce that tells the browser which styles are ours.

Knows where the built files are. Must not know what they show.
"""

from __future__ import annotations

import re
import secrets
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from stepstream.server.bare_page import bare_page
from stepstream.server.problems import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT = Path(__file__).parent / "dashboard"
VIEWS = ("", "episodes", "search", "statistics", "system", "compare")
"""The first words of the addresses of views; what follows is the page's own business."""

router = APIRouter(include_in_schema=False)

_NONCE_BYTES = 18
_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
# A worker keeps to the policy that its own script came with.
_POLICY_OF_WORKERS = "default-src 'none'; script-src 'self'; connect-src 'self'"
_FOREVER = "public, max-age=31536000, immutable"
_ADDRESS = re.compile(r'(src|href)="\./')


def page(request: Request) -> HTMLResponse:
    """The page of every view."""
    template = _template()
    if template is None:
        return bare_page(request)
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    root = escape(request.scope.get("root_path", ""))
    text = _ADDRESS.sub(lambda found: f'{found[1]}="{root}/', template)
    text = text.replace("%root%", root).replace("%nonce%", nonce)
    policy = (
        "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; font-src 'self'; frame-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"content-security-policy": policy, "cache-control": "no-store"})


for _view in VIEWS:
    router.add_api_route(f"/{_view}", page, methods=["GET", "HEAD"], response_class=HTMLResponse)
router.add_api_route("/episodes/{episode}", page, methods=["GET", "HEAD"], response_class=HTMLResponse)


@router.api_route("/assets/{name}", methods=["GET", "HEAD"])
def asset(name: str, request: Request) -> Response:
    """A file that the page names; its name changes with what is in it, so that it may be kept for good."""
    found = _assets().get(name)
    if found is None:
        raise Refused(404, "there is no such file; load the page again")
    headers = {
        "cache-control": _FOREVER,
        "content-security-policy": _POLICY_OF_WORKERS,
        "vary": "accept-encoding",
    }
    packed = found.with_name(f"{name}.gz")
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        found, headers["content-encoding"] = packed, "gzip"
    return Response(found.read_bytes(), media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)


@cache
def _template() -> str | None:
    try:
        return (BUILT / "index.html").read_text("utf-8")
    except FileNotFoundError:
        return None


@cache
def _assets() -> Mapping[str, Path]:
    """What may be asked for, so that no name leads anywhere else."""
    return {path.name: path for path in (BUILT / "assets").glob("*") if path.suffix in _MEDIA_TYPES}
