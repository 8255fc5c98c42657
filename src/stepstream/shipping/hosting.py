"""Seeing to it that somebody ships: as for committers, with the token in the environment alone.

Knows how a shipper is started. Nothing here waits for one or raises into an agent.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from stepstream.errors import ConfigurationInvalid
from stepstream.shipping.token import ask_for_token, fingerprint, read_token
from stepstream.store.election import read_status
from stepstream.store.hosting import ensure_worker, start_module

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stepstream.settings import Settings
    from stepstream.shipping.address import ServerAddress
    from stepstream.spool.directory import SpoolDirectory

logger = logging.getLogger("stepstream")

REFUSED = "the server refuses the token"
"""How the state of a shipper begins that may not record."""


class Shipping:
    """A shipper, as it is started."""

    def __init__(self, database: Path, address: ServerAddress) -> None:
        """Prepare.

        Args:
            database: The path that the spool is named after; there is no such file.
            address: The server.
        """
        self.database = database
        self._address = address
        self._asked_for: str | None = None

    def start_process(self, settings: Settings) -> None:
        """Start a shipper process; the token is in the environment that it takes over."""
        start_module(
            "stepstream.shipping.shipper_process",
            str(self.database),
            self._address.text,
            settings.model_dump_json(),
        )

    def run(self, spool: SpoolDirectory, settings: Settings, until: Callable[[], bool]) -> None:
        """Ship in this thread until told to stop."""
        from stepstream.shipping.loop import run_shipper  # noqa: PLC0415 - urllib3 is heavy

        run_shipper(spool, self._address, settings, until=until)

    def ensure(self, spool: SpoolDirectory, settings: Settings) -> None:
        """Start a shipper if nobody ships this spool; never waits, never raises.

        Where one is refused that has another token than we have, it is told that we are here.
        """
        ensure_worker(self, spool, settings)
        try:
            status = read_status(spool)
            if status is None or not status.state.startswith(REFUSED):
                return
            token = fingerprint(spool, read_token(settings))
            if token != self._asked_for:
                # Once: whoever came last is to be heard, not whoever repeats himself.
                self._asked_for = token
                ask_for_token(spool, token)
        except (OSError, ConfigurationInvalid) as error:
            logger.debug("the shipper of %s could not be told of our token: %s", spool.path, error)
