"""Artifacts: the files that belong to steps, served so that nothing in them can act in a browser.

Whatever agents attach is sent as a download, under a policy that lets nothing run; a few kinds that a browser
only draws may be shown in place. Knows headers. Must not know how files are kept.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from stepstream.reading.bounded import BoundedHistory
from stepstream.reading.inventory import StoredArtifact
from stepstream.schemas.artifact import Sha256
from stepstream.server.answers import AnswerRoute
from stepstream.server.auth.access import Scope, require
from stepstream.server.byte_range import ByteRange, Unsatisfiable, asked_range, names_entity
from stepstream.server.kept_file import FileResponse, KeptFile
from stepstream.server.problems import Refused
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf

_PLAIN_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"

_SHOWN = {
    "image/gif": "image/gif",
    "image/jpeg": "image/jpeg",
    "image/png": "image/png",
    "image/webp": "image/webp",
    "model/gltf-binary": "model/gltf-binary",
    "model/stl": "model/stl",
    "text/plain": _PLAIN_TEXT,
}
"""What may be shown in place, and how it is sent."""

_SENT = _SHOWN | {
    each: each
    for each in (
        "application/json",
        "application/pdf",
        "application/zip",
        "model/obj",
        "model/step",
        "text/csv",
    )
}
"""What is sent as what it was recorded as; all else is just bytes."""

_CONTENT = {
    each.partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
    for each in (_BYTES, *_SENT.values())
}
_NAME_CHARACTERS_MAX = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:\u200e\u200f\u202a-\u202e\u2066-\u2069]")

Hash = Annotated[Sha256, Path(description="SHA-256 of the file's bytes, in lower-case hex.")]
Inline = Annotated[
    bool, Query(description="Whether to show it in place, where it is a plain image, mesh or text.")
]

router = APIRouter(
    prefix="/artifacts",
    tags=["artifacts"],
    route_class=AnswerRoute,
    dependencies=[Depends(require(Scope.READ)), Depends(known_parameters)],
)


@router.get(
    "/{sha256}",
    response_class=Response,
    responses={
        200: {"content": _CONTENT},
        206: {"description": "The part that a Range header asks for", "content": _CONTENT},
        304: {"description": "The client has it already"},
    },
)
def get_artifact(*, request: Request, services: ServicesOf, sha256: Hash, inline: Inline = False) -> Response:
    """The bytes of a file, or a part of them."""
    return _answer(request, services, sha256, inline=inline)


@router.head("/{sha256}", response_class=Response)
def head_artifact(
    *, request: Request, services: ServicesOf, sha256: Hash, inline: Inline = False
) -> Response:
    """The headers that `GET` would answer."""
    return _answer(request, services, sha256, inline=inline)


@router.get("/{sha256}/info")
def get_artifact_info(services: ServicesOf, sha256: Hash) -> StoredArtifact:
    """What is known of a file."""
    return _known(services, sha256)


def _known(services: ServicesOf, sha256: str) -> StoredArtifact:
    found = BoundedHistory(services.history).artifact(sha256)
    if found is None:
        raise Refused(404, f"no step has an artifact {sha256}")
    return found


def _answer(request: Request, services: ServicesOf, sha256: str, *, inline: bool) -> Response:
    artifact = _known(services, sha256)
    if not artifact.is_kept:
        raise Refused(404, "the bytes of this artifact were not kept; it was only referred to")
    try:
        file = KeptFile(services.artifacts.path, sha256)
    except OSError:
        raise Refused(404, "the file of this artifact is missing; see: stepstream verify --deep") from None
    if file.size != artifact.size_bytes:
        raise Refused(404, "the file of this artifact was changed; see: stepstream verify --deep")
    etag = f'"{sha256}"'
    headers = _headers(artifact, etag, inline=inline)
    # What lies under a hash never changes, so that a client that names it has it.
    if names_entity(request.headers.get("if-none-match", ""), etag):
        return FileResponse(file, None, 304, {name: headers[name] for name in ("etag", "cache-control")})
    status, part = 200, ByteRange(0, file.size)
    if request.method == "GET" and request.headers.get("if-range", etag) == etag:
        try:
            asked = asked_range(request.headers.get("range"), file.size)
        except Unsatisfiable:
            raise Refused(
                416, "the file ends before this range", headers=[("content-range", f"bytes */{file.size}")]
            ) from None
        if asked is not None:
            status, part = 206, asked
            headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    headers["content-length"] = str(part.stop - part.start)
    is_sent = request.method != "HEAD" and part.stop > part.start
    return FileResponse(file, part if is_sent else None, status, headers)


def _headers(artifact: StoredArtifact, etag: str, *, inline: bool) -> dict[str, str]:
    shown = _SHOWN.get(artifact.media_type) if inline else None
    return {
        "content-type": shown or _SENT.get(artifact.media_type, _BYTES),
        "content-disposition": _disposition("inline" if shown else "attachment", artifact.name),
        "content-security-policy": "sandbox; default-src 'none'",
        "cross-origin-resource-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "cache-control": "private, max-age=31536000, immutable",
        "accept-ranges": "bytes",
        "etag": etag,
    }


def _disposition(how: str, name: str) -> str:
    """The header of RFC 6266, with a name that is a file's and nothing else."""
    plain = _HIDDEN.sub("_", name).strip(" .")[:_NAME_CHARACTERS_MAX] or "artifact"
    whole = quote(plain, safe="", errors="replace")
    return f"{how}; filename=\"{_UNSAFE.sub('_', plain)}\"; filename*=UTF-8''{whole}"
