"""The salt of a spool: random bytes that make hashes comparable on this machine and not guessable elsewhere.

Knows one file of the spool, 0600 like all of them.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from stepstream.schemas.identity import new_id

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory

SALT = "salt"
_SALT_BYTES = 32


def spool_salt(spool: SpoolDirectory) -> bytes:
    """The salt of a spool, made by whoever asks first.

    Raises:
        OSError: It cannot be made.
    """
    salt = spool.read(SALT)
    if salt is not None and len(salt) == _SALT_BYTES:
        return salt
    if salt is not None:
        # A power cut left it empty.
        spool.write(SALT, secrets.token_bytes(_SALT_BYTES))
    else:
        _claim(spool)
    salt = spool.read(SALT)
    if salt is None or len(salt) != _SALT_BYTES:
        raise OSError(f"the file {SALT} in {spool.path} cannot be made")
    return salt


def _claim(spool: SpoolDirectory) -> None:
    """Put the file in place unless somebody was faster."""
    hidden = f".{SALT}.{new_id().hex()}"
    descriptor = spool.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(descriptor, secrets.token_bytes(_SALT_BYTES))
    finally:
        os.close(descriptor)
    try:
        os.link(hidden, SALT, src_dir_fd=spool.descriptor, dst_dir_fd=spool.descriptor)
    except FileExistsError:
        pass
    finally:
        os.unlink(hidden, dir_fd=spool.descriptor)
