"""Pieces of answers pass the gate as soon as it is certain that they hide no secret, and no sooner."""

from __future__ import annotations

import base64
import re
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json
from tests.corpus.innocent_samples import HOSTILE, INNOCENTS
from tests.corpus.secret_samples import NAMED, SECRETS, dumps, pem, run

from stepstream.schemas.identity import id_bytes, id_text, new_id
from stepstream.schemas.post import PostedStep, StepPost
from stepstream.schemas.stream import DELTA_CHARACTERS_MAX, Delta, DeltaPart
from stepstream.spool.frame import NO_ID, FrameKind, encode_step
from stepstream.store.deltas import DeltaGate
from stepstream.store.live_document import HELD_MAX
from stepstream.store.redaction import Redactor
from stepstream.store.secret_rules import DEFAULT_RULES, RedactionRules, SecretPattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stepstream.spool.frame import Frame

SALT = b"a salt for tests"
REDACTOR = Redactor(SALT)
INNOCENT = {
    path.name: path.read_text("utf-8")
    for path in (Path(__file__).parents[2] / "corpus" / "innocent").iterdir()
}
BEGAN = 1_700_000_000_000_000_000
NOW = 4_000_000_000_000_000_000
PROSE = "\nand so it went on, word by word and line by line.\n"
PLACEHOLDER = re.compile(r"\[redacted:[a-z0-9_-]+:[0-9a-f]{8}\]")
KIND = re.compile(r"\[redacted:[a-z0-9_-]+:")

PIECES = st.lists(st.integers(1, 30), min_size=1, max_size=12)
SEEDS = st.integers(0, 2**32)
thorough = settings(deadline=None, max_examples=8)


class Watcher:
    """A gate, one answer that is being made, and what was shown of it."""

    def __init__(
        self, redactor: Redactor | None = REDACTOR, rules: RedactionRules | None = DEFAULT_RULES
    ) -> None:
        self.clock = BEGAN
        self.gate = DeltaGate(redactor, rules, lambda: self.clock)
        self.clock = NOW
        self.step = id_text(new_id())
        self.shown = ""

    def see(self, text: str, *, age_s: float = 0.0) -> str:
        """The next piece comes; returns what is shown of it."""
        now = self._follow([self.frame(text, age_s=age_s)])
        self.shown += now
        return now

    def see_in_pieces(self, text: str, sizes: Sequence[int] = (3,)) -> str:
        """A text comes in pieces of these sizes, over and over; returns all that was shown by now."""
        start = 0
        for size in cycle(sizes):
            if start >= len(text):
                return self.shown
            self.see(text[start : start + size])
            start += size
        return self.shown

    def close(self) -> str:
        """The call gets its answer; returns what is shown then."""
        return self._follow([closing(self.step)])

    def frame(self, text: str, part: DeltaPart = DeltaPart.CONTENT, *, age_s: float = 0.0) -> Frame:
        """The frame of a delta."""
        delta = Delta(step_id=self.step, episode_id=self.step, text=text, part=part)
        return frame_of(delta.model_dump_json().encode(), NOW - int(age_s * 1e9))

    def _follow(self, frames: Iterable[Frame]) -> str:
        return "".join(delta.text for delta in self.gate.frames(frames))


def frame_of(body: bytes, wall: int = NOW, kind: FrameKind = FrameKind.DELTA) -> Frame:
    return (0, 0, int(kind), wall, body, 0)


def closing(step: str) -> Frame:
    body = encode_step(new_id(), new_id(), NO_ID, id_bytes(step), 0, 1, 0, b"observation", b"", b"", b"{}")
    return frame_of(body, kind=FrameKind.STEP)


def stored(text: str, redactor: Redactor = REDACTOR) -> str:
    """What is stored of a text."""
    return str(from_json(redactor.redact(to_json(text)).payload))


