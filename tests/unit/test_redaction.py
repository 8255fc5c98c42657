"""Secrets leave payloads whole, and payloads without secrets stay as they are."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.corpus.innocent_samples import HOSTILE, INNOCENTS, WORDS
from tests.corpus.secret_samples import (
    ALNUM,
    CONTEXTS,
    IN_A_LINE,
    LOWER,
    NAMED,
    OTHER_NAMES,
    SECRET_NAMES,
    SECRET_VALUES,
    SECRETS,
    WRAPPINGS,
    dumps,
    escaped,
    jwt,
    payload_of,
    pem,
    run,
    traces,
)

from stepstream.store.redaction import Redactor, _Met
from stepstream.store.secret_names import SecretNames
from stepstream.store.secret_rules import DEFAULT_RULES, RedactionRules, SecretPattern

REDACTOR = Redactor(b"a salt for tests")
INNOCENT = Path(__file__).parent.parent / "corpus" / "innocent"
PLACEHOLDER = re.compile(r"\[redacted:[a-z0-9_-]+:[0-9a-f]{8}\]")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_replaced_wherever_it_stands(name: str) -> None:
    """Every kind of secret goes, in every place and every depth of escaping, under its own kind."""
    kind, build = SECRETS[name]
    random = Random(name)
    for _ in range(5):
        secret = build(random)
        contexts = CONTEXTS if "\n" in secret else CONTEXTS | IN_A_LINE
        for context, place in contexts.items():
            payload = place(secret)
            result = REDACTOR.redact(payload)
            assert not traces(result.payload, secret), context
            assert set(result.counts) == {kind}, context
            assert json.loads(result.payload), context
            assert REDACTOR.suspects([b"{}", payload, b"{}"]) == [1], context


@pytest.mark.parametrize("template", NAMED)
def test_a_value_behind_a_secrets_name_is_replaced(template: str) -> None:
    """What is assigned to a secret's name in text goes, whatever the syntax and the depth of escaping."""
    random = Random(template)
    for length in (12, 20, 32, 40):
        for alphabet in (ALNUM, LOWER):
            secret = run(
                random, length if "sig=" not in template and "Key=" not in template else 43, alphabet
            )
            for wrapping, place in WRAPPINGS.items():
                result = REDACTOR.redact(place(template.format(secret)))
                assert not traces(result.payload, secret), (wrapping, secret)
                assert json.loads(result.payload), wrapping
                assert sum(result.counts.values()) == 1, (wrapping, result)


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        "password: hunter2",
        "PASSWORD=letmein",
        "?user=ada&password=letmein&x=1",
        'password = "correct horse battery staple"',
        '{"password": "x y", "a": 1}',
        "connect failed with password=supersecret",
        "password=s3cr3t!",
        "db_password: Tr0ub4dor&3",
        "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        "curl -H 'Authorization: Basic YTpi'",
        "postgres://ada:p@ss@db/x",
        "amqp://guest:guest@mq",
        "my `password` is hunter2",
        "my 'password' is hunter2",
        'my "password" is hunter2',
    ],
)
def test_a_short_password_is_a_secret_too(text: str) -> None:
    """Passwords that people choose are found where their place leaves no doubt."""
    assert REDACTOR.redact(payload_of(text)).counts


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_string_under_a_secrets_name_is_replaced_whole(name: str) -> None:
    """Under a secret's name, in any spelling and depth, every string goes and everything else stays."""
    for value in SECRET_VALUES:
        document = {name: value, "deep": [{"er": {name: [value, 7, [value], {"a": "stays"}]}}], "n": 1}
        result = json.loads(REDACTOR.redact(dumps(document).encode()).payload)
        seven = result["deep"][0]["er"][name]
        assert PLACEHOLDER.fullmatch(result[name])
        assert seven == [result[name], 7, [result[name]], {"a": "stays"}]
        escaped_name = f'{{"{escaped(name)}":{dumps(value)}}}'.encode()
        assert PLACEHOLDER.fullmatch(json.loads(REDACTOR.redact(escaped_name).payload)[name])


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", [None, True, 0, 1200, 0.5, 2**70, "", [], [1, 2], {}, {"type": "string"}])
def test_only_strings_are_replaced_under_a_secrets_name(name: str, value: object) -> None:
    """Numbers, flags, nulls, empty strings and objects under a secret's name stay what they are."""
    payload = dumps({"result": {name: value, "other": "text"}}).encode()
    assert REDACTOR.redact(payload).payload is payload


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_other_names_are_left_alone(name: str) -> None:
    """A name that only looks like a secret's keeps its value, as a key and in text."""
    for payload in (
        dumps({name: "some value 12"}).encode(),
        payload_of(f"{name}=value12 {name}: 'value 12'"),
    ):
        assert REDACTOR.redact(payload).payload is payload
    assert SecretNames(DEFAULT_RULES.names).kind_of(name) is None


