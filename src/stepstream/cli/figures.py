"""Figures for people: how long, how old, how much, when.

Knows numbers and units. Must not know what they measure.
"""

from __future__ import annotations

import time

_NS_A_SECOND = 1_000_000_000
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
# Where rounding would show the next unit's figure: 999.6 ms is 1.0 s.
_MICROSECONDS_MAX_S, _MILLISECONDS_MAX_S, _SECONDS_MAX_S = 0.001, 0.9995, 59.95
_KIB = 1024
_UNIT_MAX = 1023.95


def duration(nanoseconds: int) -> str:
    """How long something took, to about three digits: ``850 µs``, ``12 ms``, ``3.4 s``, ``2 m 05 s``."""
    seconds = max(0, nanoseconds) / 1e9
    if seconds < _MICROSECONDS_MAX_S:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < _MILLISECONDS_MAX_S:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < _SECONDS_MAX_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} m {whole % _MINUTE_S:02} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02} m"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S:02} h"


def age(nanoseconds: int) -> str:
    """How long ago something was, in one unit: ``now``, ``12 s``, ``3 m``, ``2 h``, ``5 d``."""
    seconds = nanoseconds / 1e9
    if seconds < 1:
        return "now"
    if seconds < _MINUTE_S:
        return f"{int(seconds)} s"
    if seconds < _HOUR_S:
        return f"{int(seconds / _MINUTE_S)} m"
    if seconds < _DAY_S:
        return f"{int(seconds / _HOUR_S)} h"
    return f"{int(seconds / _DAY_S)} d"


def bytes_held(count: int) -> str:
    """An amount of bytes: ``512 B``, ``12.3 KiB``, ``4.0 GiB``."""
    if count < _KIB:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= _KIB
        if amount < _UNIT_MAX:
            return f"{amount:.1f} {unit}"
    return f"{amount / _KIB:.1f} TiB"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 step``, ``12,345 steps``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def clock_time(nanoseconds: int) -> str:
    """The local time of day, to the millisecond."""
    moment = time.localtime(nanoseconds // _NS_A_SECOND)
    return f"{time.strftime('%H:%M:%S', moment)}.{nanoseconds // 1_000_000 % 1000:03}"


def date_time(nanoseconds: int) -> str:
    """The local date and time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(nanoseconds // _NS_A_SECOND))
