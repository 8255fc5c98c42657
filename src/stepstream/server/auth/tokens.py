"""Tokens: who may come in, in a file of its own beside the database.

Knows the file: who may touch it, how it is changed whole, how a secret is compared. Must not know requests.
Only hashes of secrets stand in it; the key of browser sessions stands in it too, so that sessions outlive a
restart of the server. A file that cannot be trusted lets nobody in.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field, ValidationError
from pydantic_core import to_json

from stepstream.errors import StepstreamError
from stepstream.schemas.record import Record
from stepstream.server.auth.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

PREFIX = "sst"
_ID_BYTES, _SECRET_BYTES = 6, 32
_WRITTEN = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * _ID_BYTES}}})_([0-9a-f]{{{2 * _SECRET_BYTES}}})")
_SECRET = re.compile(rf"({PREFIX}_[0-9a-f]{{{2 * _ID_BYTES}}}_)[0-9a-f]+")
_NOBODY = sha256(b"").hexdigest()
"""What the secret of an unknown token is compared with; no secret is empty."""

_FILE_BYTES_MAX = 4 << 20
_TOKENS_MAX = 1_000
_ENDED_MAX = 1_000
_LOCK_INTERVAL_S = 0.01
_SETTLED_NS = 100_000_000
_GROUP_OR_OTHER = stat.S_IRWXG | stat.S_IRWXO
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TokenName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,100}$")]


class Token(Record):
    """A token as it is kept.

    Attributes:
        id: What it is called by; no secret.
        name: What people call it.
        scopes: What it is good for.
        secret_sha256: Hash of its secret, which has 256 random bits and needs no slow one.
        created_at: ns since 1970 UTC.
        expires_at: From when on it is good for nothing; ns since 1970 UTC, None for never.
    """

    id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * _ID_BYTES}}}$")]
    name: TokenName
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    secret_sha256: _Hash
    created_at: int
    expires_at: int | None = None

    def is_living(self, now_ns: int) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now_ns < self.expires_at


class _EndedSession(Record):
    """A session that was signed out before it expired; ``expires_at`` is in ns since 1970 UTC."""

    id: str
    expires_at: int


class _Content(Record):
    """The file."""

    format: Literal[1] = 1
    session_key: _Hash
    tokens: Annotated[tuple[Token, ...], Field(max_length=_TOKENS_MAX)] = ()
    ended_sessions: Annotated[tuple[_EndedSession, ...], Field(max_length=_ENDED_MAX)] = ()


class TokensUnusable(StepstreamError):
    """The file of tokens cannot be trusted, read or changed; nobody is let in by it.

    Args:
        path: The file.
        reason: What is wrong.
        advice: What to do.
    """

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(f"{path} cannot be used: {reason}; {advice}")


class TokenNotFound(StepstreamError, LookupError):
    """No token, or more than one, answers to an id, a prefix or a name."""

    def __init__(self, wanted: str, candidates: Sequence[str] = ()) -> None:
        self.candidates = tuple(candidates)
        if candidates:
            text = f"token {wanted!r} is ambiguous; type more of one of: {', '.join(candidates)}"
        else:
            text = f"there is no token {wanted!r}"
        super().__init__(text)


class TokenNameTaken(StepstreamError):
    """Another token has the name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a token {name!r} already; revoke it first or choose another name")


class _Stamp(NamedTuple):
    """What tells one state of the file from another without reading it."""

    inode: int
    size: int
    changed_ns: int
    mode: int
    owner: int


_ABSENT = _Stamp(0, 0, 0, 0, 0)


class _Known(NamedTuple):
    """What the file holds, made ready for questions."""

    key: bytes | None = None
    tokens: dict[str, Token] = {}  # noqa: RUF012 - nobody changes it
    ended: frozenset[str] = frozenset()


class _Look(NamedTuple):
    """What was seen at a look: the file's stamp, and what it held or why it cannot be used."""

    stamp: _Stamp | None
    found: _Known | TokensUnusable


