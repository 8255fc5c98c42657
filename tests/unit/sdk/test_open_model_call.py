"""A model call keeps all that training needs, in typed places, from whatever a client hands over."""

from __future__ import annotations

import array
import base64
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from stepstream import (
    ChatMessage,
    ChatRole,
    Cost,
    ErrorReport,
    FilePart,
    FinishReason,
    JsonObject,
    ModelCall,
    ModelIdentity,
    ModelReply,
    NotOpen,
    ObservabilityProvider,
    OtherPart,
    ReasoningPart,
    Sampling,
    TextPart,
    Thought,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
    Usage,
    ValidationFailed,
    log_event,
    model_call,
    tool,
)
from stepstream.sdk.chat import chat_message, finish_reason_of, tool_definition
from stepstream.testing.spool_steps import LoggedStep

Logged = Callable[[], list[LoggedStep]]

PIXEL = base64.b64encode(b"\x89PNG" + bytes(100)).decode()


def _asked(steps: list[LoggedStep]) -> ModelCall:
    return next(step.payload for step in steps if isinstance(step.payload, ModelCall))


def _answered(steps: list[LoggedStep]) -> ModelReply:
    return next(step.payload for step in steps if isinstance(step.payload, ModelReply))


def _stored(database: Path, sha256: str) -> bytes:
    return (database.with_name("history.db-artifacts") / sha256[:2] / sha256[2:]).read_bytes()


def test_everything_has_its_place(provider: ObservabilityProvider, logged: Logged, database: Path) -> None:
    """What was asked and what was answered, tokens and log-probabilities included, is kept field by field."""
    question = ChatMessage(role=ChatRole.USER, parts=(TextPart(text="Hold 50 kg?"),), copied=True)
    with (
        provider.episode("test"),
        model_call(
            "small",
            provider="local",
            messages=[question],
            tools=[ToolDefinition(name="simulate")],
            sampling=Sampling(temperature=0.5, seed=7),
            rendered_prompt="<|user|>Hold 50 kg?",
            prompt_token_ids=[1, 2, 300_000],
            identity=ModelIdentity(revision="abc", policy_version="7"),
        ) as call,
    ):
        log_event(Thought(text="while it runs"))
        call.reply(
            "Yes.",
            reasoning="Steel is strong.",
            model="small-2026",
            response_id="r1",
            finish_reason="end_turn",
            usage=Usage(input_tokens=3, output_tokens=2),
            cost=Cost(amount=0.01, source="provider"),
            completion_token_ids=np.array([5, 6]),
            log_probabilities=[-0.5, -math.inf],
            rendered_completion="Yes.<|end|>",
        )

    asked, answered = _asked(logged()), _answered(logged())
    assert asked.prompt_tokens is not None
    assert asked == ModelCall(
        model="small",
        provider="local",
        messages=(question,),
        tools=(ToolDefinition(name="simulate"),),
        sampling=Sampling(temperature=0.5, seed=7),
        rendered_prompt="<|user|>Hold 50 kg?",
        prompt_tokens=asked.prompt_tokens,
        identity=ModelIdentity(revision="abc", policy_version="7"),
    )
    assert asked.prompt_tokens.count == 3
    assert (
        _stored(database, asked.prompt_tokens.artifact.sha256) == array.array("i", [1, 2, 300_000]).tobytes()
    )
    assert answered.completion_tokens is not None
    assert _stored(database, answered.completion_tokens.artifact.sha256) == array.array("i", [5, 6]).tobytes()
    assert answered.log_probabilities is not None
    assert (
        _stored(database, answered.log_probabilities.artifact.sha256)
        == array.array("f", [-0.5, -math.inf]).tobytes()
    )
    assert answered.message == ChatMessage(
        role=ChatRole.ASSISTANT, parts=(ReasoningPart(text="Steel is strong."), TextPart(text="Yes."))
    )
    assert (answered.finish_reason, answered.provider_finish_reason) == (FinishReason.STOP, "end_turn")
    assert (answered.cost, answered.usage) == (
        Cost(amount=0.01, source="provider"),
        Usage(input_tokens=3, output_tokens=2),
    )
    step = next(step for step in logged() if step.kind == "model_reply")
    thought = next(step for step in logged() if step.kind == "thought")
    assert step.closes == thought.parent_id == call.id


