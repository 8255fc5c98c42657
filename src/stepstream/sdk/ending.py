"""How a block ended: completed, failed or cancelled, told from the exception that left it.

Knows exceptions. Must not know what was going on.
"""

from __future__ import annotations

import sys

from stepstream.schemas.episode import Status

# Looked up in the modules that are there: importing asyncio costs more than all of ours.
_CANCELLATIONS = (("asyncio.exceptions", "CancelledError"), ("trio", "Cancelled"))


def is_cancellation(exc: BaseException) -> bool:
    """Whether an exception says that somebody stopped the work, which is no error of the work."""
    if isinstance(exc, KeyboardInterrupt | GeneratorExit):
        return True
    if isinstance(exc, BaseExceptionGroup):
        return all(map(is_cancellation, exc.exceptions))
    for module, name in _CANCELLATIONS:
        cancellation = getattr(sys.modules.get(module), name, None)
        if isinstance(cancellation, type) and isinstance(exc, cancellation):
            return True
    return False


def status_after(exc: BaseException | None) -> Status:
    """The status of an episode whose block ended with an exception, or without one."""
    if exc is None or (isinstance(exc, SystemExit) and exc.code in (None, 0)):
        return Status.COMPLETED
    return Status.CANCELLED if is_cancellation(exc) else Status.FAILED