def telling(shown: str, secret: str) -> list[str]:
    """The parts of a secret, of more than six characters, that are shown."""
    lines = [line for line in secret.splitlines() if not line.startswith("-----")]
    parts = {line[start : start + 7] for line in lines for start in range(max(1, len(line) - 6))}
    return sorted(part for part in parts if part in shown)


# ------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("name", SECRETS)
@given(seed=SEEDS, sizes=PIECES)
@thorough
def test_a_secret_in_pieces_is_never_shown(name: str, seed: int, sizes: list[int]) -> None:
    """A secret of any kind, cut anywhere, is shown as the placeholder that is stored, with all that is around it."""
    random = Random(seed)
    secret = SECRETS[name][1](random)
    before = random.choice(("", "It says ", 'Look: "', "Über ", "one\ntwo\n", "f(x, ", "'"))
    behind = random.choice((" and then ", '", it said; ', "\n", "'\n", ", x) ", "。"))
    text = f"{before}{secret}{behind}{PROSE}"

    shown = Watcher().see_in_pieces(text, sizes)

    assert stored(text).startswith(shown)
    assert telling(shown, secret) == []
    assert len(shown) > len(stored(text)) - 2 * len(PROSE)


@pytest.mark.parametrize("template", NAMED)
@given(seed=SEEDS, sizes=PIECES)
@thorough
def test_a_value_behind_a_secrets_name_is_never_shown(template: str, seed: int, sizes: list[int]) -> None:
    """What is assigned to a secret's name in text is shown as its placeholder, however it comes."""
    random = Random(seed)
    secret = run(random, 43 if "sig=" in template or "Key=" in template else random.randint(12, 40))
    text = random.choice(("", "one: 1\n\n", "Then ")) + template.format(secret) + PROSE

    shown = Watcher().see_in_pieces(text, sizes)

    assert stored(text).startswith(shown)
    assert telling(shown, secret) == [] or secret in stored(text)
    assert len(shown) > len(stored(text)) - 2 * len(PROSE)


