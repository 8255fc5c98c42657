"""A conversation with a model as providers and their clients write it, read into our own typed parts.

Knows the chat JSON that OpenAI began and the others resemble. What it does not recognise is kept whole as an
OtherPart.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

from pydantic_core import from_json

from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    FilePart,
    FinishReason,
    OtherPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)
from stepstream.schemas.record import JsonObject, JsonValue
from stepstream.sdk.json_value import convert

if TYPE_CHECKING:
    from stepstream.sdk.json_value import Keep

_ROLES = {
    "model": ChatRole.ASSISTANT,
    "human": ChatRole.USER,
    "ai": ChatRole.ASSISTANT,
    "function": ChatRole.TOOL,
}
_ROLES |= {role.value: role for role in ChatRole}

_FINISH_REASONS = {
    "end_turn": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "function_call": FinishReason.TOOL_CALLS,
    "max_output_tokens": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "safety": FinishReason.CONTENT_FILTER,
    "stop_sequence": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
} | {reason.value: reason for reason in FinishReason}


def chat_message(message: JsonObject) -> ChatMessage:
    """A message in chat JSON: role, content as text or parts, tool calls, tool results, reasoning."""
    role = _ROLES.get(str(message.get("role")), ChatRole.USER)
    parts: list[Part] = []
    for key in ("reasoning_content", "reasoning"):
        reasoning = message.get(key)
        if isinstance(reasoning, str) and reasoning:
            parts.append(ReasoningPart(text=reasoning))
    content = message.get("content")
    if role is ChatRole.TOOL:
        parts.append(ToolResultPart(id=_text(message.get("tool_call_id")), result=content))
    elif isinstance(content, str):
        parts.append(TextPart(text=content))
    elif isinstance(content, list):
        parts += map(_part, content)
    elif content is not None:
        parts.append(OtherPart(name="content", value=content))
    calls = message.get("tool_calls")
    parts += map(_tool_call, calls if isinstance(calls, list) else [])
    return ChatMessage(role=role, parts=tuple(parts), name=_text(message.get("name")))


def tool_definition(tool: JsonObject) -> ToolDefinition:
    """A tool as it is offered to a model, in the form of OpenAI, of Anthropic or of MCP."""
    function = tool.get("function")
    offered = function if isinstance(function, dict) else tool
    parameters = next(
        (
            offered[key]
            for key in ("parameters", "input_schema", "inputSchema")
            if isinstance(offered.get(key), dict)
        ),
        None,
    )
    return ToolDefinition(
        name=str(offered.get("name", "")),
        description=_text(offered.get("description")),
        parameters=parameters if isinstance(parameters, dict) else {},
    )


def finish_reason_of(text: str) -> FinishReason:
    """Our word for a provider's reason to stop."""
    return _FINISH_REASONS.get(text.lower(), FinishReason.OTHER)


def shortened(message: ChatMessage, keep: Keep, bytes_max: int) -> ChatMessage:
    """The message with whatever is longer than a size kept as files."""
    parts = tuple(_shortened(part, keep, bytes_max) for part in message.parts)
    return ChatMessage(role=message.role, parts=parts, name=message.name, copied=message.copied)


def _shortened(part: Part, keep: Keep, bytes_max: int) -> Part:
    if len(part.model_dump_json()) <= bytes_max:
        return part
    match part:
        case TextPart(text=text) | ReasoningPart(text=text):
            return _as_file(part.type, text.encode(), "text/plain; charset=utf-8", keep)
        case FilePart(uri=str(address)) if ";base64," in address[:200]:
            return _as_file(part.type, b64decode(address.partition(",")[2]), part.media_type, keep)
        case ToolResultPart():
            result = convert(part.result, "tool_result", keep, bytes_max).value
            return ToolResultPart(id=part.id, result=result, is_error=part.is_error)
        case _:
            return _as_file(part.type, part.model_dump_json().encode(), "application/json", keep)


def _as_file(kind: str, data: bytes, media_type: str, keep: Keep) -> Part:
    artifact = keep(data, kind, media_type)
    if artifact is None:
        return OtherPart(name="left_out", value=f"{kind} of {len(data)} bytes, too long for a step")
    return FilePart(media_type=media_type, artifact=artifact)


def _part(part: JsonValue) -> Part:  # noqa: PLR0911 - one for each kind of part
    if isinstance(part, str):
        return TextPart(text=part)
    if not isinstance(part, dict):
        return OtherPart(name="part", value=part)
    kind = part.get("type")
    text = part.get("text")
    if kind in {"text", "input_text", "output_text"} and isinstance(text, str):
        return TextPart(text=text)
    thinking = part.get("thinking")
    if kind == "thinking" and isinstance(thinking, str):
        return ReasoningPart(text=thinking, signature=_text(part.get("signature")))
    if kind == "tool_use":
        return _tool_call({"id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")})
    if kind == "tool_result":
        return ToolResultPart(
            id=_text(part.get("tool_use_id")),
            result=part.get("content"),
            is_error=part.get("is_error") is True,
        )
    image = part.get("image_url")
    address = image.get("url") if isinstance(image, dict) else image
    if kind in {"image_url", "input_image"} and isinstance(address, str):
        return FilePart(media_type=_media_type(address), uri=address)
    return OtherPart(name=str(kind), value=part)


def _tool_call(call: JsonValue) -> Part:
    if not isinstance(call, dict):
        return OtherPart(name="tool_call", value=call)
    function = call.get("function")
    asked = function if isinstance(function, dict) else call
    arguments = asked.get("arguments")
    unparsed = None
    if isinstance(arguments, str):
        unparsed = arguments
        try:
            arguments = from_json(arguments, allow_inf_nan=False)
        except ValueError:
            arguments = None
    name = _text(asked.get("name")) or ""
    if isinstance(arguments, dict):
        return ToolCallPart(id=_text(call.get("id")), name=name, arguments=arguments)
    return ToolCallPart(id=_text(call.get("id")), name=name, unparsed=unparsed)


def _media_type(address: str) -> str:
    if address.startswith("data:"):
        return address[5:].partition(",")[0].partition(";")[0] or "application/octet-stream"
    return "image/*"


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None
