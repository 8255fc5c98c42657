"""The dashboard's page and its files: what ``tools/dashboard.py`` built, handed to browsers.

Every view of the dashboard has an address of its own, and all of them are the one page. It is filled in for
each request: with the path the server stands at, and a nonce that tells the browser which styles are ours.

Knows where the built files are. Must not know what they show.
"""

from __future__ import annotations

import re
import secrets
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from stepstream.server.bare_page import bare_page
from stepstream.server.problems import Refused

BUILT = Path(__file__).parent / "dashboard"
VIEWS = ("", "episodes", "episodes/{episode}", "search", "statistics", "system", "compare")
"""The addresses of views; what is asked behind them is the page's own business."""

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


def page_router(built: Path = BUILT) -> APIRouter:
    """The routes of the page and of its files; where nothing was built, of the page that says so.

    Args:
        built: What was built.
    """
    router = APIRouter(include_in_schema=False)
    template = _template(built)
    # What may be asked for, so that no name leads anywhere else.
    files = {path.name: path for path in (built / "assets").glob("*") if path.suffix in _MEDIA_TYPES}

    def page(request: Request) -> HTMLResponse:
        return bare_page(request) if template is None else _filled_in(template, request)

    for view in VIEWS:
        router.add_api_route(f"/{view}", page, methods=["GET", "HEAD"], response_class=HTMLResponse)

    @router.api_route("/assets/{name}", methods=["GET", "HEAD"])
    def asset(name: str, request: Request) -> Response:
        if name not in files:
            raise Refused(404, "there is no such file; load the page again")
        return _file(files[name], request)

    return router


def _template(built: Path) -> str | None:
    try:
        return (built / "index.html").read_text("utf-8")
    except FileNotFoundError:
        return None


def _filled_in(template: str, request: Request) -> HTMLResponse:
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


def _file(path: Path, request: Request) -> Response:
    """A file that the page names; its name changes with what is in it, so that it may be kept for good."""
    headers = {
        "cache-control": _FOREVER,
        "content-security-policy": _POLICY_OF_WORKERS,
        "vary": "accept-encoding",
    }
    packed = path.with_name(f"{path.name}.gz")
    if "gzip" in request.headers.get("accept-encoding", "") and packed.is_file():
        return Response(
            packed.read_bytes(),
            media_type=_MEDIA_TYPES[path.suffix],
            headers=headers | {"content-encoding": "gzip"},
        )
    return Response(path.read_bytes(), media_type=_MEDIA_TYPES[path.suffix], headers=headers)