def test_a_model_call_ends_as_its_block_ends(provider: ObservabilityProvider, logged: Logged) -> None:
    """Empty reply, error or cancellation close it, and a second reply is refused."""
    with provider.episode("test"):
        with model_call("m"):
            pass
        with pytest.raises(ValueError, match="overloaded"), model_call("m"):
            raise ValueError("overloaded")
        with pytest.raises(KeyboardInterrupt), model_call("m"):
            raise KeyboardInterrupt
        with model_call("m") as call:
            call.reply("yes")
            with pytest.raises(NotOpen, match="reply"):
                call.reply("no")

    closing = [step.payload for step in logged() if step.closes]
    assert closing[0] == ModelReply()
    assert isinstance(closing[1], ErrorReport)
    assert closing[2] == ModelReply(cancelled=True)
    assert len(closing) == 4


class ClientMessage(BaseModel):
    """A message object of a provider's client."""

    role: str = "assistant"
    content: str | None = None
    tool_calls: list[dict[str, object]] = []


def test_clients_messages_are_read_as_they_are(provider: ObservabilityProvider, logged: Logged) -> None:
    """Chat JSON, client objects and plain functions need no conversion by the caller."""

    @tool
    def simulate(thickness_mm: float) -> float:
        """Simulate."""
        return thickness_mm

    asked_for = {"id": "c1", "function": {"name": "simulate", "arguments": '{"thickness_mm": 4}'}}
    with (
        provider.episode("test"),
        model_call(
            "m",
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Go"}],
            tools=[simulate],
        ) as call,
    ):
        call.reply(ClientMessage(tool_calls=[asked_for]))  # type: ignore[arg-type]

    asked, answered = _asked(logged()), _answered(logged())
    assert [message.role for message in asked.messages] == [ChatRole.SYSTEM, ChatRole.USER]
    assert asked.tools[0].name == "simulate"
    assert asked.tools[0].parameters["required"] == ["thickness_mm"]
    assert answered.message is not None
    assert answered.message.parts == (ToolCallPart(id="c1", name="simulate", arguments={"thickness_mm": 4}),)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": "hi"}, (TextPart(text="hi"),)),
        (
            {"role": "user", "content": ["hi", {"type": "text", "text": "there"}]},
            (TextPart(text="hi"), TextPart(text="there")),
        ),
        ({"role": "tool", "tool_call_id": "c1", "content": "4.0"}, (ToolResultPart(id="c1", result="4.0"),)),
        (
            {"role": "assistant", "reasoning_content": "hm", "content": None},
            (ReasoningPart(text="hm"),),
        ),
        (
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{broken"}}],
            },
            (ToolCallPart(id="c", name="f", unparsed="{broken"),),
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
            (ReasoningPart(text="hm", signature="s"),),
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
            },
            (ToolCallPart(id="t", name="f", arguments={"a": 1}),),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}],
            },
            (ToolResultPart(id="t", result="no", is_error=True),),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}],
            },
            (FilePart(media_type="image/png", uri=f"data:image/png;base64,{PIXEL}"),),
        ),
        (
            {"role": "user", "content": [{"type": "hologram", "x": 1}]},
            (OtherPart(name="hologram", value={"type": "hologram", "x": 1}),),
        ),
        ({"role": "user", "content": [17]}, (OtherPart(name="part", value=17),)),
        ({"role": "user", "content": {"a": 1}}, (OtherPart(name="content", value={"a": 1}),)),
        ({"role": "assistant", "tool_calls": ["odd"]}, (OtherPart(name="tool_call", value="odd"),)),
        ({}, ()),
    ],
    ids=range(14),
)
def test_chat_json_is_read_into_parts(message: JsonObject, expected: tuple[object, ...]) -> None:
    """The forms of the large providers have typed parts; whatever else comes is kept as it is."""
    assert chat_message(message).parts == expected


