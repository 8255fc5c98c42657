"""The link to a server: questions out, typed answers in, and what went wrong as an error of ours.

It is the one place that turns HTTP statuses back into errors. The token goes to this server alone: into one
header of each request, and into no message. Redirects are not followed.

Knows HTTP and where the API begins. Must not know what the questions mean.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import threading
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

import urllib3
from pydantic import BaseModel, ConfigDict, ValidationError
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from stepstream.errors import (
    AccessDenied,
    Busy,
    ConfigurationInvalid,
    EpisodeNotFound,
    FilterInvalid,
    Problem,
    StepstreamError,
    StoreError,
    Unreachable,
    ValidationFailed,
)
from stepstream.schemas.record import Record, printable
from stepstream.schemas.release import RELEASE
from stepstream.settings import FILE_NAME, Settings
from stepstream.shipping.address import ServerAddress
from stepstream.shipping.token import TOKEN_VARIABLE, read_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    T = TypeVar("T", bound=Record)

logger = logging.getLogger("stepstream")

API = "/api/v1"
CONNECT_S = 5.0
ANSWER_S = 30.0
_IDLE_CONNECTIONS_MAX = 32
_TOLD_CHARACTERS_MAX = 500
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,4096}")
_FILTER_PREFIX = "the filter cannot be used: "

_warned: set[str] = set()


class Misdirected(Unreachable):
    """Something answers, but not as a server of this release does: asking again will not help."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            address,
            reason,
            "see that it is the address of a stepstream server, and of no older release",
        )


class Question(NamedTuple):
    """What is asked of a server.

    Attributes:
        path: The parts of the path behind the API's root.
        parameters: The query; what is None is left out.
        episode: The episode that it is about, as it was asked for; None where it is about none.
    """

    path: tuple[str, ...]
    parameters: Mapping[str, str | int | None] = {}
    episode: str | None = None

    @property
    def target(self) -> str:
        """Path and query, behind the API's root."""
        path = "".join(f"/{quote(part, safe='')}" for part in self.path)
        stated = {name: value for name, value in self.parameters.items() if value is not None}
        return f"{path}?{urlencode(stated, quote_via=quote)}" if stated else path


