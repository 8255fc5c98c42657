"""The connection below a client: the one thing ASGI has no word for, which is to drop it.

A response that ends is kept until it has been read, which for a client that is frozen is never; neither
memory nor the end of the server should wait for that.

Knows where the server leaves the means: ``abort`` in the connection's state. Must not know why it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Scope as Connection


def abort(connection: Connection) -> bool:
    """Drop a connection with all that is not sent yet; returns False under a server that cannot."""
    drop = cast("Callable[[], None] | None", connection.get("state", {}).get("abort"))
    if drop is None:
        return False
    drop()
    return True