def test_the_value_behind_a_flag_in_a_command_is_replaced() -> None:
    """A command given as a list of arguments loses the argument behind a secret's flag, and no other."""
    command = ["mysql", "--password", "letmein", "--db-password", "--verbose", "-h", "db", "--api-key", "abc"]
    result = json.loads(REDACTOR.redact(dumps({"command": command}).encode()).payload)["command"]
    assert [place for place, argument in enumerate(result) if PLACEHOLDER.fullmatch(argument)] == [2, 8]
    required = dumps({"required": ["password", "user", "api_key"]}).encode()
    assert REDACTOR.redact(required).payload is required


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_document_in_a_string_is_a_document(depth: int) -> None:
    """JSON in a string is read like the payload itself: names, lists and flags count without any evidence."""
    document: object = {
        "password": "x",
        "api_keys": ["string", {"a": "stays"}],
        "argv": ["--secret", "none"],
        "n": 1,
    }
    for _ in range(depth):
        document = [json.dumps(document), "stays"]
    result = json.loads(REDACTOR.redact(dumps({"result": document}).encode()).payload)["result"]
    for _ in range(depth):
        assert result[1] == "stays"
        result = json.loads(result[0])
    hidden = [result["password"], result["api_keys"][0], result["argv"][1]]
    assert all(PLACEHOLDER.fullmatch(value) for value in hidden)
    assert (result["api_keys"][1], result["argv"][0], result["n"]) == ({"a": "stays"}, "--secret", 1)


def test_a_value_beside_its_name_is_replaced() -> None:
    """Environments and headers given as objects of name and value lose the values of secrets."""
    pairs = [
        {"name": "DB_PASSWORD", "value": "letmein"},
        {"name": "PORT", "value": "5432"},
        {"Key": "Authorization", "Value": "Bearer abc"},
        {"name": "password", "description": "stays", "in": "query"},
    ]
    result = json.loads(REDACTOR.redact(dumps({"env": pairs}).encode()).payload)["env"]
    assert PLACEHOLDER.fullmatch(result[0]["value"])
    assert re.fullmatch(r"Bearer \[redacted:authorization:.{8}\]", result[2]["Value"])
    assert result[1::2] == pairs[1::2]


def test_a_private_key_in_a_list_of_lines_is_replaced() -> None:
    """A key that was read line by line loses all its lines; what stands around it stays."""
    key = pem(Random(1))
    lines = ["ordinary", *key.splitlines(), "text behind", "QUJDREVGR0hJSktM"]
    result = json.loads(REDACTOR.redact(dumps({"lines": lines}).encode()).payload)["lines"]
    assert not traces(dumps(result).encode(), key)
    assert result[:2] == lines[:2]
    assert result[-3:] == lines[-3:]


def test_a_private_key_that_was_cut_off_is_replaced() -> None:
    """A log that ends in the middle of a key does not show the first half of it."""
    key = pem(Random(2))
    for text in (key[:400], f"cat key\n{key[:300]}", key.replace("\n", '\\n"\n  "')[:400]):
        assert not traces(REDACTOR.redact(payload_of(text)).payload, key)


@pytest.mark.parametrize("name", INNOCENTS)
def test_what_is_no_secret_is_left_alone(name: str) -> None:
    """Identifiers, hashes, blobs, code and prose come back as the very same bytes, in any depth."""
    random = Random(name)
    for _ in range(40):
        text = INNOCENTS[name](random)
        for payload in (
            payload_of(text),
            payload_of(json.dumps({"content": text})),
            payload_of(f"a\n{text}\nb"),
        ):
            assert REDACTOR.redact(payload).payload is payload, text


