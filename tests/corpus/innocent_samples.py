"""Texts without secrets that look as if they had some, and the worst texts for an expression to read."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from random import Random

from tests.corpus.secret_samples import B64, dumps, run


def uuid7(random: Random) -> str:
    return str(uuid.UUID(int=(random.getrandbits(48) << 80) | (7 << 76) | (2 << 62) | random.getrandbits(62)))


def certificate(random: Random) -> str:
    lines = [run(random, 64, B64) for _ in range(12)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"])


def identifier(random: Random) -> str:
    words = [
        random.choice(("get", "set", "token", "password", "secret", "api", "key", "user")) for _ in range(6)
    ]
    return random.choice(["_".join(words), words[0] + "".join(map(str.title, words[1:])), "-".join(words)])


WORDS = (
    *("lorem", "ipsum", "dolor", "sit", "amet", "the", "password", "secret", "token", "tokens", "key", "api"),
    *("access", "refresh", "bearer", "basic", "authorization", "cookie", "risk-averse", "task-1", "disk"),
    *("desk", "private", "public", "session", "credentials", "login", "author"),
)

PNG = b"\x89PNG\r\n\x1a\n"
INNOCENTS: dict[str, Callable[[Random], str]] = {
    "uuid4": lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    "uuid7": uuid7,
    "md5": lambda r: r.randbytes(16).hex(),
    "sha1": lambda r: f"commit {r.randbytes(20).hex()}\nAuthor: Ada <ada@example.com>",
    "sha256": lambda r: (
        f"docker.io/library/python@sha256:{r.randbytes(32).hex()} --hash=sha256:{r.randbytes(32).hex()}"
    ),
    "integrity": lambda r: f'"integrity": "sha512-{base64.b64encode(r.randbytes(64)).decode()}"',
    "base64": lambda r: base64.b64encode(r.randbytes(r.randint(30, 3000))).decode(),
    "base64 lines": lambda r: base64.encodebytes(r.randbytes(r.randint(30, 3000))).decode(),
    "base64url": lambda r: base64.urlsafe_b64encode(r.randbytes(r.randint(30, 3000))).decode(),
    "base32": lambda r: base64.b32encode(r.randbytes(100)).decode(),
    "image": lambda r: "data:image/png;base64," + base64.b64encode(PNG + r.randbytes(2000)).decode(),
    "hex dump": lambda r: "\n".join(f"{n:08x}  {r.randbytes(16).hex(' ')}" for n in range(0, 160, 16)),
    "token ids": lambda r: dumps(
        {"token_ids": [r.randrange(100_000) for _ in range(200)], "max_tokens": 1200}
    ),
    "log-probabilities": lambda r: dumps(
        {
            "logprobs": [
                {"token": r.choice(WORDS), "logprob": -r.random(), "bytes": list(r.randbytes(3))}
                for _ in range(30)
            ]
        }
    ),
    "usage": lambda r: dumps(
        {"usage": {"input_tokens": r.randrange(9999), "output_tokens": 7, "secret": None}}
    ),
    "date": lambda r: f"2026-0{r.randint(1, 9)}-1{r.randint(0, 9)}T12:0{r.randint(0, 9)}:00.123456Z",
    "url": lambda r: (
        f"https://example.com:8443/{r.randbytes(8).hex()}/a.b?page={r.randint(1, 9)}&id={uuid7(r)}&q=a@b#top"
    ),
    "email": lambda r: f"{r.choice(WORDS)}.{r.randint(1, 99)}@mail.example.com, <ada@example.org>",
    "lorem": lambda r: " ".join(r.choice(WORDS) for _ in range(80)),
    "sentences": lambda r: ". ".join(
        " ".join(r.choice(WORDS) for _ in range(7)).capitalize() for _ in range(9)
    ),
    "identifier": identifier,
    "code": lambda r: (
        f"def {identifier(r).replace('-', '_')}(user, password: str, *, api_key=None, secret=default):"
    ),
    "call": lambda r: (
        f"{identifier(r).replace('-', '_')}(password=self.password, api_key=settings.api_key{r.randrange(9)})"
    ),
    "ssh public key": lambda r: (
        f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA{base64.b64encode(r.randbytes(32)).decode()} ada@laptop"
    ),
    "certificate": certificate,
    "public key": lambda r: certificate(r).replace("CERTIFICATE", "PUBLIC KEY"),
    "dna": lambda r: (
        "ACCA"
        + "".join(r.choice("ACGT") for _ in range(16))
        + " "
        + "".join(r.choice("ACGT") for _ in range(300))
    ),
    "floats": lambda r: " ".join(f"{r.gauss(0, 1e3):e}" for _ in range(80)),
    "html": lambda r: (
        f'<a class="sk-container-id-{r.randint(1, 99)} sk-toggleable__content-arrow-on-hover" accesskey="s">'
    ),
    "etag": lambda r: (
        f'ETag: W/"{r.randbytes(16).hex()}"\r\nX-Request-Id: {uuid7(r)}\r\nCache-Control: max-age=60'
    ),
    "ipv6": lambda r: ":".join(f"{r.randrange(65536):x}" for _ in range(8)),
    "object id": lambda r: (
        f"chatcmpl-{run(r, 29)} call_{run(r, 24)} msg_{run(r, 24)} run-{run(r, 20)} pk_live_{run(r, 24)}"
    ),
}


HOSTILE = {
    "backslashes": "password=\\",
    "quotes": 'password="',
    "mixed quotes": "password='a\" ",
    "assignments": "password=",
    "colons": "password:",
    "names": "api_key-",
    "sentences": "api key is ",
    "headers": "-----BEGIN PRIVATE KEY-----",
    "header lines": "-----BEGIN PRIVATE KEY-----\nA: b\n",
    "base64": "eyJ",
    "base64 with dots": "eyJhbGciOiJI.",
    "addresses": "https://a:",
    "addresses with at": "https://a:b@",
    "prefixes": "sk-ant-",
    "prefix and run": "sk-" + "a" * 31 + " ",
    "cookies": "Cookie: a=b ",
    "flags": "--password ",
    "elements": "<password>",
    "bearer": "Bearer ",
    "authorization": "Authorization: ",
    "escapes": "\\u0070assword",
    "placeholders": "[redacted:password:12345678]",
    "spaces": "password" + " " * 7,
    "azure": "a" * 75 + "+ASt",
    "words": "secret",
    "dots": "ghs_.",
    "gaps": "password\t",
}
