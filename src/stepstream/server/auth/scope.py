"""Scopes: what a token may be good for.

Knows their names and nothing else, so that the command line can name them without loading a server.
"""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a token may be good for; ``admin`` includes the others."""

    READ = "read"
    RECORD = "record"
    CONTROL = "control"
    ADMIN = "admin"
