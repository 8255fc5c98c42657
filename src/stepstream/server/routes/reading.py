"""The reading API: every route that reads, under one roof.

Knows which there are. Must not know what they answer, nor where the API's root is.
"""

from __future__ import annotations

from fastapi import APIRouter

from stepstream.server.routes import artifacts, episodes, figures, health, kinds, metrics, steps, system


def api_router() -> APIRouter:
    """The routes of the reading API, without the API's root."""
    router = APIRouter()
    for part in (health, episodes, steps, figures, kinds, artifacts, system, metrics):
        router.include_router(part.router)
    return router