class TokenFile:
    """The tokens of one database.

    Every question looks at the file first, so that a change by another process counts from then on. May be
    used from several threads.
    """

    def __init__(
        self, database: Path, *, now_ns: Callable[[], int] = time.time_ns, lock_wait_s: float = 5.0
    ) -> None:
        """Know where the file is; it need not be there.

        Args:
            database: The database beside which it lies.
            now_ns: The clock that tells what has expired.
            lock_wait_s: How long a change waits for another one.
        """
        self.database = database
        self.path = database.with_name(database.name + "-tokens.json")
        self._lock_path = database.with_name(database.name + "-tokens.lock")
        self._now_ns = now_ns
        self._lock_wait_s = lock_wait_s
        self._seen: _Look | None = None

    # -- questions

    def all(self) -> tuple[Token, ...]:
        """Every token, the expired ones too.

        Raises:
            TokensUnusable: The file cannot be trusted or read.
        """
        return tuple(self._known().tokens.values())

    def living(self) -> tuple[Token, ...]:
        """Every token that is good for something.

        Raises:
            TokensUnusable: The file cannot be trusted or read.
        """
        now = self._now_ns()
        return tuple(token for token in self.all() if token.is_living(now))

    def authenticate(self, text: str) -> Token | None:
        """The token that a text is; None when it is none, or one that was revoked or has expired.

        Takes the same steps whether or not there is a token of that id.

        Raises:
            TokensUnusable: The file cannot be trusted or read.
        """
        tokens = self._known().tokens
        written = _WRITTEN.fullmatch(text)
        token_id, secret = ("", "") if written is None else written.groups()
        found = tokens.get(token_id)
        expected = _NOBODY if found is None else found.secret_sha256
        is_right = hmac.compare_digest(sha256(secret.encode("ascii")).hexdigest(), expected)
        if found is None or not is_right or not found.is_living(self._now_ns()):
            return None
        return found

    def token(self, token_id: str) -> Token | None:
        """The token of an id, if it is good for something.

        Raises:
            TokensUnusable: The file cannot be trusted or read.
        """
        found = self._known().tokens.get(token_id)
        return found if found is not None and found.is_living(self._now_ns()) else None

    def still_valid(self, token_id: str) -> bool:
        """Whether whoever came in with a token may stay; nobody may when the file cannot be used."""
        try:
            return self.token(token_id) is not None
        except TokensUnusable:
            return False

    def watch(self) -> Callable[[], bool]:
        """A function that tells whether the file may have changed since it was last asked."""
        seen = self._stamp()
        is_settled = _is_settled(seen)

        def has_changed() -> bool:
            nonlocal seen, is_settled
            before, was_settled = seen, is_settled
            seen = self._stamp()
            is_settled = _is_settled(seen)
            return seen != before or not was_settled

        return has_changed

    def session_key(self) -> bytes | None:
        """The key that browser sessions are signed with; None where there never was a token.

        Raises:
            TokensUnusable: The file cannot be trusted or read.
        """
        return self._known().key

    def is_ended(self, session_id: str) -> bool:
        """Whether a session was signed out.

        Raises:
            TokensUnusable: The file cannot be trusted or read.
        """
        return session_id in self._known().ended

    # -- changes

    def create(
        self, scopes: Sequence[Scope], *, name: str | None = None, lifetime_ns: int | None = None
    ) -> tuple[Token, str]:
        """Make a token.

        Args:
            scopes: What it shall be good for.
            name: What people shall call it; its id by default.
            lifetime_ns: How long it shall be good for; None for ever.

        Returns:
            The token, and the text that its owner sends. The text is nowhere kept.

        Raises:
            TokenNameTaken: There is a token of that name.
            ValidationFailed: The name cannot be used.
            TokensUnusable: The file cannot be trusted, read or written.
        """
        token_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
        now = self._now_ns()
        token = Token(
            id=token_id,
            name=token_id if name is None else name,
            scopes=tuple(dict.fromkeys(scopes)),
            secret_sha256=sha256(secret.encode("ascii")).hexdigest(),
            created_at=now,
            expires_at=None if lifetime_ns is None else now + lifetime_ns,
        )
        with self._locked() as folder:
            content = self._read(folder) or _Content(session_key=secrets.token_hex(32))
            if any(token.name in (other.name, other.id) for other in content.tokens):
                raise TokenNameTaken(token.name)
            if len(content.tokens) >= _TOKENS_MAX:
                raise TokensUnusable(self.path, f"it holds {_TOKENS_MAX} tokens", "revoke some")
            self._write(folder, content.model_copy(update={"tokens": (*content.tokens, token)}))
        return token, f"{PREFIX}_{token_id}_{secret}"

    def revoke(self, wanted: str) -> Token:
        """Take a token out of the file; whoever uses it is out from now on.

        Args:
            wanted: Its id, the beginning of its id, or its name.

        Raises:
            TokenNotFound: None answers to that, or more than one.
            TokensUnusable: The file cannot be trusted, read or written.
        """
        with self._locked() as folder:
            content = self._read(folder)
            tokens = () if content is None else content.tokens
            # A name counts before the beginning of another one's id.
            found = [token for token in tokens if wanted in (token.id, token.name)] or [
                token for token in tokens if wanted and token.id.startswith(wanted)
            ]
            if content is None or len(found) != 1:
                raise TokenNotFound(wanted, [token.id for token in found])
            kept = tuple(token for token in tokens if token is not found[0])
            self._write(folder, content.model_copy(update={"tokens": kept}))
        return found[0]

    def end_session(self, session_id: str, expires_at: int) -> None:
        """Remember that a session was signed out, until it would have expired by itself.

        Raises:
            TokensUnusable: The file cannot be trusted, read or written.
        """
        with self._locked() as folder:
            content = self._read(folder)
            if content is None:
                return
            now = self._now_ns()
            ended = [
                *(each for each in content.ended_sessions if each.expires_at > now),
                _EndedSession(id=session_id, expires_at=expires_at),
            ]
            self._write(folder, content.model_copy(update={"ended_sessions": tuple(ended[-_ENDED_MAX:])}))

    # -- the file

    def _known(self) -> _Known:
        """What the file holds now.

        Raises:
            TokensUnusable: It cannot be trusted or read.
        """
        seen = self._seen
        if seen is None or seen.stamp != self._stamp():
            seen = self._look()
            self._seen = seen if _is_settled(seen.stamp) else None
        if isinstance(seen.found, TokensUnusable):
            raise seen.found.with_traceback(None)
        return seen.found

    def _stamp(self) -> _Stamp | None:
        """The state of the file; None when nothing can be said of it."""
        try:
            info = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return _ABSENT
        except OSError:
            return None
        changed_ns = max(info.st_mtime_ns, info.st_ctime_ns)
        return _Stamp(info.st_ino, info.st_size, changed_ns, info.st_mode, info.st_uid)

    def _look(self) -> _Look:
        # First the stamp: what changes after it is seen at the next question.
        stamp = self._stamp()
        try:
            with self._folder() as folder:
                content = self._read(folder)
        except TokensUnusable as error:
            return _Look(stamp, error)
        if content is None:
            return _Look(stamp, _Known())
        return _Look(
            stamp,
            _Known(
                bytes.fromhex(content.session_key),
                {token.id: token for token in content.tokens},
                frozenset(ended.id for ended in content.ended_sessions),
            ),
        )

    @contextmanager
    def _folder(self) -> Iterator[int]:
        """A descriptor of the directory; all names are looked up in it, wherever the path leads meanwhile."""
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._trouble(error) from error
        try:
            yield folder
        finally:
            os.close(folder)

    def _read(self, folder: int) -> _Content | None:
        try:
            descriptor = os.open(self.path.name, os.O_RDONLY | _SAFE, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._trouble(error) from error
        try:
            self._check(os.fstat(descriptor), self.path)
            data = _read_all(descriptor)
        except OSError as error:
            raise self._trouble(error) from error
        finally:
            os.close(descriptor)
        try:
            return _Content.model_validate_json(data)
        except ValidationError as error:
            # Nothing of what stands in the file may be repeated.
            detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, detail["loc"])) or "the whole"
            raise TokensUnusable(
                self.path,
                f"it is damaged or of a newer stepstream ({place}: {detail['type']})",
                "restore it, or remove it and create the tokens anew",
            ) from None

    def _check(self, info: os.stat_result, path: Path) -> None:
        """Refuse a file that somebody else could have written or read."""
        if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:
            raise TokensUnusable(path, "it is not a plain file with one name", "remove it")
        if info.st_uid != os.geteuid():
            raise TokensUnusable(path, f"it belongs to user {info.st_uid}", "run as that user, or remove it")
        if info.st_mode & _GROUP_OR_OTHER:
            mode = stat.S_IMODE(info.st_mode)
            raise TokensUnusable(
                path,
                f"others may read or write it (mode {mode:04o})",
                f"run: chmod 600 {path}, and create the tokens anew if others have used the machine",
            )

    def _write(self, folder: int, content: _Content) -> None:
        """Put the file in place whole; the lock is held."""
        name, hidden = self.path.name, f".{self.path.name}.new"
        data = to_json(content, indent=2) + b"\n"
        try:
            with suppress(FileNotFoundError):
                # Of a process that died while it wrote: the lock is ours now.
                os.unlink(hidden, dir_fd=folder)
            descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, 0o600, dir_fd=folder)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError as error:
            raise self._trouble(error) from error
        self._seen = None

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Keep other processes from changing the file; gives a descriptor of the directory."""
        with self._folder() as folder:
            try:
                lock = os.open(self._lock_path.name, os.O_RDWR | os.O_CREAT | _SAFE, 0o600, dir_fd=folder)
            except OSError as error:
                raise self._trouble(error, self._lock_path) from error
            try:
                self._check(os.fstat(lock), self._lock_path)
                self._wait_for(lock)
                yield folder
            finally:
                os.close(lock)

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + self._lock_wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    reason = f"another program has held its lock for {self._lock_wait_s:g} s"
                    raise TokensUnusable(self.path, reason, "end that program and try again") from None
                time.sleep(_LOCK_INTERVAL_S)
            else:
                return

    def _trouble(self, error: OSError, path: Path | None = None) -> TokensUnusable:
        reason = error.strerror or type(error).__name__
        return TokensUnusable(path or self.path, reason, "see who owns it and its directory")


def token_id_in(text: str) -> str:
    """The id of the token that a text claims to be; empty when it is none."""
    written = _WRITTEN.fullmatch(text)
    return "" if written is None else written[1]


def masked(text: str) -> str:
    """The text without the secrets of tokens that stand in it, whole or cut."""
    return _SECRET.sub(r"\1…", text)


def _is_settled(stamp: _Stamp | None) -> bool:
    """Whether the same stamp means the same content.

    The clock of a file system is coarse: of a file that changed a moment ago, the stamp may stay as it is at
    another change.
    """
    if stamp is None:
        return False
    return stamp == _ABSENT or time.time_ns() - stamp.changed_ns > _SETTLED_NS


def _read_all(descriptor: int) -> bytes:
    parts = []
    room = _FILE_BYTES_MAX
    while room > 0 and (data := os.read(descriptor, room)):
        parts.append(data)
        room -= len(data)
    return b"".join(parts)
