"""What a conversation that is resent costs: ``python -m benchmarks.decisions.chains [TURNS]``.

An agent's loop sends its whole history with every model call, two messages more each turn. Prints the
bytes stored as they come, with each message once by hash and its hashes listed in every call, and with
the chain of the content pool.
"""

from __future__ import annotations

import sys

from stepstream import ChatMessage, ChatRole, ModelCall, TextPart
from stepstream.store.content import pool

POOL_BYTES_MIN = 1024
HASH_CHARACTERS = 35
MESSAGE_CHARACTERS = 600


def main() -> None:
    """Measure and print."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print("turns   as it comes   hashes listed   chain        (bytes)")
    for count in sorted({1, max(1, turns // 16), max(1, turns // 4), turns}):
        plain, listed, chain = measure(count)
        print(f"{count:5}  {plain:12,}  {listed:14,}  {chain:6,}")


def measure(turns: int) -> tuple[int, int, int]:
    """The bytes of payloads and content after so many turns."""
    messages: list[ChatMessage] = []
    plain = listed = chain = 0
    contents: dict[bytes, int] = {}
    seen: set[str] = set()
    for turn in range(turns):
        for role in (ChatRole.ASSISTANT, ChatRole.USER) if turn else (ChatRole.SYSTEM, ChatRole.USER):
            text = f"turn {turn} {role} ".ljust(MESSAGE_CHARACTERS, "x")
            messages.append(ChatMessage(role=role, parts=(TextPart(text=text),)))
        call = ModelCall(model="small", messages=tuple(messages))
        encoded = call.encoded()
        plain += len(encoded)
        for message in messages:
            text = message.model_dump_json()
            listed += HASH_CHARACTERS + (0 if text in seen else len(text))
            seen.add(text)
        pooled = pool(call.kind, encoded, POOL_BYTES_MIN)
        chain += len(pooled.payload) + len(pooled.places or "")
        for row in pooled.rows:
            contents[row.hash] = len(row.body or "") + len(row.hash) + len(row.previous or b"")
    return plain, listed, chain + sum(contents.values())


if __name__ == "__main__":
    main()
