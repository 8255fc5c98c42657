"""The words of a step: the text by which a person finds it.

That are all texts of its payload, its kind, and who logged it. Names of fields are left out, but for those in
the arguments and results of tools, which are other people's JSON. What every call of a model says again is
told once: a message belongs to the first call of an episode that sends it, and so do the tools on offer.

Knows the payloads that repeat themselves. Must not know the index. An index holds what this module says:
where it says something else, ``index.FORMAT`` goes up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json, to_json

from stepstream.reading.content import ContentDamaged
from stepstream.reading.leaves import FOREIGN
from stepstream.schemas.error_report import ErrorReport
from stepstream.schemas.kinds import StatusChange
from stepstream.schemas.model_call import ModelCall, ModelReply
from stepstream.store.content import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stepstream.reading.content import ContentPool
    from stepstream.reading.rows import StepRow
    from stepstream.schemas.record import JsonObject, JsonValue

CHARACTERS_MAX = 64 * 1024
"""What lies behind so many characters of a step is not found."""

_LONG_CHARACTERS = 512
_DATA = re.compile(r"[A-Za-z0-9+/=_-]{256,}")
"""Base64 and the like: a person looks for none of it, and every piece would be a word of its own."""

_MESSAGE_FIELDS = frozenset({"type", "role", "signature", "encrypted"})
_LEFT_OUT = {
    ModelCall.kind: _MESSAGE_FIELDS,
    ModelReply.kind: _MESSAGE_FIELDS,
    StatusChange.kind: frozenset({"packages"}),
}
_NOTHING: frozenset[str] = frozenset()
_NODE_BYTES = 8


class Said:
    """Which call of an episode was the first to send a message."""

    def __init__(self, known: Callable[[int, bytes], int | None] | None = None) -> None:
        """Begin with what is known.

        Args:
            known: The cursor of the first call of an episode that sent something with this hash.
        """
        self._known = known
        self.fresh: dict[tuple[int, bytes], int] = {}

    def is_first(self, episode: int, name: bytes, cursor: int) -> bool:
        """Whether no earlier step of the episode said it; then this one did."""
        node = name[:_NODE_BYTES]
        first = self.fresh.get((episode, node))
        if first is None and self._known is not None:
            first = self._known(episode, node)
        if first is None:
            self.fresh[episode, node] = first = cursor
        return first == cursor


class StepText(NamedTuple):
    """What a step is found by.

    Attributes:
        body: The texts of its payload.
        labels: Its kind, and who logged it.
    """

    body: str
    labels: str

    @property
    def whole(self) -> str:
        """Both, as they are indexed."""
        return f"{self.body}\n{self.labels}" if self.body else self.labels


class StepWords:
    """Reads the text of one step after another, in the order of their cursors."""

    def __init__(self, content: ContentPool, said: Said) -> None:
        self._content = content
        self._said = said

    def text_of(self, row: StepRow) -> StepText:
        """What a step is found by; what cannot be read of it is left out.

        Raises:
            StoreError: The database cannot be read.
        """
        kind, agent, role = row[4], row[8], row[9]
        try:
            body = "\n".join(self._leaves(row))[:CHARACTERS_MAX]
        except (ValueError, TypeError, LookupError, RecursionError, ContentDamaged):
            # ``verify`` tells of it.
            body = ""
        # FTS5 shows a text only up to a NUL.
        return StepText(
            body.replace("\0", " "), "\n".join(filter(None, (kind, agent, role))).replace("\0", " ")
        )

    def _leaves(self, row: StepRow) -> list[str]:
        kind, payload, pooled = row[4], row[14], row[15]
        leaves = _Leaves(_LEFT_OUT.get(kind, _NOTHING))
        if kind == ModelCall.kind:
            leaves.add(self._call(row))
            return leaves.found
        value: JsonValue = from_json(payload if pooled is None else self._content.fill(payload, pooled))
        if kind == ErrorReport.kind and isinstance(value, dict) and value.get("traceback"):
            # It tells the frames, too, and the frames of the causes.
            leaves.left_out = frozenset({"frames"})
        leaves.add(value)
        return leaves.found

    def _call(self, row: StepRow) -> JsonObject:
        """A call of a model, with no more of its messages and tools than no earlier call has sent."""
        episode, cursor, payload, pooled = row[2], row[0], row[14], row[15]
        heads: dict[str, bytes] = {}
        if pooled is not None:
            places = from_json(pooled)
            heads = {path[0]: bytes.fromhex(name) for path, name, kind in places if kind == "chain"}
            rest = [place for place in places if place[2] != "chain"]
            payload = self._content.fill(payload, to_json(rest).decode()) if rest else payload
        value: JsonValue = from_json(payload)
        if not isinstance(value, dict):
            return {}
        messages = value.get("messages")
        elements = _backwards(messages) if isinstance(messages, list) else iter(())
        if "messages" in heads:
            elements = self._content.backwards(heads["messages"])
        own = []
        for name, message in elements:
            if not self._said.is_first(episode, name, cursor):
                break
            own.append(message)
        if messages or heads:
            # The same once more as one text.
            value.pop("rendered_prompt", None)
        value["messages"] = own[::-1]
        if value.get("tools") and not self._said.is_first(
            episode, content_hash(to_json(value["tools"])), cursor
        ):
            del value["tools"]
        return value


def _backwards(messages: list[JsonValue]) -> Iterator[tuple[bytes, JsonValue]]:
    """A short call's messages with the names that the content pool would give them, the last one first."""
    names: list[bytes] = []
    previous = b""
    for message in messages:
        previous = content_hash(to_json(message), previous)
        names.append(previous)
    return zip(reversed(names), reversed(messages), strict=True)


class _Leaves:
    """Gathers texts until there are enough."""

    def __init__(self, left_out: frozenset[str]) -> None:
        self.left_out = left_out
        self.found: list[str] = []
        self._room = CHARACTERS_MAX

    def add(self, value: JsonValue, *, is_foreign: bool = False) -> None:
        if isinstance(value, str):
            self._add_text(value)
        elif isinstance(value, dict):
            for name, child in value.items():
                if is_foreign:
                    self._add_text(name)
                elif name in self.left_out:
                    continue
                # Most are texts; a call for each of them costs more than all the rest.
                if isinstance(child, str):
                    self._add_text(child)
                elif isinstance(child, dict | list):
                    self.add(child, is_foreign=is_foreign or name in FOREIGN)
        elif isinstance(value, list) and self._room > 0:
            for child in value:
                self.add(child, is_foreign=is_foreign)

    def _add_text(self, text: str) -> None:
        if self._room <= 0:
            return
        if len(text) > _LONG_CHARACTERS:
            text = _DATA.sub(" ", text[: self._room])
        self.found.append(text)
        self._room -= len(text) + 1
