"""The place behind a URL: which store it is, how it is opened, and what its failures mean.

Knows schemes, time limits and how stores word their errors. Must not know what is stored. No credential comes
out of here: not in a URL, not in an error.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    NotSupportedError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnknownConfigurationKeyError,
)
from obstore.store import LocalStore, S3Store, from_url

from stepstream.backup.credentials import s3_access
from stepstream.errors import BackupError, StepstreamError, TargetUnreachable, TargetUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from urllib.parse import SplitResult

    from obstore.store import ClientConfig, ObjectStore, RetryConfig, S3Config

    from stepstream.settings import BackupSettings

_LISTED = "give it as s3://bucket/prefix or file:///directory"
_PART = re.compile(r"#\d+$")
_STATUS = re.compile(r"status code: (\d{3})")
_ANSWER = re.compile(r"status code: (.+)")
_CODE = re.compile(r"<Code>([\w.]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_QUERY = re.compile(r"\?\S*")
_REASON_CHARACTERS_MAX = 300
_TRANSIENT_STATUS = frozenset({408, 409, 423, 425, 429})
_LASTING_STATUS = frozenset({501, 505})
_TRANSIENT_CODES = frozenset({"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"})
_ADVICE = {
    "RequestTimeTooSkewed": "set the clock of this machine",
    "NoSuchBucket": "create the bucket, or correct its name",
    "InvalidAccessKeyId": "correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "correct AWS_SECRET_ACCESS_KEY, or the region",
    "AuthorizationHeaderMalformed": "correct the region",
    "AccessDenied": "see that the bucket is there, and that we may list, read, write and delete in it",
}
_STATE_KEYS = "state AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials"
# Where Amazon's machines ask who they are; whoever is none of them gets no credentials there.
_INSTANCE = "169.254.169.254"
_CHECK_URL = "check the URL, the bucket and the credentials"


class Timing(NamedTuple):
    """How long things may take.

    Attributes:
        patience_s: For how long a failing target is asked again.
        request_s: How long one request takes at most, of which none moves more than a part.
        connect_s: How long a connection takes at most.
    """

    patience_s: float
    request_s: float = 120.0
    connect_s: float = 10.0


class Place:
    """A store that is open, with the words for what goes wrong there."""

    def __init__(
        self,
        url: str,
        store: ObjectStore,
        timing: Timing,
        root: Path | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.url = url
        self.store = store
        self.timing = timing
        self._root = root
        self._secrets = secrets

    def settle(self, path: str) -> None:
        """Make an object outlast a power cut; a server of objects has done so when it answers.

        Raises:
            TargetUnreachable: The disk fails.
        """
        if self._root is None:
            return
        file = self._root / path
        try:
            for each in (file, *file.relative_to(self._root).parents):
                _flush(self._root / each)
        except OSError as error:
            raise TargetUnreachable(self.url, f"{path}: {error.strerror}") from error

    def sweep_parts(self, older_than_ns: int) -> int:
        """Remove files that a process left which died while it wrote them."""
        count = 0
        for folder, _, names in os.walk(self._root or os.devnull):
            for name in filter(_PART.search, names):
                file = Path(folder) / name
                with suppress(FileNotFoundError):
                    if file.stat().st_mtime_ns < older_than_ns:
                        file.unlink()
                        count += 1
        return count

    def is_missing(self, error: FileNotFoundError) -> bool:
        """Whether not an object but the place itself is missing."""
        return "NoSuchBucket" in str(error) or (self._root is not None and not self._root.is_dir())

    def translate(self, path: str, error: Exception) -> BackupError:
        """What an error of the store means to us."""
        text = str(error)
        code = _found(_CODE, text)
        status = int(_found(_STATUS, text) or 0)
        if _INSTANCE in text:
            return TargetUnusable(self.url, "there are no credentials", _STATE_KEYS)
        reason = ": ".join(filter(None, (path, self._reason(text, code))))
        # A request that was spoilt on its way; what is wrong with it by itself has a code that says so.
        is_spoilt = code in _TRANSIENT_CODES or (status == HTTPStatus.BAD_REQUEST and not code)
        passes = is_spoilt or (code not in _ADVICE and _may_pass(error, status, text))
        if passes:
            return TargetUnreachable(self.url, reason)
        return TargetUnusable(self.url, reason, _ADVICE.get(code, _CHECK_URL))

    def _reason(self, text: str, code: str) -> str:
        """A few words of what the store said; whatever else stands in its answer may be a secret."""
        if code:
            message = _found(_MESSAGE, text)
            said = f"{code}: {message}" if message else code
        else:
            first = text.partition("\n")[0]
            said = _found(_ANSWER, first) or _QUERY.sub("", first)
        for secret in self._secrets:
            said = said.replace(secret, "…")
        return said[:_REASON_CHARACTERS_MAX]


def open_place(url: str, settings: BackupSettings, environment: Mapping[str, str], timing: Timing) -> Place:
    """Open what a URL names; nothing is asked of it yet.

    Raises:
        TargetUnusable: The URL is of no kind that is known, or holds credentials.
        ConfigurationInvalid: A file with credentials cannot be read.
    """
    try:
        parts = urlsplit(url)
        has_secret = bool(parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        raise TargetUnusable("the target", "its URL cannot be read", _LISTED) from None
    if has_secret:
        raise TargetUnusable(
            f"{parts.scheme}://…",
            "its URL holds more than a place",
            "state credentials in the environment, and nothing behind the path",
        )
    plain = url.rstrip("/")
    try:
        match parts.scheme:
            case "s3":
                return _open_s3(plain, parts, settings, environment, timing)
            case "file":
                return _open_directory(plain, parts, timing)
            case "gs" | "az":
                store = from_url(plain, client_options=_client(timing), retry_config=_retries(timing))
                return Place(plain, store, timing)
            case _:
                raise TargetUnusable(plain, "nothing is known of such a URL", _LISTED)
    except StepstreamError:
        raise
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0][:_REASON_CHARACTERS_MAX]
        raise TargetUnusable(plain, reason, _LISTED) from error


def _open_s3(
    url: str, parts: SplitResult, settings: BackupSettings, environment: Mapping[str, str], timing: Timing
) -> Place:
    if not parts.netloc:
        raise TargetUnusable(url, "it names no bucket", _LISTED)
    access = s3_access(settings, environment)
    if not access.key_id and not access.is_ambient:
        raise TargetUnusable(url, "there are no credentials", _STATE_KEYS)
    config: S3Config = {
        "region": access.region,
        "virtual_hosted_style_request": not settings.path_style,
    }
    if access.endpoint is not None:
        config["endpoint"] = access.endpoint.rstrip("/")
    if access.key_id:
        config["access_key_id"] = access.key_id
        config["secret_access_key"] = access.secret
    if access.token:
        config["session_token"] = access.token
    store = S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=config,
        client_options=_client(timing, allow_http=(access.endpoint or "").startswith("http://")),
        retry_config=_retries(timing),
    )
    return Place(url, store, timing, secrets=access.secrets)


def _open_directory(url: str, parts: SplitResult, timing: Timing) -> Place:
    root = Path(unquote(parts.path))
    if parts.netloc or not root.is_absolute() or root == Path("/"):
        raise TargetUnusable(url, "it names no directory of this machine", "give it as file:///directory")
    try:
        # What is recorded is its owner's alone, and so is a copy of it.
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise TargetUnusable(url, error.strerror or str(error), "see who may write there") from error
    return Place(url, LocalStore(root), timing, root=root)


def _client(timing: Timing, *, allow_http: bool = False) -> ClientConfig:
    return {
        "allow_http": allow_http,
        "timeout": timedelta(seconds=timing.request_s),
        "connect_timeout": timedelta(seconds=timing.connect_s),
    }


def _retries(timing: Timing) -> RetryConfig:
    """A part that fails is sent again by itself: all else would send the whole object again."""
    return {
        "max_retries": 6,
        "retry_timeout": timedelta(seconds=min(timing.patience_s, 2 * timing.request_s)),
        "backoff": {
            "init_backoff": timedelta(seconds=0.1),
            "max_backoff": timedelta(seconds=10),
            "base": 2,
        },
    }


def _may_pass(error: Exception, status: int, text: str) -> bool:
    never = (PermissionDeniedError, UnauthenticatedError, InvalidPathError, NotSupportedError)
    if isinstance(error, (*never, UnknownConfigurationKeyError, FileNotFoundError)):
        return False
    if "No space left" in text or "Permission denied" in text or "Read-only file system" in text:
        return False
    is_the_servers = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LASTING_STATUS
    return not status or is_the_servers or status in _TRANSIENT_STATUS


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1] if match else ""


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
