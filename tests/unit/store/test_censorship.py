"""Redaction keeps payloads valid, or keeps nothing."""

import re

from stepstream.schemas.episode import EpisodeStart, Status
from stepstream.schemas.kinds import LogLevel, LogLine, StatusChange
from stepstream.schemas.model_call import ChatMessage, ChatRole, ModelCall, TextPart
from stepstream.schemas.payload import StepPayload, decode_payload
from stepstream.store.censorship import censor
from stepstream.store.redaction import Redactor
from stepstream.store.secret_rules import DEFAULT_RULES, SecretPattern
from stepstream.store.validation import Validation

SALT = bytes(range(16))


def censored(payload: StepPayload, redactor: Redactor) -> StepPayload:
    """The payload as it would be stored."""
    redaction = censor(redactor, Validation({}), payload.kind, payload.schema_version, payload.encoded())
    assert redaction is not None
    return decode_payload(payload.kind, payload.schema_version, redaction.payload)


def test_a_rule_that_names_a_status_leaves_the_status() -> None:
    """What may only be one of a few words is put back when a rule hits it."""
    redactor = Redactor(SALT, DEFAULT_RULES.extended(names=["status"]))
    change = StatusChange(status=Status.RUNNING, start=EpisodeStart(name="bracket"))
    assert censored(change, redactor) == change


def test_a_rule_that_raises_withholds_text_and_leaves_the_rest() -> None:
    """When a project's rule fails, words are withheld while roles and levels stay."""

    def fail(_: re.Match[str]) -> bool:
        raise RuntimeError("a rule of the project's")

    pattern = SecretPattern(
        kind="own", regex=re.compile("internal-[0-9]+"), literals=("internal-",), accepts=fail
    )
    redactor = Redactor(SALT, DEFAULT_RULES.extended(patterns=[pattern]))
    line = censored(LogLine(level=LogLevel.ERROR, logger="shop", text="internal-42 is open"), redactor)
    assert isinstance(line, LogLine)
    assert line.level is LogLevel.ERROR
    assert "internal-42" not in line.text
    message = ChatMessage(role=ChatRole.USER, parts=(TextPart(text="what is internal-42?"),))
    call = censored(ModelCall(model="m", messages=(message,)), redactor)
    assert isinstance(call, ModelCall)
    assert call.messages[0].role is ChatRole.USER
    assert "internal-42" not in call.model_dump_json()


def test_a_payload_that_is_no_json_is_not_kept() -> None:
    """Where nothing can be withheld piece by piece, nothing is kept."""

    class Failing(Redactor):
        def redact(self, payload: bytes) -> None:  # type: ignore[override]
            raise RuntimeError(payload)

    assert censor(Failing(SALT), Validation({}), "thought", 1, b"password=hunter2") is None
