"""What an S3 client is told: endpoint, region and keys, from where the tools of AWS look for them too.

Knows the environment and ``~/.aws``. Must not know what is stored. Nothing here is ever shown.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stepstream.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stepstream.settings import BackupSettings

_REGION_DEFAULT = "us-east-1"
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Where the machine itself vouches for us; obstore knows how to ask there.
_AMBIENT = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class S3Access(NamedTuple):
    """How to reach an S3 server.

    Attributes:
        endpoint: Its address; None for Amazon's.
        region: The region requests are signed for.
        key_id: Who we are; empty where nothing is stated, and the machine vouches.
        secret: What proves it.
        token: What a session needs beside them.
        is_ambient: Whether anything but stated keys may let us in.
    """

    endpoint: str | None
    region: str
    key_id: str
    secret: str
    token: str
    is_ambient: bool

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(filter(None, (self.key_id, self.secret, self.token)))


def s3_access(settings: BackupSettings, environment: Mapping[str, str]) -> S3Access:
    """Find out how to reach the S3 server that is meant.

    Args:
        settings: What is stated there goes before all else.
        environment: Variables by name; they go before the files of ``~/.aws``.

    Raises:
        ConfigurationInvalid: A file of ``~/.aws`` cannot be read.
    """
    profile = _profile(environment)
    key_id, secret, token = (environment.get(name, "") for name in _KEYS)
    if not key_id:
        key_id, secret, token = (profile.get(name.lower(), "") for name in _KEYS)
    endpoint = (
        settings.endpoint
        or environment.get("AWS_ENDPOINT_URL_S3")
        or environment.get("AWS_ENDPOINT_URL")
        or profile.get("endpoint_url")
    )
    region = (
        settings.region
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or _REGION_DEFAULT
    )
    is_ambient = endpoint is None or any(environment.get(name) for name in _AMBIENT)
    return S3Access(endpoint, region, key_id, secret, token, is_ambient)


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """What the files say of the profile; the credentials' goes before the configuration's."""
    name = environment.get("AWS_PROFILE") or "default"
    section = name if name == "default" else f"profile {name}"
    return _section(environment, "AWS_CONFIG_FILE", "config", section) | _section(
        environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials", name
    )


def _section(environment: Mapping[str, str], variable: str, file: str, section: str) -> dict[str, str]:
    stated = environment.get(variable)
    path = Path(stated) if stated else Path(os.path.expanduser("~")) / ".aws" / file  # noqa: PTH111 - never raises
    # Interpolation would stumble over a percent sign in a secret.
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        # What the parser says quotes the line, which may be a key.
        raise ConfigurationInvalid(
            str(path), "unreadable", f"a file as the tools of AWS write it ({type(error).__name__})"
        ) from None
    return dict(parser[section]) if parser.has_section(section) or section == "DEFAULT" else {}
