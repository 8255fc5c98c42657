"""Posting: the way in for steps that were logged elsewhere. What is answered with success lasts.

Knows HTTP and the post office. Must not know how a post is stored.
"""

from __future__ import annotations

import asyncio
import queue
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import ValidationError

from stepstream.reading.recorders import RecorderPosition
from stepstream.schemas.identity import is_id
from stepstream.schemas.post import KindRegistered, KindRegistration, StepPost, StepsAccepted
from stepstream.schemas.record import Record, refusal
from stepstream.server.auth.access import Principal, Scope, require
from stepstream.server.problems import Refused
from stepstream.server.routes.parameters import known_parameters
from stepstream.server.services import ServicesOf
from stepstream.store.post_office import Posting, Registration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stepstream.sdk.artifacts import ArtifactStore

    T = TypeVar("T")
    B = TypeVar("B", bound=Record)

_COMMIT_TIMEOUT_S = 30.0
_CHUNKS_WAITING_MAX = 4
_END = b""

POSTED_MODELS: tuple[type[Record], ...] = (StepPost, KindRegistration)
"""The bodies that are read here and not by FastAPI, for the OpenAPI's components."""


async def _sender(
    principal: Annotated[Principal, Depends(require(Scope.RECORD))],
    _: Annotated[None, Depends(known_parameters)],
) -> Principal:
    """Whoever posts; he is known before what he asks is looked at."""
    return principal


Sender = Annotated[Principal, Depends(_sender)]
RecorderId = Annotated[str, Path(max_length=36, description="The recorder, as its posts name it.")]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Hash of the bytes, in hex.")]

router = APIRouter(tags=["posting"])


def _body(model: type[Record]) -> dict[str, object]:
    return _content("application/json", {"$ref": f"#/components/schemas/{model.__name__}"})


def _content(media_type: str, schema: dict[str, object]) -> dict[str, object]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}


@router.post("/steps", openapi_extra=_body(StepPost))
async def post_steps(request: Request, sender: Sender, services: ServicesOf) -> StepsAccepted:
    """Store steps that were logged elsewhere, whole or not at all.

    The answer comes when they are committed and on the disk. Steps whose ids are stored already are counted
    and passed over, so that a post whose answer was lost is posted again. A payload is validated by its kind;
    a kind of a project's own is registered first.
    """
    post = await _read(request, StepPost)
    posting = Posting(post, sender.name)
    services.post_office.hand_in(posting)
    return await _outcome(posting.accepted)


@router.post("/kinds", openapi_extra=_body(KindRegistration))
async def register_kind(request: Request, _: Sender, services: ServicesOf) -> KindRegistered:
    """Register the JSON schema of a kind of a project's own, before its first step."""
    registration = Registration(await _read(request, KindRegistration))
    services.post_office.hand_in(registration)
    return await _outcome(registration.registered)


@router.get("/recorders/{recorder_id}")
def recorder_position(recorder_id: RecorderId, _: Sender, services: ServicesOf) -> RecorderPosition:
    """How far the steps of a recorder are stored: whoever posts for it goes on behind."""
    found = services.history.recorder(recorder_id) if is_id(recorder_id) else None
    if found is None:
        raise Refused(404, f"there is no recorder {recorder_id}")
    return found


@router.head("/artifacts/{sha256}/bytes")
def has_artifact(sha256: Sha256, _: Sender, services: ServicesOf) -> Response:
    """Whether the bytes of an artifact are here: 200, or 404 where they are lacking."""
    return Response(status_code=200 if services.artifacts.has(sha256) else 404)


@router.put(
    "/artifacts/{sha256}/bytes",
    status_code=201,
    response_class=Response,
    response_description="The bytes are kept",
    responses={204: {"description": "They are here already"}},
    openapi_extra=_content("application/octet-stream", {"type": "string", "format": "binary"}),
)
async def put_artifact(sha256: Sha256, request: Request, _: Sender, services: ServicesOf) -> Response:
    """Keep the bytes of an artifact under their hash; 204 when they are here already."""
    if await asyncio.to_thread(services.artifacts.has, sha256):
        return Response(status_code=204)
    size = _length(request)
    await _take_in(request, services.artifacts, sha256, size)
    return Response(status_code=201)


async def _read(request: Request, model: type[B]) -> B:
    """The body as a model, read beside the event loop: a large one would hold up who watches."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refused(415, "the body is to be JSON; say so with: Content-Type: application/json")
    body = await request.body()
    try:
        return await asyncio.to_thread(model.model_validate_json, body)
    except ValidationError as error:
        raise refusal("post", error) from None


async def _outcome(future: Future[T]) -> T:
    try:
        async with asyncio.timeout(_COMMIT_TIMEOUT_S):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise Refused(
            503, "the database has been busy for long; post it again", headers=[("retry-after", "5")]
        ) from None


def _length(request: Request) -> int:
    try:
        return int(request.headers["content-length"])
    except (KeyError, ValueError):
        raise Refused(411, "say how many bytes there are: Content-Length") from None


async def _take_in(request: Request, artifacts: ArtifactStore, sha256: str, size: int) -> None:
    """Write a body as it comes, in a thread, and wait for the disk rather than fill the memory."""
    chunks: queue.Queue[bytes | None] = queue.Queue(_CHUNKS_WAITING_MAX)

    def received() -> Iterator[bytes]:
        while (chunk := chunks.get()) != _END:
            if chunk is None:
                raise ConnectionAbortedError("the sender went away")
            yield chunk

    # No task: those are cancelled with all others when the server ends, and their threads go on.
    writing = asyncio.get_running_loop().run_in_executor(None, artifacts.take_in, received(), sha256, size)
    is_whole = False
    try:
        async for chunk in request.stream():
            if chunk:
                await _put(chunks, chunk, writing)
        await _put(chunks, _END, writing)
        is_whole = True
    finally:
        if not is_whole:
            _give_up(chunks)
            # What it says of that is nobody's answer.
            await asyncio.gather(writing, return_exceptions=True)
    await writing


def _give_up(chunks: queue.Queue[bytes | None]) -> None:
    """Let the thread hear, whatever it waits for, that the rest does not come."""
    with suppress(queue.Empty):
        while True:
            chunks.get_nowait()
    chunks.put_nowait(None)


async def _put(chunks: queue.Queue[bytes | None], chunk: bytes, writing: asyncio.Future[None]) -> None:
    while not writing.done():
        try:
            chunks.put_nowait(chunk)
        except queue.Full:
            await asyncio.wait([writing], timeout=0.005)
        else:
            return
