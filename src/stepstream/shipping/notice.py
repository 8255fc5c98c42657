"""The notice: which secrets an agent's project has, told to whoever ships before the agent's first step.

One shipper serves every agent of a machine, and each may have a ``stepstream.toml`` of its own. What any of
them takes for a secret leaves the machine from none of them.

Knows small files of the spool. Must not know what a secret looks like.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pydantic import ValidationError

from stepstream.errors import ConfigurationInvalid
from stepstream.settings import RedactionSettings
from stepstream.store.secret_rules import DEFAULT_RULES

if TYPE_CHECKING:
    from stepstream.spool.directory import SpoolDirectory
    from stepstream.store.secret_rules import RedactionRules

_PREFIX = "redaction-"
_SUFFIX = ".json"
_NOTICE_BYTES_MAX = 1 << 20


def give_notice(spool: SpoolDirectory, settings: RedactionSettings) -> None:
    """Leave word of a project's rules; the same rules are the same file.

    Raises:
        ConfigurationInvalid: There are far too many.
        OSError: It cannot be written.
    """
    text = settings.model_dump_json().encode()
    if len(text) >= _NOTICE_BYTES_MAX:
        raise ConfigurationInvalid("[redaction]", f"of {len(text)} bytes", f"less than {_NOTICE_BYTES_MAX}")
    name = f"{_PREFIX}{hashlib.sha256(text).hexdigest()[:16]}{_SUFFIX}"
    if spool.read(name, _NOTICE_BYTES_MAX) != text:
        spool.write(name, text)


def noticed(spool: SpoolDirectory) -> frozenset[str]:
    """The names of all notices there are.

    Raises:
        OSError: The spool cannot be read.
    """
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=spool.descriptor)
    try:
        names = os.listdir(directory)
    finally:
        os.close(directory)
    return frozenset(name for name in names if name.startswith(_PREFIX) and name.endswith(_SUFFIX))


def rules_of(spool: SpoolDirectory, notices: frozenset[str], own: RedactionSettings) -> RedactionRules | None:
    """The rules of all who gave notice, together; None where all of them have turned redaction off.

    Args:
        spool: Where the notices are.
        notices: Their names.
        own: The settings of this process, for where nobody gave any.

    Raises:
        ConfigurationInvalid: A notice cannot be used; then nobody can say what is a secret.
        OSError: As above.
    """
    all_settings = [_read(spool, name) for name in sorted(notices)] or [own]
    enabled = [settings for settings in all_settings if settings.enabled]
    if not enabled:
        return None
    rules = DEFAULT_RULES
    for settings in enabled:
        try:
            rules = rules.extended_from(settings.model_dump(mode="json", include={"patterns", "names"}))
        except ValueError as error:
            raise ConfigurationInvalid("[redaction]", "unusable", str(error)) from None
    return rules


def _read(spool: SpoolDirectory, name: str) -> RedactionSettings:
    text = spool.read(name, _NOTICE_BYTES_MAX)
    try:
        return RedactionSettings.model_validate_json(text or b"")
    except ValidationError as error:
        reason = f"the rules that an agent left there ({error.error_count()} problems); remove the file"
        raise ConfigurationInvalid(str(spool.path / name), "unreadable", reason) from None