def test_tools_of_all_forms_are_read() -> None:
    """OpenAI, Anthropic and MCP write the schema of a tool under three names."""
    schema: JsonObject = {"type": "object"}
    for offered in (
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}},
        {"name": "f", "description": "d", "input_schema": schema},
        {"name": "f", "description": "d", "inputSchema": schema},
    ):
        assert tool_definition(offered) == ToolDefinition(name="f", description="d", parameters=schema)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("because", "other"),
    ],
)
def test_reasons_to_stop_have_our_words(text: str, reason: str) -> None:
    """A provider's reason becomes one of ours; its own word is kept beside."""
    assert finish_reason_of(text) == reason


def test_what_does_not_fit_is_left_out_and_told(provider: ObservabilityProvider, logged: Logged) -> None:
    """Wrong types raise nothing: the rest is recorded, and a line under the call says what is missing."""
    with (
        provider.episode("test"),
        model_call(
            17,  # type: ignore[arg-type]
            messages=["text", object(), {"role": "user", "content": math.nan}],  # type: ignore[list-item]
            sampling={"temperature": "hot"},  # type: ignore[arg-type]
            prompt_token_ids=["a"],  # type: ignore[list-item]
        ) as call,
    ):
        call.reply("broken \ud800", usage="many", finish_reason=3)  # type: ignore[arg-type]

    asked, answered = _asked(logged()), _answered(logged())
    assert (asked.model, asked.sampling, asked.prompt_tokens) == ("17", None, None)
    assert asked.messages[0].parts == (TextPart(text="text"),)
    assert len(asked.messages) == 3
    assert answered.usage is None
    assert answered.finish_reason is FinishReason.OTHER
    told = [step for step in logged() if step.kind == "log_line"]
    assert [step.parent_id for step in told] == [
        call.id,
        next(step.id for step in logged() if step.kind == "model_reply"),
    ]
    assert "sampling" in told[0].payload.text  # type: ignore[attr-defined]


def test_strict_watching_raises(database: Path) -> None:
    """In a test suite a model call that does not fit is an error."""
    with (
        ObservabilityProvider(database, committer="none", strict=True) as provider,
        provider.episode("test"),
        pytest.raises(ValidationFailed, match="sampling"),
        model_call("m", sampling={"temperature": "hot"}),  # type: ignore[arg-type]
    ):
        pass


def test_a_conversation_that_is_too_long_becomes_files(database: Path, logged: Logged) -> None:
    """Long texts, images and results are kept as artifacts; what is short stays where it is."""
    long = "x" * 30_000
    image = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(bytes(30_000)).decode()},
    }
    with (
        ObservabilityProvider(database, committer="none", step_bytes_max=64 * 1024) as provider,
        provider.episode("test"),
        model_call(
            "m",
            messages=[
                {"role": "user", "content": [long, image, "short"]},
                {"role": "tool", "tool_call_id": "c", "content": long},
            ],
            rendered_prompt=long,
        ) as call,
    ):
        call.reply(long * 3)

    text, picture, short = _asked(logged()).messages[0].parts
    assert isinstance(text, FilePart)
    assert text.artifact is not None
    assert _stored(database, text.artifact.sha256) == long.encode()
    assert isinstance(picture, FilePart)
    assert picture.artifact is not None
    assert (picture.media_type, picture.artifact.size_bytes) == ("image/png", 30_000)
    assert short == TextPart(text="short")
    (result,) = _asked(logged()).messages[1].parts
    assert isinstance(result, ToolResultPart)
    assert result.id == "c"
    attached = [step for step in logged() if step.kind == "artifact_attached"]
    assert [step.payload.artifact.name for step in attached] == ["rendered_prompt.txt"]  # type: ignore[attr-defined]
    answered = _answered(logged()).message
    assert answered is not None
    assert isinstance(answered.parts[0], FilePart)
