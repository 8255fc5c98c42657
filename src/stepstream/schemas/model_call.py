"""A call of a language model and its reply, with a typed place for all that training needs.

Knows what a model is sent and what it answers (fields after ATIF 1.8, TRL 1.16 and the OpenTelemetry GenAI
message parts). Must not know any provider's wire format.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from stepstream.schemas.artifact import ArtifactRef
from stepstream.schemas.payload import StepPayload
from stepstream.schemas.record import JsonObject, Record


class ChatRole(StrEnum):
    """Who speaks in a conversation with a model."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class TextPart(Record):
    """Plain text."""

    type: Literal["text"] = "text"
    text: str


class ReasoningPart(Record):
    """The model's reasoning; ``signature`` and ``encrypted`` are the provider's own."""

    type: Literal["reasoning"] = "reasoning"
    text: str = ""
    signature: str | None = None
    encrypted: str | None = None


class ToolCallPart(Record):
    """The model asks for a tool; ``unparsed`` holds arguments that were not a JSON object."""

    type: Literal["tool_call"] = "tool_call"
    id: str | None = None
    name: str
    arguments: JsonObject = Field(default_factory=dict)
    unparsed: str | None = None


class ToolResultPart(Record):
    """A tool's answer as the model sees it."""

    type: Literal["tool_result"] = "tool_result"
    id: str | None = None
    result: JsonValue = None
    is_error: bool = False


class FilePart(Record):
    """An image, a sound or a file: by address, or as an artifact."""

    type: Literal["file"] = "file"
    media_type: str
    uri: str | None = None
    artifact: ArtifactRef | None = None


class OtherPart(Record):
    """A provider's own part, kept as it came."""

    type: Literal["other"] = "other"
    name: str
    value: JsonValue = None


Part = Annotated[
    TextPart | ReasoningPart | ToolCallPart | ToolResultPart | FilePart | OtherPart,
    Field(discriminator="type"),
]


class ChatMessage(Record):
    """One message of a conversation.

    Attributes:
        role: Who speaks.
        parts: What is said.
        name: The speaker's name, where roles are not enough.
        copied: It repeats context of another trajectory and must be left out of training.
    """

    role: ChatRole
    parts: tuple[Part, ...]
    name: str | None = None
    copied: bool = False


class ToolDefinition(Record):
    """A tool as it was offered to the model."""

    name: str
    description: str | None = None
    parameters: JsonObject = Field(default_factory=dict)


class Sampling(Record):
    """How tokens were drawn; ``other`` holds a provider's own settings."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tokens_max: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    other: JsonObject = Field(default_factory=dict)


class TokenArray(Record):
    """Token ids or log-probabilities, too bulky for a step: little-endian int32 or float32 in an artifact."""

    count: int = Field(ge=0)
    artifact: ArtifactRef


class ModelIdentity(Record):
    """Exactly which model, so that tokens can be reproduced."""

    revision: str | None = None
    tokenizer_sha256: str | None = None
    chat_template_sha256: str | None = None
    policy_version: str | None = None


class ModelCall(StepPayload, kind="model_call"):
    """A model is asked; a ModelReply or an ErrorReport closes it.

    Attributes:
        model: Its name as it was asked for.
        provider: Who serves it.
        messages: The conversation sent.
        tools: The tools offered.
        sampling: How tokens are drawn.
        rendered_prompt: The exact text after the chat template, when known.
        prompt_tokens: The exact token ids sent, when known.
        identity: Revision, tokenizer, template and policy version.
    """

    model: str
    provider: str | None = None
    messages: tuple[ChatMessage, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    sampling: Sampling | None = None
    rendered_prompt: str | None = None
    prompt_tokens: TokenArray | None = None
    identity: ModelIdentity | None = None


class FinishReason(StrEnum):
    """Why the model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    ERROR = "error"
    OTHER = "other"


class Usage(Record):
    """Tokens as the provider counted them."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class Cost(Record):
    """Money as stated by ``source``; never estimated by stepstream."""

    amount: float = Field(ge=0)
    currency: str = "USD"
    source: str


class ModelReply(StepPayload, kind="model_reply"):
    """What the model answered; it closes its ModelCall.

    Attributes:
        message: The reply, reasoning and tool calls among its parts.
        model: The model that answered, as it names itself.
        response_id: The provider's id of the response.
        finish_reason: Why it stopped.
        provider_finish_reason: The same in the provider's word.
        usage: Tokens.
        cost: Money.
        completion_tokens: The token ids as sampled, when known.
        log_probabilities: The log-probability of each sampled token.
        rendered_completion: The exact text as sampled, special tokens included.
        cancelled: The call was cancelled before it had a reply.
    """

    message: ChatMessage | None = None
    model: str | None = None
    response_id: str | None = None
    finish_reason: FinishReason | None = None
    provider_finish_reason: str | None = None
    usage: Usage | None = None
    cost: Cost | None = None
    completion_tokens: TokenArray | None = None
    log_probabilities: TokenArray | None = None
    rendered_completion: str | None = None
    cancelled: bool = False


def artifacts_of(payload: ModelCall | ModelReply) -> list[ArtifactRef]:
    """The files a model call or its reply refers to: token arrays and parts of messages."""
    arrays: tuple[TokenArray | None, ...]
    if isinstance(payload, ModelCall):
        messages, arrays = payload.messages, (payload.prompt_tokens,)
    else:
        messages = () if payload.message is None else (payload.message,)
        arrays = (payload.completion_tokens, payload.log_probabilities)
    found = [array.artifact for array in arrays if array is not None]
    parts = (part for message in messages for part in message.parts)
    return found + [
        part.artifact for part in parts if isinstance(part, FilePart) and part.artifact is not None
    ]