@pytest.mark.parametrize("path", sorted(INNOCENT.iterdir()), ids=lambda path: path.name)
def test_files_without_secrets_are_left_alone(path: Path) -> None:
    """Whole files, and each of their lines, come back as they are; JSON also as a document of its own."""
    text = path.read_text()
    for part in (text, *text.splitlines()):
        for payload in (payload_of(part), payload_of(json.dumps({"content": part})), payload_of(repr(part))):
            assert REDACTOR.redact(payload).payload is payload, part
    if path.name.endswith(".json.txt"):
        assert REDACTOR.redact(text.encode()).counts == {}


# --------------------------------------------------------------------------------------------- placeholders


def test_equal_secrets_have_equal_placeholders_in_one_database_only() -> None:
    """A placeholder tells kind and hash, the same in every depth of escaping, another under another salt."""
    secret = pem(Random(3))
    seen = {
        placeholder
        for place in CONTEXTS.values()
        for placeholder in PLACEHOLDER.findall(REDACTOR.redact(place(secret)).payload.decode())
    }
    assert len(seen) == 1
    other = Redactor(b"another salt, longer").redact(payload_of(secret))
    assert seen.isdisjoint(PLACEHOLDER.findall(other.payload.decode()))
    hashed = hashlib.blake2b(secret.encode(), digest_size=4, key=b"a salt for tests").hexdigest()
    assert seen == {f"[redacted:private_key:{hashed}]"}


def test_a_vendors_format_says_more_than_the_name() -> None:
    """Under a secret's name a known key is called what it is, and the scheme before it stays readable."""
    secret = SECRETS["anthropic"][1](Random(4))
    document = {"api_key": secret, "authorization": f"Bearer {secret}", "password": "letmein"}
    result = REDACTOR.redact(dumps(document).encode())
    assert result.counts == {"anthropic": 2, "password": 1}
    redacted = json.loads(result.payload)
    assert redacted["authorization"] == f"Bearer {redacted['api_key']}"


def test_every_other_byte_is_kept() -> None:
    """Numbers of any size, spaces, order, repeated keys and escapes survive around a replaced secret."""
    before, after = (
        b'{ "n": [1e400, -0.0, 1.10, 0.1, 1E5, %d],"n":"\\u00e9\\/\\n\\ud83d\\udd11", ' % 2**70,
        b', "z" :null }\n',
    )
    result = REDACTOR.redact(before + b'"password": "letmein"' + after)
    kept, _, rest = result.payload.partition(b'"password": "[redacted:password:')
    assert (kept, rest[8:]) == (before, b']"' + after)


def test_a_salt_that_could_be_guessed_is_refused() -> None:
    """Short and over-long salts are refused with the bounds they have to keep."""
    for salt in (b"", b"short", bytes(65)):
        with pytest.raises(ValueError, match="give 16 to 64"):
            Redactor(salt)


