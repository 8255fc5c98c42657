"""The core's kinds in one place: which there are, and which of them open something.

Importing this module registers every core kind.
"""

from __future__ import annotations

from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import (
    ArtifactAttached,
    Feedback,
    Handoff,
    Intervention,
    LogLine,
    Loss,
    Message,
    Observation,
    PlanUpdate,
    StatusChange,
    Thought,
    ToolCall,
)
from stepstream.schemas.model_call import ModelCall, ModelReply
from stepstream.schemas.payload import StepPayload

CORE_KINDS: dict[str, type[StepPayload]] = {
    cls.kind: cls
    for cls in (
        ArtifactAttached,
        ErrorReport,
        Feedback,
        Handoff,
        Intervention,
        LogLine,
        Loss,
        Message,
        ModelCall,
        ModelReply,
        Observation,
        PlanUpdate,
        StatusChange,
        Thought,
        ToolCall,
    )
}

OPENING_KINDS = frozenset({ModelCall.kind, ToolCall.kind})
"""Kinds that take time: running until another step closes them."""
