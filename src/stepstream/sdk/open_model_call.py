"""A language model at work: what it is asked, what it answers, and all that training needs of both.

Knows the typed places and what to do with what does not fit them. Must not know any provider's client.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from pydantic import BaseModel

from stepstream.errors import ValidationFailed
from stepstream.schemas.identity import NO_ID
from stepstream.schemas.kinds import ArtifactAttached, LogLevel, LogLine
from stepstream.schemas.model_call import (
    ChatMessage,
    ChatRole,
    Cost,
    FinishReason,
    ModelCall,
    ModelIdentity,
    ModelReply,
    OtherPart,
    Part,
    ReasoningPart,
    Sampling,
    TextPart,
    TokenArray,
    ToolDefinition,
    Usage,
)
from stepstream.schemas.record import printable, short_repr
from stepstream.sdk import failures
from stepstream.sdk.chat import chat_message, finish_reason_of, shortened, tool_definition
from stepstream.sdk.json_value import convert
from stepstream.sdk.open_call import OpenCall

if TYPE_CHECKING:
    from stepstream.schemas.payload import StepPayload
    from stepstream.schemas.record import JsonValue
    from stepstream.schemas.step import StepRef
    from stepstream.sdk.episode_scope import EpisodeScope

_Payload = TypeVar("_Payload", ModelCall, ModelReply)

_TOKENS = "application/vnd.stepstream.int32"
_FLOATS = "application/vnd.stepstream.float32"
# A message is read whole, and what is too long for a step gives way part by part.
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
_LONG_TEXTS = ("rendered_prompt", "rendered_completion")


OfferedTool = ToolDefinition | Mapping[str, object] | Callable[..., object]
"""A tool as it may be given: our model, the JSON that clients write, or the function."""


class Question(NamedTuple):
    """What a model is asked, as the caller gave it."""

    model: str
    provider: str | None
    messages: Sequence[ChatMessage | Mapping[str, object]]
    tools: Sequence[OfferedTool]
    sampling: Sampling | None
    rendered_prompt: str | None
    prompt_token_ids: Iterable[int] | None
    identity: ModelIdentity | None


class OpenModelCall(OpenCall):
    """A model at work; a ModelReply or an ErrorReport closes it."""

    _made = "content"

    def __init__(self, episode: EpisodeScope, question: Question, parent: bytes | None) -> None:
        super().__init__(episode, parent)
        self._question = question

    def reply(
        self,
        message: ChatMessage | Mapping[str, object] | str | None = None,
        *,
        reasoning: str | None = None,
        model: str | None = None,
        response_id: str | None = None,
        finish_reason: FinishReason | str | None = None,
        usage: Usage | None = None,
        cost: Cost | None = None,
        completion_token_ids: Iterable[int] | None = None,
        log_probabilities: Iterable[float] | None = None,
        rendered_completion: str | None = None,
    ) -> StepRef:
        """Close the call with what the model answered.

        Args:
            message: The reply: text, a ChatMessage, or a message in chat JSON.
            reasoning: The model's reasoning, where it is not in the message.
            model: The model that answered, as it names itself.
            response_id: The provider's id of the response.
            finish_reason: Why it stopped, in our word or the provider's.
            usage: Tokens as the provider counted them.
            cost: Money.
            completion_token_ids: The tokens as they were sampled.
            log_probabilities: One for each of them.
            rendered_completion: The exact text as sampled, special tokens included.

        Raises:
            NotOpen: The call has been answered.
        """
        self._claim("reply")
        given: dict[str, object] = {
            "model": model,
            "response_id": response_id,
            "usage": usage,
            "cost": cost,
            "rendered_completion": rendered_completion,
        }
        return self._watch(
            "a model's reply",
            lambda: self._reply(
                given, message, reasoning, finish_reason, completion_token_ids, log_probabilities
            ),
        )

    def _reply(
        self,
        fields: dict[str, object],
        message: ChatMessage | Mapping[str, object] | str | None,
        reasoning: str | None,
        finish_reason: FinishReason | str | None,
        token_ids: Iterable[int] | None,
        log_probabilities: Iterable[float] | None,
    ) -> StepRef:
        fields["message"] = self._answer_message(message, reasoning)
        if isinstance(finish_reason, FinishReason):
            fields["finish_reason"] = finish_reason
        elif finish_reason is not None:
            fields["finish_reason"] = finish_reason_of(str(finish_reason))
            fields["provider_finish_reason"] = printable(str(finish_reason))
        fields["completion_tokens"] = self._array("completion_tokens", "i", token_ids)
        fields["log_probabilities"] = self._array("log_probabilities", "f", log_probabilities)
        return self._write(ModelReply, fields, self.ref.raw, closes=True)

    def _open(self, parent: bytes) -> StepRef:
        question = self._question
        fields: dict[str, object] = {
            **question._asdict(),
            "messages": tuple(map(self._message, question.messages)),
            "tools": tuple(map(self._tool, question.tools)),
            "prompt_tokens": self._array("prompt_tokens", "i", question.prompt_token_ids),
        }
        del fields["prompt_token_ids"]
        model: object = question.model
        fields["model"] = model if isinstance(model, str) else short_repr(model)
        return self._write(ModelCall, fields, parent, closes=False)

    def _empty_answer(self, *, cancelled: bool) -> StepPayload:
        return ModelReply(cancelled=cancelled)

    def _write(
        self, cls: type[_Payload], fields: dict[str, object], parent: bytes, *, closes: bool
    ) -> StepRef:
        """Write what fits; what does not is left out and told beside it, what is too long becomes files."""
        make = cast("Callable[..., _Payload]", cls)
        unfit: ValidationFailed | None = None
        try:
            payload = make(**fields)
        except ValidationFailed as error:
            unfit = error
            wrong = {problem.field.partition(".")[0] for problem in error.problems}
            payload = make(**{name: value for name, value in fields.items() if name not in wrong})
        write = self._episode.write
        closed = NO_ID
        if closes:
            closed = self.ref.raw
            self._episode.open_calls.pop(closed, None)
        long_texts: dict[str, str] = {}
        if len(payload.encoded()) > self._episode.provider.settings.step_bytes_max:
            payload, long_texts = self._in_short(cls, payload)
        step = write(payload, parent, closed, self._agent, self._role)
        for name, text in long_texts.items():
            kept = self._episode.provider.keep(text.encode(), f"{name}.txt", "text/plain; charset=utf-8")
            if kept is not None:
                write(ArtifactAttached(artifact=kept), step.raw, NO_ID, self._agent, self._role)
        if unfit is not None:
            line = LogLine(level=LogLevel.WARNING, logger="stepstream", text=str(unfit))
            write(line, step.raw, NO_ID, self._agent, self._role)
            failures.note("a part of a model call", unfit, strict=self._episode.provider.settings.strict)
        return step

    def _in_short(self, cls: type[_Payload], payload: _Payload) -> tuple[_Payload, dict[str, str]]:
        provider = self._episode.provider
        size_max = max(1024, provider.settings.step_bytes_max // 64)
        fields = {name: getattr(payload, name) for name in cls.model_fields}
        long_texts = {
            name: fields.pop(name) for name in _LONG_TEXTS if len(fields.get(name) or "") > size_max
        }
        if isinstance(payload, ModelCall):
            fields["messages"] = tuple(shortened(each, provider.keep, size_max) for each in payload.messages)
        elif payload.message is not None:
            fields["message"] = shortened(payload.message, provider.keep, size_max)
        return cast("Callable[..., _Payload]", cls)(**fields), long_texts

    def _answer_message(
        self, message: ChatMessage | Mapping[str, object] | str | None, reasoning: str | None
    ) -> ChatMessage | None:
        parts: tuple[Part, ...] = ()
        if reasoning is not None:
            parts = (ReasoningPart(text=printable(str(reasoning))),)
        if isinstance(message, str):
            return ChatMessage(role=ChatRole.ASSISTANT, parts=(*parts, self._text_part(message)))
        if message is None:
            return ChatMessage(role=ChatRole.ASSISTANT, parts=parts) if parts else None
        read = self._message({"role": "assistant", **message} if isinstance(message, Mapping) else message)
        return ChatMessage(role=read.role, parts=(*parts, *read.parts), name=read.name, copied=read.copied)

    def _message(self, message: object) -> ChatMessage:
        """A message of any form; what JSON cannot hold is told in its place."""
        try:
            if isinstance(message, str):
                message = ChatMessage(role=ChatRole.USER, parts=(TextPart(text=message),))
            read = message if isinstance(message, ChatMessage) else chat_message(message)  # type: ignore[arg-type]
            read.model_dump_json()
        except Exception:  # noqa: BLE001 - foreign types; the long way tells what is wrong where
            failures.count("messages that were not plain JSON")
            return self._converted(message)
        return read

    def _converted(self, message: object) -> ChatMessage:
        if isinstance(message, ChatMessage):
            parts = tuple(map(self._part, message.parts))
            return ChatMessage(role=message.role, parts=parts, name=message.name, copied=message.copied)
        json = self._json(message)
        if isinstance(json, dict) and isinstance(message, Mapping | BaseModel):
            return chat_message(json)
        return ChatMessage(role=ChatRole.USER, parts=(OtherPart(name=type(message).__name__, value=json),))

    def _part(self, part: Part) -> Part:
        json = self._json(part)
        return OtherPart(name=part.type, value=json) if json != part.model_dump() else part

    def _text_part(self, text: str) -> Part:
        json = self._json(text)
        return TextPart(text=json) if isinstance(json, str) else OtherPart(name="text", value=json)

    def _tool(self, tool: object) -> ToolDefinition:
        if isinstance(tool, ToolDefinition):
            return tool
        if callable(tool):
            return self._function(tool)
        json = self._json(tool)
        if isinstance(json, dict) and isinstance(tool, Mapping | BaseModel):
            return tool_definition(json)
        return ToolDefinition(name=short_repr(tool))

    def _function(self, function: Callable[..., object]) -> ToolDefinition:
        """A function that is offered as it is; @tool has looked at its signature."""
        from stepstream.sdk.tool_signature import ToolSignature, signature_of  # noqa: PLC0415 - few offer functions

        return (signature_of(function) or ToolSignature(function, None, ())).definition

    def _json(self, value: object) -> JsonValue:
        provider = self._episode.provider
        converted = convert(value, "message", provider.keep, _MESSAGE_BYTES_MAX)
        provider.note_unstorable("model_call", converted)
        return converted.value

    def _array(self, name: str, typecode: str, values: Iterable[float] | None) -> TokenArray | None:
        """Numbers by the thousand go into a file; None where they are not what they should be."""
        if values is None:
            return None
        provider = self._episode.provider
        try:
            numbers = array(typecode, getattr(values, "tolist", lambda: values)())
        except (TypeError, ValueError, OverflowError) as error:
            failures.note(name, error, strict=provider.settings.strict)
            return None
        if sys.byteorder == "big":
            numbers.byteswap()
        media_type, suffix = (_TOKENS, "int32") if typecode == "i" else (_FLOATS, "float32")
        kept = provider.keep(numbers.tobytes(), f"{name}.{suffix}", media_type)
        return None if kept is None else TokenArray(count=len(numbers), artifact=kept)