@pytest.mark.parametrize(
    "text",
    [
        'password = "correct horse battery staple"',
        "api_key='it is ours, and (only) ours'",
        'password: str | None = "correct horse battery"',
        "passphrase = `a b, c; d`",
        'x\\npassword = \\"correct horse battery staple\\"',
        '--password "correct horse, battery"',
        "<password>correct horse battery staple</password>",
        "Cookie: theme=dark; session=abc def (ghi), jkl",
        "connect(host=db user=app password=letmein dbname=x)",
        "DB_PASSWORD=a,b;c(d)e|f>g'h",
        "postgres://ada:p@ss,w(or)d@db/x",
        "Driver=ODBC;UID=sa;PWD=a,b(c)d{e}f;",
        "the password is hunter2, said he",
        "My API key: Tr0ub4dor&3äöü!x",
        "\\u0070assword = 'correct horse battery staple'",
        "sk-" + "a1B2c3D4" * 5 + "-----BEGIN nothing",
        "password=2yWB7cq9Gaz6Y1t9[redacted:password:12345678] there",
        "Bearer 2yWB7cq9Gaz6Y1t9[redacted:password:12345678]a1[redacted:password:12345678] there",
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_secrets_with_spaces_and_signs_in_them_wait_until_they_are_whole(text: str, size: int) -> None:
    """Where a space, a comma or a quote may stand in a secret, its beginning is not shown before its end is known."""
    whole = stored(text + PROSE)
    assert whole != text + PROSE

    assert whole.startswith(Watcher().see_in_pieces(text + PROSE, [size]))


@pytest.mark.parametrize("wrap", ["{}", '{{"a": 1, "key": {}, "b": [true, "x"]}}', "[[{}], 2.5e3]"])
@pytest.mark.parametrize(
    "document",
    [
        {"password": "Correct horse battery staple."},
        {"api_keys": ["abc def", ["ghi"], {"a": "stays"}], "note": "it stays"},
        {"command": ["mysql", "--password", "letmein", "--verbose", "-h", "db"]},
        {"env": [{"name": "DB_PASSWORD", "value": "a b c"}, {"name": "HOME", "value": "/root"}]},
        {"content": '{"client_secret": "none of your business, is it?", "n": 1}'},
        {"content": '\n  ["a", {"passphrase": "Such a nice day. Is it?"}]'},
        {"headers": {"Authorization": "Bearer abc", "Accept": "a/b"}},
        {"päss\nword": 'a"b\\c', "p\\assword": "x", "password": ""},
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_document_is_read_by_its_names(document: dict[str, object], wrap: str, size: int) -> None:
    """In JSON a string under a secret's name is never shown, whatever it looks like; everything else is, as stored."""
    text = wrap.format(dumps(document)) + "\n"
    whole = KIND.sub("[redacted:", stored(text))

    shown = KIND.sub("[redacted:", Watcher().see_in_pieces(text, [size]))

    assert shown == whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            '{"a": "b' + 999 * " c" + '", "p\\u0061ssword": "d"}\n',
            '{"a": "b' + 999 * " c" + '", "p\\u0061ssword": "[…]"}\n',
        ),
        ('[1] "password": "string"\n', '[1] "password": "string"\n'),
        ('{"a": 1}] and so on\n', '{"a": 1}] and so on\n'),
        ('{"a": 1}\n{"password": "string"}\n', '{"a": 1}\n{"password": "[…]"}\n'),
        ('["password"] is "password": "string"\n', '["password"] is "password": "string"\n'),
        ('[{"secret": "string"}] is "secret": "string"\n', '[{"secret": "[…]"}] is "secret": "string"\n'),
        ('{user said "password": "string"}\n', '{user said "password": "string"}\n'),
        ('[INFO] "password": "string"\n', '[INFO] "password": "string"\n'),
        ('{"password": "str\ning", "secret": "string"}\n', '{"password": "str\ning", "secret": "string"}\n'),
        ('"password": "string"\n', '"password": "string"\n'),
    ],
    ids=["escaped", "before", "behind", "two", "names", "ends", "words", "log", "lines", "no bracket"],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_only_a_document_is_read_as_one(text: str, shown: str, size: int) -> None:
    """What stands in a document under a secret's name is always one; what proves to be none is a text from there on."""
    assert PLACEHOLDER.sub("[…]", Watcher().see_in_pieces(text, [size])) == shown


@given(seed=SEEDS, sizes=PIECES, data=st.data())
@settings(deadline=None, max_examples=150)
def test_whatever_stands_around_a_secret_it_is_not_shown(
    seed: int, sizes: list[int], data: st.DataObject
) -> None:
    """No mixture of names, quotes, brackets, escapes and lines makes the gate show what is stored redacted."""
    parts = st.sampled_from(
        (
            *HOSTILE.values(),
            *"=:,;(){}[]<>|\\\"'` \n\t",
            "\\n",
            '\\"',
            " = ",
            ": ",
            "word ",
            "ä",
            "API key",
            "--",
            "${X}",
        )
    )
    secret = run(Random(seed), 24)
    around = st.lists(parts, max_size=6).map("".join)
    text = data.draw(around) + data.draw(st.sampled_from(("password=", "--api-key ", 'secret: "', "")))
    text += f"{secret} {data.draw(around)}{secret}{data.draw(around)}{PROSE}"

    shown = Watcher().see_in_pieces(text, sizes)

    assert telling(shown, secret) == [] or secret in stored(text)


# ------------------------------------------------------------------------------------------------ innocents


@pytest.mark.parametrize("name", [*INNOCENT, *INNOCENTS])
@pytest.mark.parametrize("size", [1, 7, 4000])
def test_what_is_no_secret_comes_out_whole(name: str, size: int) -> None:
    """A text without secrets is shown whole and in order, at the latest when something else has come behind it."""
    text = INNOCENT[name] if name in INNOCENT else INNOCENTS[name](Random(name))
    watcher = Watcher()

    assert text.startswith(watcher.see_in_pieces(text, [size]))

    # What a header of a private key leaves open is open for four thousand characters.
    watcher.see_in_pieces("\n" + PROSE * 90, [100])
    assert watcher.shown.startswith(text)


def test_prose_is_shown_word_by_word() -> None:
    """Of ordinary prose, also of one that speaks of secrets, no more than a word waits."""
    text = (
        INNOCENT["prose.md.txt"].split("\n\n")[1].replace("\n", " ")
        + " 密码不保存。Schlüssel bleiben geheim."
    )
    watcher = Watcher()
    waits = 0

    for end, character in enumerate(text, 1):
        watcher.see(character)
        waits = max(waits, end - len(watcher.shown))

    assert waits <= max(map(len, text.split()))


def test_without_redaction_nothing_waits() -> None:
    """Where redaction is off every piece is shown as it comes."""
    watcher = Watcher(None, None)

    assert watcher.see("password=hun") == "password=hun"
    assert watcher.see("ter2") == "ter2"


# ----------------------------------------------------------------------------------------- bounds and gaps


@pytest.mark.parametrize(
    "begun",
    [
        "A" * 2 * HELD_MAX,
        'password = "' + "so long " * HELD_MAX,
        pem(Random(1)).replace("-----END", "AAAA\n" * 9999 + "-----END"),
    ],
)
def test_what_waits_is_bounded_and_never_shown_for_it(begun: str) -> None:
    """What waits too long becomes a placeholder; what follows is shown again from a line that stands for itself."""
    watcher = Watcher()

    watcher.see_in_pieces("First. " + begun, [1000])
    watcher.see_in_pieces("tail of it\n", [2])
    assert re.fullmatch(r"First\. (password = )?\[redacted:unscannable:[0-9a-f]{8}\]", watcher.shown)

    watcher.see_in_pieces("and a new line\nas it goes on\n", [4])
    assert watcher.shown.endswith("]and a new line\nas it goes on\n")


def test_a_string_of_a_document_that_is_too_long_is_dropped_alone() -> None:
    """In a document only the string that is too long to wait gives way; what follows is shown."""
    watcher = Watcher()

    watcher.see_in_pieces('{"content":"{' + "so long " * HELD_MAX, [999])
    document = watcher.gate._answers[watcher.step].parts[DeltaPart.CONTENT]._document
    assert document is not None
    assert document._string is not None
    assert document._string.waiting == ""

    watcher.see('and longer","after":"it goes on"}\n')
    assert PLACEHOLDER.sub("[…]", watcher.shown) == '{"content":"[…]","after":"it goes on"}\n'


def test_what_was_dropped_of_a_document_that_is_none_stays_dropped() -> None:
    """A line feed in a string shows that a text is no document; what is behind it may still be of the secret."""
    watcher = Watcher()
    secret = run(Random(4), 20)

    watcher.see_in_pieces('{"password": "' + "so long " * HELD_MAX, [999])
    watcher.see_in_pieces(f'\n{secret} is the end of it" or so.\n', [5])

    assert telling(watcher.shown, secret) == []
    assert watcher.shown.endswith('" or so.\n')


def test_a_stale_piece_is_dropped_with_what_hangs_on_it() -> None:
    """A piece of more than two seconds ago is not shown, nor is the end of the secret that began in it."""
    key = pem(Random(7))
    watcher = Watcher()

    watcher.see("Here it is: ")
    watcher.see(key[:300], age_s=2.5)
    watcher.see_in_pieces(key[300:] + "\nProc-Type: 4,ENCRYPTED\nand it is over\nnow\n", [17])

    assert watcher.shown == "Here it is: and it is over\nnow\n"
    assert watcher.gate.dropped == {"stale": 1}


def test_an_answer_that_began_before_the_gate_is_taken_up_at_a_line() -> None:
    """Whoever begins to listen in the middle of an answer cannot know which secret is just being told."""
    watcher = Watcher()
    # The id says when the call began.
    watcher.step = f"0188{watcher.step[4:]}"
    key = pem(Random(8))

    watcher.see_in_pieces(key[100:] + "\nand it is over\n", [11])

    assert watcher.shown == "and it is over\n"


def test_an_answer_that_had_to_be_forgotten_is_taken_up_at_a_line() -> None:
    """More answers than there is room for are forgotten, and none of them shows the rest of a secret later."""
    gate = Watcher().gate
    watchers = [Watcher() for _ in range(600)]
    secret = run(Random(3), 40)
    for watcher in watchers:
        watcher.gate = gate
        watcher.see(f"Then: password={secret[:20]}")

    first = watchers[0].see(f"{secret[20:]} and so on. ")
    last = watchers[-1].see(f"{secret[20:]} and so on. ")

    assert first == ""
    assert last == stored(f"password={secret} and so on. ")
    assert len(gate._answers) <= 512


def test_what_waits_when_the_answer_closes_is_dropped() -> None:
    """With the step that closes it an answer is over: what waits is dropped, and what comes late is not shown."""
    watcher = Watcher()

    watcher.see("It is done")
    assert watcher.shown == "It is "
    assert watcher.close() == ""
    assert watcher.see(" by now, they say. ") == ""
    assert watcher.gate.dropped == {"late": 1}


def test_a_delta_and_its_closing_step_may_come_together() -> None:
    """What was written before the answer is shown, also when both are committed at once."""
    watcher = Watcher()

    shown = watcher.gate.frames(
        [watcher.frame("one "), watcher.frame("two "), closing(watcher.step), watcher.frame("late ")]
    )

    assert [delta.text for delta in shown] == ["one two "]


def test_parts_and_answers_are_told_apart() -> None:
    """What is held of one text neither delays nor mixes with another; the order is kept."""
    first, second = Watcher(), Watcher()
    frames = [
        first.frame("Thinking of sk"),
        first.frame('{"a": ', DeltaPart.TOOL_CALL),
        second.frame("Other words "),
        first.frame("-", DeltaPart.REASONING),
        first.frame("ills. "),
    ]

    shown = first.gate.frames(frames)

    assert [(delta.step_id, delta.part.value, delta.text) for delta in shown] == [
        (first.step, "content", "Thinking of "),
        (first.step, "tool_call", '{"a": '),
        (second.step, "content", "Other words "),
        (first.step, "content", "skills. "),
    ]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"step_id":"x"}', to_json({"text": "a"})])
def test_what_is_no_delta_is_dropped(body: bytes) -> None:
    """Bytes that are no delta are counted and hold up nothing."""
    watcher = Watcher()

    shown = watcher.gate.frames([frame_of(body), watcher.frame("fine ")])

    assert [delta.text for delta in shown] == ["fine "]
    assert watcher.gate.dropped == {"invalid": 1}


def test_a_long_text_is_passed_on_in_deltas_that_are_valid() -> None:
    """What waited and what came may be more than one delta holds; it is passed on in several."""
    watcher = Watcher()
    text = "words " * (DELTA_CHARACTERS_MAX // 6)

    shown = watcher.gate.frames([watcher.frame(text), watcher.frame(text)])

    assert "".join(delta.text for delta in shown) == text + text
    assert all(Delta.model_validate_json(delta.model_dump_json()) == delta for delta in shown)


def test_what_was_posted_passes_the_same_gate() -> None:
    """Deltas of another machine's agents are looked at like those of the spool, and closed by posted steps."""
    watcher = Watcher()
    secret = "Basic " + base64.b64encode(b"ada:lovelace").decode()
    deltas = [
        Delta(step_id=watcher.step, episode_id=watcher.step, text=text)
        for text in ("Use ", secret[:12], secret[12:], " here. ", "And the rest")
    ]
    closes = PostedStep(
        id=id_text(new_id()),
        episode_id=watcher.step,
        kind="observation",
        payload={},
        occurred_at=1,
        closes=watcher.step,
    )

    shown = watcher.gate.post(StepPost(deltas=tuple(deltas), steps=(closes,)))

    assert "".join(delta.text for delta in shown) == stored(f"Use {secret} here. ") + "And the "
    assert watcher.gate.post(StepPost(deltas=tuple(deltas))) == []


# ---------------------------------------------------------------------------------------- a project's own


def own_rules(regex: str, literal: str) -> Watcher:
    rules = DEFAULT_RULES.extended(patterns=[SecretPattern("badge", re.compile(regex), (literal,))])
    return Watcher(Redactor(SALT, rules), rules)


@pytest.mark.parametrize(
    ("regex", "literal", "text"),
    [
        (r"\bACME-(?P<secret>[0-9]{6}[a-z]{4})\b", "acme-", "Show ACME-123456abcd twice. "),
        (r"Kunde (?P<secret>\d{3} \d{3} \d{3}),", "kunde", "Der Kunde 123 456 789, wie immer. "),
        (r"(?s)badge.{0,40}?end of badge", "end of badge", "My badge\n12 34\n56, end of badge. "),
    ],
)
def test_a_projects_own_secret_is_never_shown(regex: str, literal: str, text: str) -> None:
    """A pattern of a project's own may match anything, spaces and lines too; nothing of it is shown in pieces."""
    watcher = own_rules(regex, literal)
    whole = stored(text + PROSE * 30, watcher.gate._redactor or REDACTOR)
    assert "[redacted:badge:" in whole

    shown = watcher.see_in_pieces(text + PROSE * 30)

    assert whole.startswith(shown)
    assert "[redacted:badge:" in shown


def test_a_projects_own_words_cost_no_patience() -> None:
    """A pattern that matches no more than a word holds no more than a word."""
    watcher = own_rules(r"(?:ACME|acme)-[A-Z0-9]{6,12}(?![a-z])", "acme-")

    assert watcher.see("It goes on at on") == "It goes on at "


def test_a_projects_own_secret_that_is_longer_than_what_waits_is_given_up() -> None:
    """Of a match without bounds the beginning may be shown; from where it is known on, nothing of it is."""
    watcher = own_rules(r"(?s)badge.*end of badge", "end of badge")

    watcher.see_in_pieces("My badge " + "12 34 " * 220 + "56, end of badge. " + PROSE * 400, [50])

    assert "56" not in watcher.shown
    assert re.search(r"\[redacted:unscannable:[0-9a-f]{8}\]and so", watcher.shown)


def test_a_rule_that_changes_its_mind_is_believed() -> None:
    """Where a project's own rule takes something for a secret that was shown already, no more of it is shown."""
    pattern = SecretPattern(
        "badge", re.compile("ACME-[0-9]{6}"), ("acme-",), accepts=lambda match: "hush" in match.string
    )
    rules = DEFAULT_RULES.extended(patterns=[pattern])
    watcher = Watcher(Redactor(SALT, rules), rules)

    watcher.see_in_pieces("An ACME-123456 it is. hush hush\nand so on\nas ever\n", [4])

    assert re.fullmatch(
        r"An ACME-123456 it is\. \[redacted:unscannable:[0-9a-f]{8}\]and so on\nas ever\n", watcher.shown
    )


def test_where_a_rule_fails_nothing_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """A rule that raises could not say what is secret; the answer is not shown any more, and that is told once."""
    rules = DEFAULT_RULES.extended(
        patterns=[SecretPattern("badge", re.compile("badge"), ("badge",), accepts=lambda _: bool(1 // 0))]
    )
    watcher = Watcher(Redactor(SALT, rules), rules)

    assert watcher.see("A word. ") == "A word. "
    assert watcher.see("A badge. ") == ""
    assert watcher.see_in_pieces("\nAnd a line of words.\n" * 99, [99]) == "A word. "
    assert len(caplog.messages) == 1
