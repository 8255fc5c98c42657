"""What is called without a handle: it finds the current episode, or the ambient one of this process.

Knows where to look: the context, then what this process was started with, then the ambient episode. Must not
guess: a thread without a context never lands in a neighbour's episode.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stepstream.sdk import context
from stepstream.sdk.crossing import inherited_scope
from stepstream.sdk.open_providers import default_provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from types import FrameType
    from typing import Unpack

    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.step import StepRef
    from stepstream.sdk.context import Scope
    from stepstream.sdk.episode_scope import EpisodeOptions, EpisodeScope, ModelCallOptions
    from stepstream.sdk.open_call import OpenToolCall
    from stepstream.sdk.open_model_call import OpenModelCall

logger = logging.getLogger("stepstream")

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep


def current_episode() -> EpisodeScope | None:
    """The episode that what is logged here goes to; None outside any."""
    scope = _known_scope()
    return None if scope is None else scope.episode


def log_event(
    payload: StepPayload,
    *,
    parent: StepRef | str | None = None,
    closes: StepRef | str | None = None,
    agent: str | None = None,
    role: str | None = None,
    occurred_at: datetime | int | None = None,
) -> StepRef:
    """Log one step into the current episode, as :meth:`EpisodeScope.log_event` does."""
    return episode_here().log_event(
        payload, parent=parent, closes=closes, agent=agent, role=role, occurred_at=occurred_at
    )


def tool_call(
    tool: str,
    arguments: Mapping[str, object] | None = None,
    *,
    call_id: str | None = None,
    parent: StepRef | str | None = None,
) -> OpenToolCall:
    """A tool at work in the current episode, as :meth:`EpisodeScope.tool_call`."""
    return episode_here().tool_call(tool, arguments, call_id=call_id, parent=parent)


def model_call(model: str, **options: Unpack[ModelCallOptions]) -> OpenModelCall:
    """A language model at work in the current episode, as :meth:`EpisodeScope.model_call`."""
    return episode_here().model_call(model, **options)


def attach(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    media_type: str | None = None,
    copy: bool = True,
    parent: StepRef | str | None = None,
) -> ArtifactRef:
    """Attach a file to the current episode, as :meth:`EpisodeScope.attach` does."""
    return episode_here().attach(path, name=name, media_type=media_type, copy=copy, parent=parent)


async def aattach(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    media_type: str | None = None,
    copy: bool = True,
    parent: StepRef | str | None = None,
) -> ArtifactRef:
    """Attach a file to the current episode without holding up the event loop."""
    return await episode_here().aattach(path, name=name, media_type=media_type, copy=copy, parent=parent)


def episode(name: str, **options: Unpack[EpisodeOptions]) -> EpisodeScope:
    """An episode of the current provider, as :meth:`ObservabilityProvider.episode`."""
    scope = _known_scope()
    provider = None if scope is None else scope.provider
    return (provider or default_provider()).episode(name, **options)


def episode_here() -> EpisodeScope:
    """The episode that what is logged here goes to; outside any the ambient one, with one warning."""
    scope = context.current.get()
    if scope is not None and scope.episode is not None:
        return scope.episode
    scope = _known_scope()
    if scope is not None and scope.episode is not None:
        return scope.episode
    provider = (None if scope is None else scope.provider) or default_provider()
    ambient, is_new = provider.ambient_episode()
    if is_new:
        logger.warning(
            "%s logs outside any episode; such steps of this process go to the ambient episode %s in %s; "
            "put them inside: with stepstream.episode(...)",
            _caller(),
            ambient.id,
            provider.address,
        )
    return ambient


def _known_scope() -> Scope | None:
    """Where we are; and where nobody said so, what this process was started with."""
    scope = context.current.get()
    if scope is not None and scope.episode is not None:
        return scope
    inherited = inherited_scope()
    if inherited is None or inherited.episode is None:
        return scope
    if scope is None:
        # From here on every step of this thread finds it in the context.
        context.enter(inherited)
        return inherited
    if scope.provider is not None and not scope.provider.is_same_as(inherited.provider):
        return scope
    return inherited._replace(agent=scope.agent or inherited.agent, role=scope.role or inherited.role)


def _caller() -> str:
    """The place in the caller's own code, as file:line."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what the standard library itself calls
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_PACKAGE, "<frozen ")):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "somebody"