def test_a_suspect_that_is_no_json_is_refused() -> None:
    """What cannot be read cannot be cleaned: the redactor raises, so that its caller withholds."""
    for payload in (
        b'{"password":"letmein"',
        b'{"password":"\xff"}',
        b'{"password":"x","n":NaN}',
        b'{"password":"\\ud800"}',
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are those of the JSON reader
            REDACTOR.redact(payload)


# --------------------------------------------------------------------------------------------- withholding


def test_withholding_replaces_every_string() -> None:
    """When redaction fails no text is kept: only structure, field names, numbers and the fields asked for."""
    document = {
        "kind": "observation",
        "status": "completed",
        "ok": True,
        "n": [1, 2.5, None, "abc", "abcd"],
        "result": {"text": "anything", "status": "text here", "a key with text": {"k2": ""}},
    }
    result = REDACTOR.withhold(dumps(document).encode(), keep=("kind", "status"))
    withheld = json.loads(result.payload)
    assert (withheld["kind"], withheld["status"], withheld["ok"]) == ("observation", "completed", True)
    assert withheld["n"][:4] == [1, 2.5, None, "abc"]
    assert result.counts == {"unscannable": 4}
    assert re.fullmatch(r"\[redacted:unscannable:[0-9a-f]{8}\]", withheld["result"]["text"])
    assert list(withheld["result"])[:2] == ["text", "status"]
    assert "a key with text" not in withheld["result"]
    assert REDACTOR.withhold(b'{"name":"status","value":"kept"}', keep=("name", "value")).counts == {}
    again = REDACTOR.withhold(result.payload, keep=("kind", "status"))
    assert again.payload is result.payload


# --------------------------------------------------------------------------------------------------- rules


def test_a_project_adds_its_own_rules() -> None:
    """Patterns and names of a configuration table work like the built-in ones, the built-in ones still do."""
    rules = DEFAULT_RULES.extended_from(
        {
            "patterns": {"acme": {"regex": r"ACME-(?P<secret>\d{6})", "literals": ["acme-"]}},
            "names": ["licence code"],
        }
    )
    redactor = Redactor(bytes(16), rules)
    text = 'code ACME-123456, licenceCode: "abcd", password=hunter2'
    payload = dumps({"text": text, "LICENCE_CODE": "x", "licence": "y"}).encode()
    result = redactor.redact(payload)
    assert result.counts == {"acme": 1, "licence_code": 2, "password": 1}
    assert b"ACME-[redacted:acme:" in result.payload
    assert b'"licence":"y"' in result.payload
    assert redactor.suspects([b"{}", payload]) == [1]
    assert REDACTOR.redact(dumps({"text": "ACME-123456"}).encode()).counts == {}


def test_a_projects_literal_is_found_inside_a_common_one() -> None:
    """A literal is found also where a common one, which does not count there, overlaps it."""
    pattern = SecretPattern("acme", re.compile(r"key-acme-\d+"), ("key-acme-",))
    redactor = Redactor(bytes(16), DEFAULT_RULES.extended(patterns=[pattern]))
    assert redactor.redact(payload_of("the api-key-acme-123 one")).counts == {"acme": 1}


def test_a_pattern_without_literals_runs_on_every_step_when_asked_to() -> None:
    """A secret without any fixed text is found too, at the price of reading every payload."""
    pattern = SecretPattern("ssn", re.compile(r"\b\d{3}-\d{2}-\d{4}\b"), every_step=True)
    redactor = Redactor(bytes(16), DEFAULT_RULES.extended(patterns=[pattern]))
    payload = payload_of("his number is 078-05-1120")
    assert redactor.suspects([b"{}", payload]) == [0, 1]
    assert redactor.redact(payload).counts == {"ssn": 1}
    assert redactor.redact(b'{"a":1}').counts == {}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"pattern": {}}, "redaction has an unknown entry: pattern"),
        ({"patterns": ["a"]}, "redaction.patterns is"),
        ({"patterns": {"a": "b"}}, "redaction.patterns.a is 'b'; write"),
        ({"patterns": {"a": {}}}, "redaction.patterns.a.regex is None; give"),
        (
            {"patterns": {"a": {"regex": "(", "literals": ["abc"]}}},
            "redaction.patterns.a.regex '.' does not compile",
        ),
        ({"patterns": {"a": {"regex": "abc", "literal": "abc"}}}, "unknown entry: literal"),
        ({"patterns": {"a": {"regex": "abc"}}}, "every_step = true"),
        ({"patterns": {"a": {"regex": "abc", "every_step": 1}}}, "every_step is 1; write true"),
        ({"patterns": {"a": {"regex": "abc", "literals": "abc"}}}, "literals is 'abc'; give a list"),
        ({"patterns": {"a": {"regex": "abc", "literals": ["a"]}}}, "has the literal 'a', too little"),
        ({"patterns": {"a": {"regex": 'a"/b', "literals": ['a"/b']}}}, "without quotes and slashes"),
        ({"patterns": {"a": {"regex": "a*", "literals": ["aaa"]}}}, "matches empty text"),
        ({"patterns": {"A B": {"regex": "abc", "literals": ["abc"]}}}, "has no proper kind"),
        ({"names": "licence"}, "redaction.names is 'licence'; give a list of strings"),
        ({"names": ["licence", 7]}, "redaction.names is"),
        ({"names": ["pin"]}, "secret name 'pin'"),
        ({"names": ["密码密码"]}, "secret name"),
    ],
)
def test_a_wrong_rule_is_refused_by_name(table: dict[str, object], message: str) -> None:
    """A configuration that cannot work is refused with the entry's name and what to write."""
    with pytest.raises(ValueError, match=re.escape(message).replace("'\\.'", ".*")):
        DEFAULT_RULES.extended_from(table)


