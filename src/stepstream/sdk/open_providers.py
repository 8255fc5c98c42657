"""Which providers are open in this process, and which one code means that holds none.

Knows the ends of processes: every open provider is closed at exit, and starts afresh in a forked child.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from stepstream.errors import StepstreamError

if TYPE_CHECKING:
    from pathlib import Path

    from stepstream.sdk.destination import Destination
    from stepstream.sdk.provider import ObservabilityProvider, ProviderOptions

_known: WeakSet[ObservabilityProvider] = WeakSet()
_open: list[ObservabilityProvider] = []
_chosen: list[ObservabilityProvider] = []
_lock = threading.RLock()


def default_provider() -> ObservabilityProvider:
    """The provider for code that holds none: the one opened last, or one that is opened now.

    Never raises: where the default place cannot be used, steps are refused, and the log says why.
    """
    from stepstream.sdk.provider import ObservabilityProvider, RefusingProvider  # noqa: PLC0415 - they need us first

    with _lock:
        if not _chosen:
            try:
                provider = ObservabilityProvider()
            except StepstreamError as reason:
                provider = RefusingProvider(reason)
            remember(provider, is_choice=True)
        return _chosen[-1]


def provider_of(destination: Destination, options: ProviderOptions) -> ObservabilityProvider:
    """The open provider of a destination, or a new one, which is no choice of this process's for all it logs.

    Args:
        destination: Where its steps go.
        options: Settings for a new one.

    Raises:
        StepstreamError: It cannot be used.
    """
    from stepstream.sdk.provider import ObservabilityProvider  # noqa: PLC0415 - it needs us first

    with _lock:
        for provider in _open:
            if provider.address == destination.address:
                return provider
        provider = ObservabilityProvider(destination.address, **options)
        remember(provider, is_choice=False)
        return provider


def close_providers() -> None:
    """Close every provider that is open, as the end of the process does."""
    for provider in _open.copy():
        provider.close()


def know(provider: ObservabilityProvider) -> None:
    """A provider has been made, and must hear of a fork."""
    _known.add(provider)


def remember(provider: ObservabilityProvider, *, is_choice: bool) -> None:
    """A provider is open; ``is_choice`` says that this process's own code opened it."""
    with _lock:
        if provider not in _open:
            _open.append(provider)
        if is_choice and provider not in _chosen:
            _chosen.append(provider)


def forget(provider: ObservabilityProvider) -> None:
    """A provider is closed."""
    with _lock:
        for providers in (_open, _chosen):
            if provider in providers:
                providers.remove(provider)


def is_open(database: Path) -> bool:
    """Whether a provider of a database is open."""
    with _lock:
        return any(provider.database == database for provider in _open)


def _forget_after_fork() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _lock = threading.RLock()
    hosting = sys.modules.get("stepstream.store.hosting")
    if hosting is not None:
        hosting.forget_after_fork()
    for provider in list(_known):
        provider.forget_after_fork()


atexit.register(close_providers)
os.register_at_fork(after_in_child=_forget_after_fork)
