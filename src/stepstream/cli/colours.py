"""A colour an agent, the same in every run as long as two agents do not meet in it.

Knows names and hues. Hues are of middle lightness, legible on dark and on light, and none of them is red.
"""

from __future__ import annotations

from zlib import adler32

from stepstream.cli.output import Ink

_HUES = ("38;5;33", "38;5;37", "38;5;133", "38;5;136", "38;5;71", "38;5;98", "38;5;173", "38;5;67")


class AgentColours:
    """Gives names their colours."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The colour of a name; no colour for no name."""
        if not name:
            return Ink.PLAIN
        if name not in self._given:
            start = adler32(name.encode("utf-8", "surrogatepass")) % len(_HUES)
            hues = [*_HUES[start:], *_HUES[:start]]
            free = [hue for hue in hues if hue not in self._given.values()]
            self._given[name] = (free or hues)[0]
        return self._given[name]