def test_rules_cannot_be_changed() -> None:
    """Rules and results are values: assigning to them is refused."""
    for value, name in (
        (DEFAULT_RULES, "names"),
        (DEFAULT_RULES.patterns[0], "kind"),
        (REDACTOR.redact(b"{}"), "payload"),
    ):
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    assert RedactionRules() == DEFAULT_RULES


# ----------------------------------------------------------------------------------------------- properties

EVERY_RULE = _Met(frozenset({-1, *range(len(DEFAULT_RULES.patterns))}), None)
SHAPES = [(kind, build) for kind, build in SECRETS.values()]
PIECES = st.one_of(
    st.sampled_from(
        [*WORDS, *SECRET_NAMES, *OTHER_NAMES, "=", ": ", ":", " = ", " => ", " is ", '"', "'", "`", "\\"]
    ),
    st.sampled_from(
        [" ", "\n", "\t", "\r\n", "/", "://", "@", "?", "&", ";", ",", "(", ")", "{", "}", "--", "-", "\0"]
    ),
    st.sampled_from(
        ["hunter2", "s3cr3t99", "x", "é", "🔑", "İ", "\u017f", "\x1b[0m", "Bearer ", "Basic ", "Cookie: a="]
    ),
    st.sampled_from(
        ["[redacted:password:1a2b3c4d]", "https://a:b@c", "-----BEGIN PRIVATE KEY-----", "password: "]
    ),
    st.builds(lambda shape, seed: shape[1](Random(seed)), st.sampled_from(SHAPES), st.integers(0, 9)),
    st.text(max_size=8),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join).filter(str.isprintable) | st.lists(
    PIECES, max_size=12
).map("".join)


