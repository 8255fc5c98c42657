"""What is taken for a secret: the formats that vendors publish, the names of secrets, and a project's own.

Knows texts: given a string, a pattern says where in it a secret of its shape stands. It must not know JSON,
payloads or placeholders, nor how a text is searched fast; that is ``redaction``. Values that only their name
gives away are found by ``secret_names``.

Every expression is linear: runs of one class of characters, possessive or bounded where they repeat, and
begun behind a boundary, so that a run that failed is not tried again from its middle.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from stepstream.store.secret_names import NAME_LENGTH_MAX, TEMPLATE, Found, is_bare_secret, is_mask, words_of

_KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TRIGGER_CHARACTERS_MIN = 3
_NAME_LETTERS_MIN = 4


def _invalid(where: str, what: str, remedy: str) -> ValueError:
    return ValueError(f"{where} {what}; {remedy}")


def _always(_: re.Match[str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class SecretPattern:
    """One shape of secret.

    Args:
        kind: What placeholders and counts call it.
        regex: The expression. Its group named ``secret`` is what is replaced, else all that it matched.
        literals: Texts of which at least one stands in every match, in any case of letters. All payloads are
            searched for all literals at once, and only those that hold one ever meet the expression: this is
            what makes redaction affordable.
        every_step: Run the expression on every step instead. It is for a secret without any fixed text, such
            as a social security number; every step then costs tens of microseconds where literals cost less
            than one, so it has to be asked for and never happens by leaving something out.
        nearby: A cheap look at the raw payload from where a literal begins (lower-cased bytes, escapes as
            they are); a literal that does not pass does not count. It may refuse nothing that the expression
            takes, in no depth of escaping. For literals that are common in plain text.
        accepts: The last word on a match, for what an expression cannot say.
    """

    kind: str
    regex: re.Pattern[str]
    literals: tuple[str, ...] = ()
    every_step: bool = False
    nearby: re.Pattern[bytes] | None = None
    accepts: Callable[[re.Match[str]], bool] = _always

    def __post_init__(self) -> None:
        where = f"the secret pattern {self.kind!r}"
        if not _KIND.fullmatch(self.kind):
            raise _invalid(where, "has no proper kind", "use up to 32 of a-z, 0-9, _ and -, a letter first")
        if not self.literals and not self.every_step:
            remedy = "list texts of which one stands in every match, or set every_step = true"
            raise _invalid(where, "has no literals and would have to be run on every step", remedy)
        if self.regex.search("") is not None:
            raise _invalid(where, f"matches empty text by {self.regex.pattern!r}", "make it match a secret")
        for literal in self.literals:
            if trigger_of(literal) is None:
                remedy = (
                    f"give {_TRIGGER_CHARACTERS_MIN} ASCII characters in a row without quotes and slashes"
                )
                raise _invalid(where, f"has the literal {literal!r}, too little to search for", remedy)

    def find(self, text: str) -> Iterator[Found]:
        """Every secret of this shape in the text, from left to right."""
        group: str | int = "secret" if "secret" in self.regex.groupindex else 0
        for match in self.regex.finditer(text):
            if self.accepts(match):
                yield Found(*match.span(group if match[group] else 0), self.kind)


# Quotes, slashes and backslashes look different in every depth of JSON escaping, so no search relies on them.
_UNAMBIGUOUS = re.compile(r"""(?:(?!["'\\/])[ -~])+""")


def trigger_of(literal: str) -> str | None:
    """The longest piece of a literal that reads the same in any payload, in lower case; None if too short."""
    if literal.startswith("://"):
        return literal
    longest = max(_UNAMBIGUOUS.findall(literal), key=len, default="")
    return longest.lower() if len(longest) >= _TRIGGER_CHARACTERS_MIN else None


# -------------------------------------------------------------------------------- what a match must also be

_KEY_MATERIAL = re.compile(r"[A-Za-z0-9+/]{32}")
_PORT = re.compile(r"\d{1,5}[,;|)]")
_CASES_MIN = 6
_LONG_CREDENTIAL = 40


def _holds_key_material(match: re.Match[str]) -> bool:
    """A text that speaks of PEM headers has them, but no key between them."""
    return _KEY_MATERIAL.search(match[0]) is not None


def _is_mixed_case(match: re.Match[str]) -> bool:
    """Hugging Face's tokens are letters alone; an identifier of that length has few capitals."""
    letters = match[0].partition("_")[2]
    return min(sum(map(str.isupper, letters)), sum(map(str.islower, letters))) >= _CASES_MIN


def _has_digit(match: re.Match[str]) -> bool:
    return any(map(str.isdigit, match[0]))


def _is_user_and_password(encoded: str) -> bool:
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return ":" in decoded and decoded.isprintable()


def _is_basic_credential(match: re.Match[str]) -> bool:
    return _is_user_and_password(match["secret"])


def _is_credential(match: re.Match[str]) -> bool:
    """Whether ``Bearer`` is followed by a token and not by code or by the next word of a sentence."""
    secret = match["secret"]
    if match.string[match.end() : match.end() + 1] in ("(", "[", "{"):
        return False
    return (
        is_bare_secret(secret)
        or _is_user_and_password(secret)
        or (len(secret) >= _LONG_CREDENTIAL and _has_digit(match))
    )


def _is_filled_in(match: re.Match[str]) -> bool:
    return not ("{" in match["secret"] or TEMPLATE.search(match["secret"]) or is_mask(match["secret"]))


def _is_password_in_url(match: re.Match[str]) -> bool:
    """Neither a list of hosts with ports (``mongodb://a:1,b@...``) nor a template (``{user}:{password}``)."""
    return _is_filled_in(match) and not _PORT.match(match["secret"])


# ------------------------------------------------------------------------------------------ vendors' formats


def _pattern(
    kind: str,
    regex: str,
    *literals: str,
    nearby: bytes | None = None,
    accepts: Callable[[re.Match[str]], bool] = _always,
) -> SecretPattern:
    look = None if nearby is None else re.compile(nearby)
    return SecretPattern(kind, re.compile(regex, re.ASCII), literals, nearby=look, accepts=accepts)


def _begin(literal: str, not_after: str = "[A-Za-z0-9]") -> str:
    """A literal at a word's beginning. The literal comes first, for that is how ``re`` searches fast."""
    return f"{literal}(?<!{not_after}{literal})"


_B64 = "[A-Za-z0-9+/]"
_URL = "[A-Za-z0-9_-]"
_TOKEN = r"[A-Za-z0-9._~+/=-]"  # noqa: S105 - a class of characters (RFC 6750)
_NO_B64_BEFORE = r"(?<![A-Za-z0-9+/])"
_KEY_NAME = r"(?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
# In a raw payload a letter before a word may be that of an escaped line feed.
_WORD_START = rb"(?:(?<![a-z0-9])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))"
_AWS_NEARBY = rb"a[a-z]{3}[a-z2-7]{16}"

# More special before more general: of two patterns that meet in one place, the first names the secret.
_PATTERNS = (
    _pattern(
        "private_key",
        # The whole block; or, where the text was cut off before its end, all the key material there is.
        rf"-----BEGIN {_KEY_NAME}(?:[^-]*+(?:-(?!----)[^-]*+)*-----END {_KEY_NAME}"
        rf"|[\s\"'+,\\]{{0,16}}+(?>(?:[A-Za-z-]{{2,30}}+: [^\r\n]{{0,200}}+[\r\n]{{1,4}}+){{0,8}})"
        rf"{_B64}{{32}}[A-Za-z0-9+/=\s\"',\\]*+)",
        "private key",
        nearby=rb"private key(?: block)?-",
        accepts=_holds_key_material,
    ),
    _pattern("anthropic", rf"sk-ant-{_URL}{{20,}}+", "sk-", nearby=rb"sk-ant-[a-z0-9_-]{20}"),
    _pattern("openrouter", r"sk-or-v1-[0-9a-f]{32,}+", "sk-", nearby=rb"sk-or-v1-"),
    _pattern("langfuse", r"sk-lf-[0-9a-f-]{32,}+", "sk-", nearby=rb"sk-lf-"),
    _pattern(
        "openai",
        rf"sk-(?:proj|svcacct|admin|None)-{_URL}{{20,}}+|sk-[A-Za-z0-9]{{20}}T3BlbkFJ[A-Za-z0-9]{{20,}}+",
        "sk-",
        nearby=rb"sk-(?:proj|svcacct|admin|none)-|sk-[a-z0-9]{20}t3blbkfj",
    ),
    # DeepSeek, Moonshot and every server that imitates OpenAI's.
    _pattern(
        "api_key",
        rf"{_begin('sk-')}[A-Za-z0-9]{{32,}}+",
        "sk-",
        nearby=_WORD_START + rb"sk-[a-z0-9]{32}",
    ),
    _pattern(
        "google",
        # Auth keys, `AQ.Ab...`, are what AI Studio hands out since June 2026 in place of `AIza...`.
        rf"{_NO_B64_BEFORE}(?:AIza{_URL}{{35,}}+|AQ\.Ab{_URL}{{30,}}+|GOCSPX-{_URL}{{20,}}+)",
        *("aiza", "aq.ab", "gocspx-"),
        nearby=rb"[a-z0-9._-]{24}",
    ),
    _pattern("google", rf"{_NO_B64_BEFORE}ya29\.[A-Za-z0-9._-]{{20,}}{_URL}", "ya29."),
    _pattern(
        "aws",
        rf"{_NO_B64_BEFORE}(?:AKIA|ASIA)[A-Z2-7]{{16}}(?![A-Za-z0-9+/=])",
        "akia",
        "asia",
        nearby=_AWS_NEARBY,
    ),
    # A strand of DNA may begin with ACCA too, and a primer has twenty letters.
    _pattern(
        "aws",
        rf"{_NO_B64_BEFORE}(?:ABIA|ACCA)[A-Z2-7]{{16}}(?![A-Za-z0-9+/=])",
        *("abia", "acca"),
        nearby=_AWS_NEARBY,
        accepts=_has_digit,
    ),
    _pattern(
        "github",
        # Installation tokens are `ghs_<application>_<JWT>` of some 520 characters since April 2026.
        rf"gh[pousr]_(?:[0-9]{{1,20}}_{_URL}{{8,}}+\.{_URL}{{8,}}+\.{_URL}{{8,}}+|[A-Za-z0-9]{{36,}}+)",
        *("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        nearby=rb"gh._[a-z0-9_.-]{20}",
    ),
    _pattern("github", r"github_pat_[A-Za-z0-9_]{36,}+", "github_pat_"),
    _pattern(
        "gitlab",
        rf"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|oas|ffct|wt)-{_URL}{{20,}}+"
        r"(?:\.[0-9a-z]{2}\.[0-9a-z]{9}|\.[0-9a-z]{9})?",
        *("glpat-", "gldt-", "glrt-", "glrtr-", "glcbt-", "glptt-", "glft-"),
        *("glimt-", "glagent-", "glsoat-", "gloas-", "glffct-", "glwt-"),
        nearby=rb"gl[a-z]{2,5}-[a-z0-9_-]{20}",
    ),
    _pattern("gitlab", rf"GR1348941{_URL}{{20,}}+", "gr1348941"),
    _pattern(
        "slack",
        rf"xox[abcdeoprs]-\d[A-Za-z0-9-]{{9,}}+|xoxe\.xox[bp]-\d-{_URL}{{10,}}+|xoxd-[A-Za-z0-9%+/=_-]{{20,}}+"
        r"|xapp-\d-[A-Za-z0-9-]{20,}+",
        *("xox", "xapp-"),
        nearby=rb"xox[a-z][-.]|xapp-\d",
    ),
    _pattern(
        "slack",
        r"(?i:hooks\.slack\.com)/(?:services|workflows|triggers)/(?P<secret>[\w/-]{20,}+)",
        "hooks.slack.com",
    ),
    _pattern(
        "stripe",
        rf"(?<![A-Za-z0-9])(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{{10,}}+|whsec_{_B64}{{20,}}+={{0,2}}",
        *("k_live_", "k_test_", "whsec_"),
    ),
    _pattern(
        "huggingface",
        r"(?<![A-Za-z0-9_])(?:hf|api_org)_[A-Za-z0-9]{34,40}+(?![A-Za-z0-9_])",
        *("hf_", "api_org_"),
        nearby=rb"(?:hf|api_org)_[a-z0-9]{34}",
        accepts=_is_mixed_case,
    ),
    _pattern(
        "npm",
        rf"{_begin('npm_', not_after='[A-Za-z0-9_]')}[A-Za-z0-9]{{36,40}}+(?![A-Za-z0-9_])",
        "npm_",
        nearby=rb"npm_[a-z0-9]{36}",
    ),
    _pattern("pypi", rf"pypi-AgE{_URL}{{50,}}+", "pypi-age"),
    _pattern(
        "azure",
        rf"(?i:AccountKey|AccessKey|SharedSecretValue)=(?P<secret>{_B64}{{30,}}+={{0,2}})",
        *("accountkey=", "accesskey=", "sharedsecretvalue="),
    ),
    _pattern(
        "azure",
        # Identifiable keys carry their service's mark in one place: storage, Cosmos DB, AI services.
        rf"{_NO_B64_BEFORE}(?:{_B64}{{76}}(?:\+ASt|ACDb){_B64}{{6}}==|[A-Za-z0-9]{{52}}JQQJ9[A-Za-z0-9]{{20,40}}+)",
        *("+ast", "acdb", "jqqj9"),
    ),
    _pattern(
        "azure",
        r"(?<![\w~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}+(?![\w~.-])",
        *("7q~", "8q~", "9q~"),
        nearby=rb"\dq~[a-z0-9_~.-]{31}",
    ),
    # Addresses that open a file for whoever holds them.
    _pattern(
        "signature",
        r"[?&;]sig=(?P<secret>[A-Za-z0-9%+/_-]{30,}+={0,2})",
        "sig=",
        nearby=rb"sig=[\w%+/\\-]{30}",
    ),
    _pattern("signature", r"(?i:-signature)=(?P<secret>[0-9a-fA-F]{64,}+)", "-signature="),
    _pattern("groq", rf"{_begin('gsk_')}[A-Za-z0-9]{{40,}}+", "gsk_", nearby=rb"gsk_[a-z0-9]{40}"),
    _pattern("xai", rf"{_begin('xai-')}[A-Za-z0-9]{{60,}}+", "xai-", nearby=rb"xai-[a-z0-9]{60}"),
    _pattern("perplexity", r"pplx-[A-Za-z0-9]{40,}+", "pplx-"),
    _pattern("replicate", rf"{_begin('r8_')}[A-Za-z0-9]{{37,}}+", "r8_", nearby=rb"r8_[a-z0-9]{37}"),
    _pattern("nvidia", rf"nvapi-{_URL}{{60,}}+", "nvapi-"),
    _pattern("langsmith", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", "lsv2_"),
    _pattern("tavily", rf"tvly-{_URL}{{20,}}+", "tvly-"),
    _pattern("databricks", rf"{_begin('dapi')}[0-9a-f]{{32}}(?:-\d)?", "dapi", nearby=rb"dapi[0-9a-f]{32}"),
    _pattern("digitalocean", r"do[opr]_v1_[0-9a-f]{64}", "_v1_", nearby=rb"(?<=do[a-z])_v1_"),
    _pattern("docker", rf"dckr_[op]at_{_URL}{{20,}}+", "dckr_"),
    _pattern(
        "vault",
        rf"(?<![A-Za-z0-9])hv[sbr]\.{_URL}{{24,}}+",
        *("hvs.", "hvb.", "hvr."),
        nearby=rb"hv.\.[a-z0-9_-]{24}",
    ),
    # Our own: `stepstream token create` shows them, and agents read what people type.
    _pattern("stepstream", r"sst_[0-9a-f]{12}_[0-9a-f]{32,64}+", "sst_", nearby=rb"sst_[0-9a-f]{12}_"),
    _pattern("age", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}+", "age-secret-key-1"),
    _pattern(
        "jwt",
        # Three parts, five where the content is encrypted; Flask's signed cookies have the same shape.
        rf"{_begin('eyJ', not_after=_URL)}{_URL}{{8,}}+\."
        rf"(?:{_URL}{{4,}}+\.{_URL}{{8,}}+(?:\.{_URL}{{8,}}+){{0,2}}"
        rf"|eyJ{_URL}{{6,}}+\.|\.{_URL}{{8,}}+\.{_URL}{{8,}}+\.{_URL}{{8,}}+)",
        "eyj",
        nearby=_WORD_START + rb"eyj[a-z0-9_-]{8,}+\.",
    ),
    _pattern(
        "authorization",
        r"(?i)(?<![a-z0-9])authorization[\"'\]]{0,2}[ \t]{0,4}(?:=>|[:=,])[ \t]{0,4}(?:[bfru]{0,2}[\"'])?"
        r"(?:(?:bearer|basic|token|apikey|api-key|key|bot|negotiate|ntlm|splunk)[ \t]{1,4})?"
        rf"(?P<secret>{_TOKEN}{{3,}}[A-Za-z0-9_~+/=-])",
        "authorization",
        accepts=_is_credential,
    ),
    _pattern(
        "authorization",
        rf"(?i)(?<![A-Za-z0-9])bearer[ ]{{1,4}}(?P<secret>{_TOKEN}{{9,}}[A-Za-z0-9_~+/=-])",
        "bearer ",
        nearby=rb"bearer [ ]{0,3}[a-z0-9._~+/=\\-]{10}",
        accepts=_is_credential,
    ),
    _pattern(
        "authorization",
        rf"(?i)(?<![A-Za-z0-9])basic[ ]{{1,4}}(?P<secret>{_B64}{{8,}}+={{0,2}})",
        "basic ",
        nearby=rb"basic [ ]{0,3}[a-z0-9+/\\]{8}",
        accepts=_is_basic_credential,
    ),
    _pattern(
        "cookie",
        r"(?i)(?<![A-Za-z0-9])(?:set-)?cookie[\"'\]]{0,2}[ \t]{0,4}:[ \t]{0,4}[\"']?"
        r"(?P<secret>[\w.!#$%&'*+^`|~-]{1,128}+=[^\r\n\"'\\]++)",
        "cookie",
        nearby=rb"""cookie[\\"'\]\st]{0,300}+:""",
        accepts=_is_filled_in,
    ),
    _pattern(
        "password",
        r"://(?<=[A-Za-z0-9]://)[^\s/?#@:\"'<>\\]{0,128}+:(?P<secret>[^\s/?#\"'<>\\]{1,512})@(?=[\w.\[-])",
        "://",
        nearby=rb""":?[\\/]{2,40}+[^\s/":@]{0,800}+:[^\s/"@]{1,4000}+@""",
        accepts=_is_password_in_url,
    ),
    _pattern(
        "password", r"(?i);[ ]?pwd=(?P<secret>[^;\"'\s\\]++)", "pwd=", nearby=rb"(?<=;)pwd=|(?<=; )pwd="
    ),
)

# Names that mean a secret when they end a longer name. Not `token` (log-probabilities have it, with words),
# not `auth`, `credentials` and `key` (modes and identifiers), not `pwd` (the shell's working directory).
_NAMES = (
    *("authorization", "cookie", "passcode", "passphrase", "passwd", "password", "secret", "client_secret"),
    *("access_key", "account_key", "api key", "encryption_key", "master_key", "private key", "signing_key"),
    *("secret key", "secret access key", "subscription_key"),
    *("access token", "api_token", "auth_token", "bearer_token", "bot_token", "id_token", "oauth_token"),
    *("refresh_token", "security_token", "session_token"),
)


# -------------------------------------------------------------------------------------------------- rules


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """All that makes a redactor take something for a secret.

    Args:
        patterns: Shapes; of two that meet in one place the first names the secret.
        names: Names of secrets: ``api_key`` stands for ``apiKey``, ``api-key`` and ``OTHER_API_KEY`` too, and
            written with a space for a space as well.
    """

    patterns: tuple[SecretPattern, ...] = _PATTERNS
    names: tuple[str, ...] = _NAMES

    def __post_init__(self) -> None:
        for name in self.names:
            if sum(map(len, words_of(name))) < _NAME_LETTERS_MIN or len(name) > NAME_LENGTH_MAX:
                remedy = (
                    f"give {_NAME_LETTERS_MIN} to {NAME_LENGTH_MAX} characters, most of them ASCII letters"
                )
                raise _invalid(f"the secret name {name!r}", "is not a name to search for", remedy)

    def extended(self, *, patterns: Iterable[SecretPattern] = (), names: Iterable[str] = ()) -> Self:
        """These rules and a project's own; its patterns come first."""
        return replace(self, patterns=(*patterns, *self.patterns), names=(*self.names, *names))

    def extended_from(self, table: Mapping[str, object]) -> Self:
        """These rules and those of a TOML table.

        Args:
            table: ``[redaction]`` of a configuration file: ``names`` is a list of strings, ``patterns`` a
                table of ``kind = {regex = '...', literals = ['...']}``, or with ``every_step = true`` in
                place of literals (see `SecretPattern`).

        Raises:
            ValueError: The table says something else; the message names the entry and what to write.
        """
        _refuse_unknown(table, {"names", "patterns"}, "redaction")
        kinds = table.get("patterns", {})
        if not isinstance(kinds, Mapping):
            raise _invalid("redaction.patterns", f"is {kinds!r}", f"write kind = {_ENTRY} in it")
        patterns = [
            _pattern_of(f"redaction.patterns.{kind}", str(kind), entry) for kind, entry in kinds.items()
        ]
        return self.extended(patterns=patterns, names=_strings(table.get("names", ()), "redaction.names"))


_ENTRY = "{regex = '...', literals = ['...']}"


def _pattern_of(where: str, kind: str, entry: object) -> SecretPattern:
    if not isinstance(entry, Mapping):
        raise _invalid(where, f"is {entry!r}", f"write {_ENTRY}")
    _refuse_unknown(entry, {"regex", "literals", "every_step"}, where)
    regex, every_step = entry.get("regex"), entry.get("every_step", False)
    if not isinstance(regex, str):
        raise _invalid(f"{where}.regex", f"is {regex!r}", "give the regular expression as a string")
    if not isinstance(every_step, bool):
        raise _invalid(f"{where}.every_step", f"is {every_step!r}", "write true, or leave it out")
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise _invalid(f"{where}.regex", f"{regex!r} does not compile: {error}", "correct it") from error
    literals = _strings(entry.get("literals", ()), f"{where}.literals")
    return SecretPattern(kind, compiled, literals, every_step=every_step)


def _strings(value: object, where: str) -> tuple[str, ...]:
    items = tuple(value) if isinstance(value, (list, tuple)) else (None,)
    strings = tuple(item for item in items if isinstance(item, str))
    if len(strings) < len(items):
        raise _invalid(where, f"is {value!r}", "give a list of strings")
    return strings


def _refuse_unknown(table: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = ", ".join(sorted(map(str, set(table) - known)))
    if unknown:
        raise _invalid(where, f"has an unknown entry: {unknown}", f"it may have {', '.join(sorted(known))}")


DEFAULT_RULES = RedactionRules()
