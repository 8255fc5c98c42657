"""stepstream: the flight recorder for AI agents.

Names are imported when they are first asked for: a command line that prints its version does not pay for the
SDK, nor an agent that only logs for SQLite.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepstream.errors import (
        AccessDenied,
        ArtifactRefused,
        Busy,
        ConfigurationInvalid,
        Corrupt,
        EpisodeNotFound,
        FilterInvalid,
        Full,
        KindConflict,
        MissingExtra,
        NotADatabase,
        NotOpen,
        SchemaTooNew,
        StepstreamError,
        StoreError,
        Unreachable,
        UnsafeLocation,
        ValidationFailed,
    )
    from stepstream.reading.history import History
    from stepstream.schemas.artifact import ArtifactRef
    from stepstream.schemas.episode import (
        CodeVersion,
        DataUse,
        Ending,
        Episode,
        Status,
    )
    from stepstream.schemas.error_report import ErrorReport
    from stepstream.schemas.event import Event, Reset, StepRecorded
    from stepstream.schemas.kinds import (
        ArtifactAttached,
        Feedback,
        Handoff,
        Intervention,
        InterventionKind,
        LogLevel,
        LogLine,
        Loss,
        Message,
        Observation,
        PlanItem,
        PlanStatus,
        PlanUpdate,
        StatusChange,
        Thought,
        ToolCall,
        Unstorable,
    )
    from stepstream.schemas.model_call import (
        ChatMessage,
        ChatRole,
        Cost,
        FilePart,
        FinishReason,
        ModelCall,
        ModelIdentity,
        ModelReply,
        OtherPart,
        ReasoningPart,
        Sampling,
        TextPart,
        TokenArray,
        ToolCallPart,
        ToolDefinition,
        ToolResultPart,
        Usage,
    )
    from stepstream.schemas.payload import StepPayload, UnknownPayload, upcast
    from stepstream.schemas.record import JsonObject, JsonValue
    from stepstream.schemas.step import Step, StepRef
    from stepstream.schemas.stream import DeltaPart
    from stepstream.sdk.agent import agent
    from stepstream.sdk.crossing import (
        attach_context,
        child_env,
        context_token,
        propagate,
    )
    from stepstream.sdk.current import (
        aattach,
        attach,
        current_episode,
        episode,
        log_event,
        model_call,
        tool_call,
    )
    from stepstream.sdk.episode_scope import EpisodeScope
    from stepstream.sdk.logs import StepHandler, logger, structlog_processor
    from stepstream.sdk.provider import ObservabilityProvider
    from stepstream.sdk.tool import tool
    from stepstream.settings import CommitterMode, Durability, Settings

__all__ = [
    "AccessDenied",
    "ArtifactAttached",
    "ArtifactRef",
    "ArtifactRefused",
    "Busy",
    "ChatMessage",
    "ChatRole",
    "CodeVersion",
    "CommitterMode",
    "ConfigurationInvalid",
    "Corrupt",
    "Cost",
    "DataUse",
    "DeltaPart",
    "Durability",
    "Ending",
    "Episode",
    "EpisodeNotFound",
    "EpisodeScope",
    "ErrorReport",
    "Event",
    "Feedback",
    "FilePart",
    "FilterInvalid",
    "FinishReason",
    "Full",
    "Handoff",
    "History",
    "Intervention",
    "InterventionKind",
    "JsonObject",
    "JsonValue",
    "KindConflict",
    "LogLevel",
    "LogLine",
    "Loss",
    "Message",
    "MissingExtra",
    "ModelCall",
    "ModelIdentity",
    "ModelReply",
    "NotADatabase",
    "NotOpen",
    "ObservabilityProvider",
    "Observation",
    "OtherPart",
    "PlanItem",
    "PlanStatus",
    "PlanUpdate",
    "ReasoningPart",
    "Reset",
    "Sampling",
    "SchemaTooNew",
    "Settings",
    "Status",
    "StatusChange",
    "Step",
    "StepHandler",
    "StepPayload",
    "StepRecorded",
    "StepRef",
    "StepstreamError",
    "StoreError",
    "TextPart",
    "Thought",
    "TokenArray",
    "ToolCall",
    "ToolCallPart",
    "ToolDefinition",
    "ToolResultPart",
    "UnknownPayload",
    "Unreachable",
    "UnsafeLocation",
    "Unstorable",
    "Usage",
    "ValidationFailed",
    "aattach",
    "agent",
    "attach",
    "attach_context",
    "child_env",
    "context_token",
    "current_episode",
    "episode",
    "log_event",
    "logger",
    "model_call",
    "propagate",
    "structlog_processor",
    "tool",
    "tool_call",
    "upcast",
]

_NAMES_OF = {
    "stepstream.errors": (
        "AccessDenied",
        "ArtifactRefused",
        "Busy",
        "ConfigurationInvalid",
        "Corrupt",
        "EpisodeNotFound",
        "FilterInvalid",
        "Full",
        "KindConflict",
        "MissingExtra",
        "NotADatabase",
        "NotOpen",
        "SchemaTooNew",
        "StepstreamError",
        "StoreError",
        "Unreachable",
        "UnsafeLocation",
        "ValidationFailed",
    ),
    "stepstream.reading.history": ("History",),
    "stepstream.schemas.artifact": ("ArtifactRef",),
    "stepstream.schemas.episode": (
        "CodeVersion",
        "DataUse",
        "Ending",
        "Episode",
        "Status",
    ),
    "stepstream.schemas.error_report": ("ErrorReport",),
    "stepstream.schemas.event": (
        "Event",
        "Reset",
        "StepRecorded",
    ),
    "stepstream.schemas.kinds": (
        "ArtifactAttached",
        "Feedback",
        "Handoff",
        "Intervention",
        "InterventionKind",
        "LogLevel",
        "LogLine",
        "Loss",
        "Message",
        "Observation",
        "PlanItem",
        "PlanStatus",
        "PlanUpdate",
        "StatusChange",
        "Thought",
        "ToolCall",
        "Unstorable",
    ),
    "stepstream.schemas.model_call": (
        "ChatMessage",
        "ChatRole",
        "Cost",
        "FilePart",
        "FinishReason",
        "ModelCall",
        "ModelIdentity",
        "ModelReply",
        "OtherPart",
        "ReasoningPart",
        "Sampling",
        "TextPart",
        "TokenArray",
        "ToolCallPart",
        "ToolDefinition",
        "ToolResultPart",
        "Usage",
    ),
    "stepstream.schemas.payload": (
        "StepPayload",
        "UnknownPayload",
        "upcast",
    ),
    "stepstream.schemas.record": (
        "JsonObject",
        "JsonValue",
    ),
    "stepstream.schemas.step": (
        "Step",
        "StepRef",
    ),
    "stepstream.schemas.stream": ("DeltaPart",),
    "stepstream.sdk.agent": ("agent",),
    "stepstream.sdk.crossing": (
        "attach_context",
        "child_env",
        "context_token",
        "propagate",
    ),
    "stepstream.sdk.current": (
        "aattach",
        "attach",
        "current_episode",
        "episode",
        "log_event",
        "model_call",
        "tool_call",
    ),
    "stepstream.sdk.episode_scope": ("EpisodeScope",),
    "stepstream.sdk.logs": (
        "StepHandler",
        "logger",
        "structlog_processor",
    ),
    "stepstream.sdk.provider": ("ObservabilityProvider",),
    "stepstream.sdk.tool": ("tool",),
    "stepstream.settings": (
        "CommitterMode",
        "Durability",
        "Settings",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