GAPS = st.text(" \t", max_size=3)
BEFORE = st.sampled_from(
    ["", " ", "\n", "\t", "é", "--", "a ", "x\n-", "'", '"', "\\", "a.b.", "https://x.y/?"]
)
SEPARATORS = st.sampled_from(
    ["=", ":", ": ", " = ", ":=", " => ", " is ", " ", '": "', "': '", '"] = "', "`=`", ">"]
)
VALUES = st.sampled_from(
    ["hunter2", "s3cr3t99 ", 'hunter2"', "hunter2'", "hunter2</", "letmein\nx", "letmein", "Bearer s3cr3t99"]
)
ASSIGNMENTS = st.tuples(BEFORE, st.sampled_from(SECRET_NAMES), GAPS, SEPARATORS, GAPS, VALUES).map("".join)
LONE_SECRETS = st.builds(
    lambda before, shape, seed, after: before + shape[1](Random(seed)) + after,
    *(
        BEFORE,
        st.sampled_from(SHAPES),
        st.integers(0, 99),
        st.sampled_from(["", "\n", " ", "!", '"', ".", "é"]),
    ),
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Documents with secrets, their names and syntax, alone or thrown together, in several depths."""
    text = draw(ASSIGNMENTS | LONE_SECRETS | TEXTS).encode("utf-8", "ignore").decode()
    flag = draw(st.sampled_from(["--password", "--db_password", "-api-key", "list"]))
    shape = draw(st.sampled_from(["text", "list", "key", "flag", "governed"]))
    for _ in range(draw(st.integers(0, 3))):
        text = json.dumps({"content": text}, ensure_ascii=draw(st.booleans()))
        if draw(st.booleans()):
            text = text.replace("/", "\\/")
    document: dict[str, object] = {
        "text": {"text": text},
        "list": {"n": [1e300, [text, {"b": text}]]},
        "key": {text: 1},
        "flag": {"command": [flag, text]},
        "governed": {draw(st.sampled_from([*SECRET_NAMES, *OTHER_NAMES])): [text]},
    }[shape]
    payload = json.dumps(document, ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from([payload, payload.replace("s", "\\u0073")])).encode()


def leaves(value: object) -> object:
    """The structure of a document with all that is no string."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return [leaves(item) for item in value]
    if isinstance(value, dict):
        return [leaves(item) for item in value.values()]
    return value


@given(payloads(), payloads())
@example(b'{"text":"password is hunter2"}', b"{}")
@example(b'{"text":"API key is hunter2"}', b"{}")
@example(b'{"text":"`password` is hunter2"}', b"{}")
@example(b'{"text":"{\\"a\\":\\"\\\\\\"password\\\\\\"\\\\t is hunter2\\"}"}', b"{}")
@example(b'{"text":"password\\t= \\t hunter2"}', b"{}")
@example(b'{"text":"pa\\u0073\\u0073word=hunter2"}', b"{}")
@example(b'{"text":"password\\u0009=hunter2"}', b"{}")
@example(b'{"command":["--db_password","x"]}', b"{}")
@example(b'{"env":[{"name":"SECRET", "value":"x"}]}', b"{}")
@example(b'{"text":"mysql --password hunter2"}', b"{}")
@example(b'{"text":"<password>hunter2</password>"}', b"{}")
@example(b'{"text":"https:\\/\\/a:b@c"}', b"{}")
@example(b'{"text":"{\\"a\\":\\"https:\\\\/\\\\/a:b@c\\"}"}', b"{}")
@example(b'{"text":"redis://:b@c"}', b"{}")
@example(payload_of("\n" + jwt(Random(5))), b"{}")
@example(json.dumps({"text": "\xe9sk-" + run(Random(6), 32)}).encode(), b"{}")
def test_whatever_would_be_replaced_is_suspected(payload: bytes, neighbour: bytes) -> None:
    """The fast search misses nothing that all rules, run on everything without it, would find."""
    everything = REDACTOR._found_by(EVERY_RULE, payload.decode())
    assert REDACTOR._found(payload) == everything
    if everything:
        assert 1 in REDACTOR.suspects([neighbour, payload, neighbour])
        assert REDACTOR.suspects([payload]) == [0]


@given(payloads())
def test_the_result_is_the_same_document(payload: bytes) -> None:
    """What comes back is JSON of the same structure, with the same numbers, and counts every placeholder."""
    result = REDACTOR.redact(payload)
    assert leaves(json.loads(result.payload)) == leaves(json.loads(payload))
    new = len(PLACEHOLDER.findall(result.payload.decode())) - len(PLACEHOLDER.findall(payload.decode()))
    assert new <= sum(result.counts.values())
    assert (result.payload is payload) == (not result.counts)


@given(payloads())
def test_redacting_twice_changes_nothing_more(payload: bytes) -> None:
    """A placeholder is never taken for a secret, nor does it make one of its surroundings."""
    once = REDACTOR.redact(payload)
    assert REDACTOR.redact(once.payload).counts == {}


# Hypothesis also tries the constants it finds in this repository, the passwords of these tests among them.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="=:@"))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
KEYS = TEXT.filter(lambda key: SecretNames(DEFAULT_RULES.names).kind_of(key) is None)


@given(
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    )
)
@example({"max_tokens": 1200, "token_ids": [1, 2], "password": None, "secret": False, "api_key": 1e22})
def test_a_payload_without_secrets_comes_back_itself(document: object) -> None:
    """Arbitrary documents are returned as the very same object."""
    payload = dumps({"result": document}).encode()
    assert REDACTOR.redact(payload).payload is payload


@given(
    st.sampled_from(SHAPES),
    st.integers(0, 10**6),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(0, 3),
)
def test_a_secret_between_any_texts_is_replaced(
    shape: tuple[str, Callable[[Random], str]], seed: int, around: str, depth: int
) -> None:
    """Whatever surrounds a secret, short of gluing letters to it, and however deep, it goes."""
    secret = shape[1](Random(seed))
    text = f"{around} {secret} {around}"
    for _ in range(depth):
        text = json.dumps([text])
    assert not traces(REDACTOR.redact(dumps({"text": text}).encode()).payload, secret)


# ---------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_takes_linear_time(name: str) -> None:
    """The worst text for an expression is read in a moment; what is not linear takes minutes at this size."""
    piece = HOSTILE[name]
    text = piece * (150_000 // len(piece))
    started = time.perf_counter()
    for variant in (text, "password: sk-ant- https://a:b eyJ --api-key " + text + ' "!'):
        REDACTOR.redact(payload_of(variant))
    assert time.perf_counter() - started < 5
