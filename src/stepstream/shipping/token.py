"""The token a server wants: where it comes from, and how a shipper hears that somebody has another one.

It is read anew for every connection and kept nowhere: not in a file of ours, not in a log, not among the
arguments of a process. Two processes tell their tokens apart by a salted fingerprint.

Knows the environment and one file each. Must not know HTTP.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.errors import ConfigurationInvalid
from stepstream.shipping.salt import spool_salt

if TYPE_CHECKING:
    from stepstream.settings import Settings
    from stepstream.spool.directory import SpoolDirectory

TOKEN_VARIABLE = "STEPSTREAM_TOKEN"  # noqa: S105 - its name
_WANTED = "token"
_WANTED_FOR_S = 60.0
_TOKEN_BYTES_MAX = 4096
_USABLE = re.compile(r"[A-Za-z0-9._~+/=-]+")


def read_token(settings: Settings) -> str | None:
    """The token of this process: from its environment, else from the file that the settings name.

    Raises:
        ConfigurationInvalid: The file cannot be read, or no header can hold what is there.
    """
    where, text = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "").strip()
    if not text and settings.token_file is not None:
        where = settings.token_file
        try:
            with Path(settings.token_file).open("rb") as file:
                text = file.read(_TOKEN_BYTES_MAX).decode("ascii", "replace").strip()
        except OSError as error:
            raise ConfigurationInvalid(where, "unreadable", f"a token ({error.strerror})") from None
    if not text:
        return None
    if not _USABLE.fullmatch(text):
        raise ConfigurationInvalid(where, "unusable", "a token as `stepstream token create` shows it")
    return text


def fingerprint(spool: SpoolDirectory, token: str | None) -> str:
    """What tells a token from another one on this machine, and nothing to anybody else.

    Raises:
        OSError: The spool's salt cannot be read.
    """
    return hashlib.blake2b((token or "").encode("ascii"), key=spool_salt(spool), digest_size=8).hexdigest()


def ask_for_token(spool: SpoolDirectory, wanted: str) -> None:
    """Say that somebody has a token of this fingerprint; a shipper that is refused gives way to him.

    Raises:
        OSError: It cannot be written.
    """
    spool.write(_WANTED, wanted.encode("ascii"))


def is_other_token_wanted(spool: SpoolDirectory, own: str) -> bool:
    """Whether somebody with another token has come a moment ago."""
    try:
        wanted = spool.read(_WANTED)
        changed_at = os.stat(_WANTED, dir_fd=spool.descriptor, follow_symlinks=False).st_mtime
    except OSError:
        return False
    is_recent = abs(time.time() - changed_at) < _WANTED_FOR_S
    return wanted is not None and is_recent and wanted != own.encode("ascii")