class _Lenient(BaseModel):
    """What a server says of a failure may have more fields than this release knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _FieldProblem(_Lenient):
    field: str = ""
    value: str = ""
    reason: str = ""


class _Problem(_Lenient):
    title: str = ""
    detail: str = ""
    request_id: str = ""
    position: int | None = None
    problems: tuple[_FieldProblem, ...] = ()
    candidates: tuple[str, ...] = ()


class Link:
    """Questions to one server. May be used by any number of threads, and after a fork."""

    def __init__(self, address: ServerAddress, token: str | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            address: Where the server is.
            token: What every request carries; None where the server wants none.

        Raises:
            ConfigurationInvalid: No header can hold the token.
        """
        if token is not None and not _TOKEN.fullmatch(token):
            raise ConfigurationInvalid("the token", "unusable", "one as `stepstream token create` shows it")
        self.address = address
        self._headers = {"accept-encoding": "identity", "user-agent": f"stepstream/{RELEASE}"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
            _warn_of_listeners(address)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._tls: ssl.SSLContext | None = None

    @classmethod
    def open(cls, url: str, token: str | None = None) -> Self:
        """A link to the server at a URL.

        Args:
            url: Where the server is.
            token: The token; by default that of the environment or the settings.

        Raises:
            ConfigurationInvalid: The URL or the token cannot be used.
        """
        address = ServerAddress.parse(url, "the address of the server")
        return cls(address, token or read_token(Settings.load(Path(FILE_NAME).absolute())))

    def __repr__(self) -> str:
        return f"<link to {self.address.text}>"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What a connection is secured with; None where it is not."""
        if self.address.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return dict(self._headers)

    def ask(self, question: Question, model: type[T], *, answer_s: float = ANSWER_S) -> T:
        """Ask, and wait for the answer.

        Args:
            question: What to ask.
            model: What the answer is.
            answer_s: How long the server may be silent.

        Raises:
            Unreachable: No answer came that could be understood.
            AccessDenied: The server does not let us.
            EpisodeNotFound: It has no such episode.
            FilterInvalid: The filter cannot be read.
            ValidationFailed: The server takes an argument for wrong.
            Busy: It has no time now.
            StoreError: It failed.
        """
        return self.ask_as(question, model.model_validate_json, answer_s=answer_s)

    def ask_as(self, question: Question, read: Callable[[bytes], T], *, answer_s: float = ANSWER_S) -> T:
        """Ask as ``ask`` does, and read the answer with a function that may raise pydantic's error."""
        status, body = self._exchange(question, answer_s)
        if status != HTTPStatus.OK:
            raise self.failure(question, status, body)
        try:
            return read(body)
        except (ValidationError, ValidationFailed) as error:
            raise self.unreadable(question.target, error) from error

    def _exchange(self, question: Question, answer_s: float) -> tuple[int, bytes]:
        timeout = urllib3.Timeout(connect=min(CONNECT_S, answer_s), read=answer_s)
        try:
            try:
                response = self._get(question, timeout)
            except ProtocolError:
                # The server may have closed a connection that was idle just as it was used again.
                response = self._get(question, timeout)
        except (HTTPError, HTTPException, OSError, ValueError) as error:
            raise self.unreachable(error) from error
        return response.status, response.data

    def _get(self, question: Question, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse:
        return self._connections().request(
            "GET",
            self.target(question),
            headers=self._headers,
            timeout=timeout,
            retries=False,
            redirect=False,
        )

    def target(self, question: Question) -> str:
        """What a request asks for."""
        return f"{self.address.root}{API}{question.target}"

    def _connections(self) -> urllib3.HTTPConnectionPool:
        self._check_process()
        with self._lock:
            if self._pool is None:
                self._pool = self._new_pool()
            return self._pool

    def _check_process(self) -> None:
        """In a forked child: the connections are the parent's, whose answers must not come to us."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock = threading.Lock()
            self._pool = None

    def _new_pool(self) -> urllib3.HTTPConnectionPool:
        host, port, size = self.address.host, self.address.port, _IDLE_CONNECTIONS_MAX
        if self.tls is None:
            return urllib3.HTTPConnectionPool(host, port, maxsize=size)
        return urllib3.HTTPSConnectionPool(host, port, maxsize=size, ssl_context=self.tls)

    def close(self) -> None:
        """Let go of idle connections; the next question opens another one."""
        self._check_process()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    # -- what went wrong

    def unreachable(self, error: Exception) -> Unreachable:
        """The error of ours for one of the network."""
        return Unreachable(self.address.text, _reason(error))

    def unreadable(self, what: str, error: ValidationError | ValidationFailed) -> Misdirected:
        """The error of ours for an answer of which we make no sense."""
        return Misdirected(self.address.text, f"its answer to {what} cannot be read: {_first(error)}")

    def failure(  # noqa: PLR0911 - one case a status
        self, question: Question, status: int, body: bytes
    ) -> StepstreamError:
        """The error of ours for an answer that is not a success."""
        where = self.address.text
        problem = _problem(body)
        told = _one_line(problem.detail or problem.title) or f"{status} {_phrase(status)}".strip()
        match status:
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return AccessDenied(where, told)
            case HTTPStatus.NOT_FOUND if question.episode is not None and problem.detail:
                return EpisodeNotFound(question.episode, problem.candidates)
            case HTTPStatus.BAD_REQUEST if wrong := _wrong_filters(question, problem):
                return wrong[0]
            case HTTPStatus.BAD_REQUEST | HTTPStatus.UNPROCESSABLE_ENTITY if problem.problems:
                return ValidationFailed(
                    "question", [Problem(each.field, each.value, each.reason) for each in problem.problems]
                )
            case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
                return Busy(where, told=told)
            case HTTPStatus.REQUEST_TIMEOUT | HTTPStatus.BAD_GATEWAY | HTTPStatus.GATEWAY_TIMEOUT:
                return Unreachable(where, f"it answers {status}: {told}")
            case _ if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
                return Misdirected(where, "it points to another address, which is not followed")
            case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                quoted = f" (request {_one_line(problem.request_id)})" if problem.request_id else ""
                return StoreError(f"{where} failed at {question.target}: {told}{quoted}")
            case _:
                return Misdirected(where, f"it answers {status} to {question.target}: {told}")


def _warn_of_listeners(address: ServerAddress) -> None:
    """Say once that a token travels where others may read it."""
    if address.scheme == "http" and not address.is_loopback and address.text not in _warned:
        _warned.add(address.text)
        logger.warning(
            "%s is not encrypted: whoever is on the way can read the token in %s; use https",
            address.text,
            TOKEN_VARIABLE,
        )


def _problem(body: bytes) -> _Problem:
    try:
        return _Problem.model_validate_json(body)
    except ValidationError:
        return _Problem()


def _wrong_filters(question: Question, problem: _Problem) -> list[FilterInvalid]:
    """The errors that a server may mean by a position: the one it words the same way comes first."""
    if problem.position is None:
        return []
    # The message ends with the text and a mark below the place, and we have both.
    expected = printable(problem.detail.removeprefix(_FILTER_PREFIX).rsplit("\n", 2)[0])
    texts = [question.parameters.get(name) for name in ("filter", "q")]
    errors = [FilterInvalid(text, problem.position, expected) for text in texts if isinstance(text, str)]
    return sorted(errors, key=lambda error: str(error) != problem.detail)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _one_line(text: str) -> str:
    """What a server says, shortened and made safe to show."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(line.split())[:_TOLD_CHARACTERS_MAX]


def _first(error: ValidationError | ValidationFailed) -> str:
    if isinstance(error, ValidationFailed):
        return _one_line(str(error))
    detail = error.errors(include_url=False, include_input=False)[0]
    return _one_line(": ".join(filter(None, (".".join(map(str, detail["loc"])), detail["msg"]))))


def _reason(error: Exception) -> str:
    """Why there is no answer, in few words; never what was sent."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {_one_line(cause.verify_message)}"
            case NameResolutionError():
                return "its name cannot be resolved"
            case ConnectTimeoutError() if not isinstance(cause, NewConnectionError):
                return f"no connection within {CONNECT_S:g} s"
            case ReadTimeoutError() | TimeoutError():
                return "no answer in time"
            case OSError() if cause.strerror:
                return _one_line(cause.strerror)
            case _:
                cause = cause.__cause__ or cause.__context__
    return f"the connection broke ({type(error).__name__})"
