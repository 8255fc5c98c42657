"""The session: how a browser signs in with a token, asks who it is, and signs out.

Knows cookies and what they are answered with. Must not know how a session is signed or a token compared.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from stepstream.schemas.record import Record
from stepstream.server.auth.access import Principal, Scope, principal_of, refusal_of
from stepstream.server.auth.sessions import Session, Sessions, desk_of, set_cookie
from stepstream.server.problems import Refused, Unauthenticated
from stepstream.server.routes.parameters import known_parameters

router = APIRouter(tags=["session"], dependencies=[Depends(known_parameters)])


class SignIn(Record):
    """The body of a sign-in.

    Attributes:
        token: What ``stepstream token create`` has shown.
    """

    token: Annotated[str, Field(max_length=200)]


class SessionInformation(Record):
    """Who somebody is to the server.

    Attributes:
        name: The token's name, or ``local`` for whoever may connect without one.
        scopes: What one may do.
        csrf_token: What X-CSRF-Token has to hold in requests that change something; None without a session.
        expires_at: Until when the session counts, if it is not renewed by then; ns since 1970 UTC.
    """

    name: str
    scopes: tuple[Scope, ...]
    csrf_token: str | None = None
    expires_at: int | None = None


@router.post("/session")
def sign_in(request: Request, response: Response, body: SignIn | None = None) -> SessionInformation:
    """Sign a browser in with a token, sent as ``Authorization: Bearer`` or in the body.

    The answer sets a cookie that scripts cannot read; what changes something also needs its CSRF token.
    """
    desk = desk_of(request.scope)
    principal = _known(request) if body is None else desk.recognise(body.token)
    if principal.token_id is None:
        raise Refused(400, "a session begins with a token; send it as Authorization: Bearer")
    if desk.session is not None:
        desk.sessions.end(desk.session)
    session = desk.sessions.begin(principal.token_id)
    _answer_cookie(request, response, desk.sessions.seal(session))
    return _information(principal, desk.sessions, session)


@router.get("/session")
def who_am_i(request: Request) -> SessionInformation:
    """Who one is to the server, and what one may do."""
    desk = desk_of(request.scope)
    return _information(_known(request), desk.sessions, desk.session)


@router.delete("/session", status_code=204)
def sign_out(request: Request) -> Response:
    """Sign a browser out: its cookie is taken away, and counts no longer if somebody has kept it."""
    desk = desk_of(request.scope)
    refusal = refusal_of(request.scope)
    if refusal is not None:
        raise refusal
    if desk.session is not None:
        desk.sessions.end(desk.session)
    response = Response(status_code=204)
    _answer_cookie(request, response, "")
    return response


def _known(request: Request) -> Principal:
    principal = principal_of(request.scope)
    if principal is None:
        raise refusal_of(request.scope) or Unauthenticated
    return principal


def _answer_cookie(request: Request, response: Response, value: str) -> None:
    scope = request.scope
    cookie = set_cookie(value, is_https=scope["scheme"] == "https", root_path=scope.get("root_path", ""))
    response.headers.append("set-cookie", cookie)


def _information(principal: Principal, sessions: Sessions, session: Session | None) -> SessionInformation:
    return SessionInformation(
        name=principal.name,
        scopes=tuple(scope for scope in Scope if scope in principal.scopes),
        csrf_token=None if session is None else sessions.csrf_token(session),
        expires_at=None if session is None else session.expires_s * 1_000_000_000,
    )
