"""Made-up secrets of every kind, and the places where secrets stand in what agents record.

None is real and none is written down: each is put together at run time, from the public prefix of its kind
and random characters, so that no scanner of repositories has anything to find.
"""

from __future__ import annotations

import base64
import json
import re
import string
import uuid
from collections.abc import Callable, Iterator
from random import Random

LOWER = string.ascii_lowercase + string.digits
ALNUM = string.ascii_letters + string.digits
URL = ALNUM + "_-"
B64 = ALNUM + "+/"
HEX = "0123456789abcdef"


def dumps(value: object) -> str:
    """JSON as pydantic-core writes it: compact, and not escaped where it need not be."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def payload_of(text: str) -> bytes:
    return dumps({"kind": "observation", "result": text, "input_tokens": 12}).encode()


def run(random: Random, count: int, characters: str = ALNUM) -> str:
    """Random characters, a digit and two letters surely among them."""
    chosen = [random.choice(characters) for _ in range(count)]
    places = random.sample(range(count), 3)
    for place, character in zip(places, "a7B" if "B" in characters else "a7b", strict=True):
        chosen[place] = character
    return "".join(chosen)


def pem(random: Random, name: str = "PRIVATE KEY") -> str:
    lines = [run(random, 64, B64) for _ in range(random.randint(3, 12))]
    return "\n".join(
        [f"-----BEGIN {name}-----", *lines, run(random, 30, B64) + "==", f"-----END {name}-----"]
    )


def jwt(random: Random) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    claims = base64.urlsafe_b64encode(f'{{"sub":"{run(random, 12)}"}}'.encode()).rstrip(b"=").decode()
    return f"{header}.{claims}.{run(random, 43, URL)}"


def openai(random: Random) -> str:
    return run(random, 20) + "T3Blbk" + "FJ" + run(random, 20)


SECRETS: dict[str, tuple[str, Callable[[Random], str]]] = {
    "openai legacy": ("openai", lambda r: "sk" + "-" + openai(r)),
    "openai project": (
        "openai",
        lambda r: "sk" + "-proj-" + run(r, 74, URL) + "T3Blbk" + "FJ" + run(r, 74, URL),
    ),
    "openai service": ("openai", lambda r: "sk" + "-svcacct-" + run(r, 120, URL)),
    "openai admin": ("openai", lambda r: "sk" + "-admin-" + run(r, 120, URL)),
    "openai alike": ("api_key", lambda r: "sk" + "-" + run(r, 32, HEX)),
    "anthropic": ("anthropic", lambda r: "sk" + "-ant-api03-" + run(r, 93, URL) + "AA"),
    "anthropic admin": ("anthropic", lambda r: "sk" + "-ant-admin01-" + run(r, 93, URL) + "AA"),
    "anthropic oauth": ("anthropic", lambda r: "sk" + "-ant-oat01-" + run(r, 90, URL)),
    "openrouter": ("openrouter", lambda r: "sk" + "-or-v1-" + run(r, 64, HEX)),
    "langfuse": ("langfuse", lambda r: "sk" + "-lf-" + str(uuid.UUID(int=r.getrandbits(128), version=4))),
    "google": ("google", lambda r: "AI" + "za" + run(r, 35, URL)),
    "google auth key": ("google", lambda r: "AQ" + ".Ab" + run(r, 48, URL)),
    "google oauth": ("google", lambda r: "GOC" + "SPX-" + run(r, 28, URL)),
    "google access": ("google", lambda r: "ya" + "29." + run(r, 120, URL)),
    "aws key": ("aws", lambda r: "AK" + "IA" + run(r, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").upper()),
    "aws session": ("aws", lambda r: "AS" + "IA" + run(r, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").upper()),
    "aws bearer": ("aws", lambda r: "AB" + "IA" + run(r, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").upper()),
    **{
        f"github {letter}": ("github", lambda r, letter=letter: f"gh{letter}" + "_" + run(r, 36))
        for letter in "pousr"
    },
    "github fine-grained": ("github", lambda r: "github" + "_pat_" + run(r, 22) + "_" + run(r, 59)),
    "github installation": ("github", lambda r: "gh" + "s_" + str(r.randrange(10**6, 10**7)) + "_" + jwt(r)),
    "gitlab": ("gitlab", lambda r: "gl" + "pat-" + run(r, 20, URL)),
    "gitlab routable": ("gitlab", lambda r: "gl" + "pat-" + run(r, 40, URL) + ".01." + run(r, 9, LOWER)),
    "gitlab runner": ("gitlab", lambda r: "gl" + "rt-" + run(r, 20, URL)),
    "gitlab trigger": ("gitlab", lambda r: "gl" + "ptt-" + run(r, 40, HEX)),
    "gitlab registration": ("gitlab", lambda r: "GR13" + "48941" + run(r, 20, URL)),
    "slack bot": (
        "slack",
        lambda r: "xox" + f"b-{r.randrange(10**11, 10**12)}-{r.randrange(10**11, 10**12)}-{run(r, 24)}",
    ),
    "slack user": ("slack", lambda r: "xox" + f"p-{r.randrange(10**11, 10**12)}-{run(r, 32, HEX)}"),
    "slack refresh": ("slack", lambda r: "xox" + f"e-1-{run(r, 146)}"),
    "slack app": (
        "slack",
        lambda r: "xa" + f"pp-1-A{run(r, 10)}-{r.randrange(10**12, 10**13)}-{run(r, 64, HEX)}",
    ),
    "stripe": ("stripe", lambda r: "sk" + "_live_" + run(r, 24)),
    "stripe restricted": ("stripe", lambda r: "rk" + "_live_" + run(r, 99)),
    "stripe test": ("stripe", lambda r: "sk" + "_test_" + run(r, 99)),
    "stripe webhook": ("stripe", lambda r: "wh" + "sec_" + run(r, 32)),
    "huggingface": ("huggingface", lambda r: "h" + "f_" + mixed(r, 34)),
    "npm": ("npm", lambda r: "np" + "m_" + run(r, 36)),
    "pypi": ("pypi", lambda r: "py" + "pi-AgEIcHlwaS5vcmc" + run(r, 150, URL)),
    "azure storage": ("azure", lambda r: run(r, 76, B64) + "+AS" + "t" + run(r, 6, B64) + "=="),
    "azure ai": ("azure", lambda r: run(r, 52) + "JQQ" + "J99" + run(r, 26)),
    "azure client": ("azure", lambda r: run(r, 3) + "8Q" + "~" + run(r, 34, URL + "~.")),
    "groq": ("groq", lambda r: "gs" + "k_" + run(r, 52)),
    "xai": ("xai", lambda r: "xa" + "i-" + run(r, 80)),
    "perplexity": ("perplexity", lambda r: "pp" + "lx-" + run(r, 48)),
    "replicate": ("replicate", lambda r: "r" + "8_" + run(r, 37)),
    "nvidia": ("nvidia", lambda r: "nv" + "api-" + run(r, 64, URL)),
    "langsmith": ("langsmith", lambda r: "lsv2" + "_pt_" + run(r, 32, HEX) + "_" + run(r, 10, HEX)),
    "tavily": ("tavily", lambda r: "tv" + "ly-" + run(r, 32)),
    "databricks": ("databricks", lambda r: "da" + "pi" + run(r, 32, HEX)),
    "digitalocean": ("digitalocean", lambda r: "do" + "p_v1_" + run(r, 64, HEX)),
    "docker": ("docker", lambda r: "dck" + "r_pat_" + run(r, 27, URL)),
    "vault": ("vault", lambda r: "hv" + "s." + run(r, 24, URL)),
    "stepstream": ("stepstream", lambda r: "ss" + "t_" + r.randbytes(6).hex() + "_" + r.randbytes(32).hex()),
    "age": ("age", lambda r: "AGE-SECRET" + "-KEY-1" + run(r, 58).upper()),
    "jwt": ("jwt", jwt),
    "jwt encrypted": (
        "jwt",
        lambda r: "ey" + "J" + ".".join([run(r, 40, URL), "", *(run(r, 20, URL) for _ in range(3))]),
    ),
    "private key": ("private_key", pem),
    "private rsa key": ("private_key", lambda r: pem(r, "RSA PRIVATE KEY")),
    "private ssh key": ("private_key", lambda r: pem(r, "OPENSSH PRIVATE KEY")),
    "private pgp key": ("private_key", lambda r: pem(r, "PGP PRIVATE KEY BLOCK")),
}


def mixed(random: Random, count: int) -> str:
    """Letters of both cases in turn, as many as chance would give."""
    return "".join(
        random.choice(string.ascii_uppercase if place % 2 else string.ascii_lowercase)
        for place in range(count)
    )


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def in_traceback(secret: str) -> str:
    return (
        'Traceback (most recent call last):\n  File "/srv/app.py", line 12, in call\n'
        f'    client = Client("{secret}", retries=3)\nAuthenticationError: 401: rejected "{secret}"'
    )


CONTEXTS: dict[str, Callable[[str], bytes]] = {
    "alone": payload_of,
    "in prose": lambda s: payload_of(f"It refused {s} twice; then it gave up."),
    "among other letters": lambda s: payload_of(f"Der Schlüssel „{s}“ gilt — 密码 🔑 — nicht mehr."),
    "at the start of a line": lambda s: payload_of(f"one\n{s}\nthree"),
    "behind a tab": lambda s: payload_of(f"one\t{s}\r\n"),
    "behind an escaped letter": lambda s: json.dumps({"result": f"é{s} ü"}).encode(),
    "in quotes": lambda s: payload_of(f"got '{s}', \"{s}\" and `{s}`"),
    "in a traceback": lambda s: payload_of(in_traceback(s)),
    "in a header": lambda s: payload_of(f"GET / HTTP/1.1\r\nHost: example.com\r\nX-Custom: {s}\r\n\r\n"),
    "as an object's key": lambda s: dumps({"result": {s: 1, "a": {"b": [s, {s: s}]}}}).encode(),
    "in a list": lambda s: dumps({"result": [1, ["a", s], s]}).encode(),
    "in JSON": lambda s: payload_of(dumps({"content": [{"value": s}]})),
    "in JSON in JSON": lambda s: payload_of(dumps({"content": dumps({"value": s, "n": 1e3})})),
    "in JSON in a code block": lambda s: payload_of(
        f"See:\n```json\n{json.dumps({'value': s}, indent=2)}\n```\n"
    ),
    "in a repr": lambda s: payload_of(repr({"value": s})),
    "all escaped": lambda s: f'{{"result":"x {escaped(s)} y"}}'.encode(),
    "all escaped in JSON": lambda s: payload_of(f'{{"content":"{escaped(s)}"}}'),
    "its slashes escaped": lambda s: payload_of(s).replace(b"/", b"\\/"),
    "its slashes escaped in JSON": lambda s: payload_of(dumps({"content": s}).replace("/", "\\/")),
}
IN_A_LINE: dict[str, Callable[[str], bytes]] = {
    "in a query": lambda s: payload_of(f"https://example.com/v1?x=1&k={s}&y=2"),
    "in a shell": lambda s: payload_of(f"$ curl -H 'X-Custom: {s}' https://example.com"),
    "behind an equals sign": lambda s: payload_of(f"KEY_ID={s}\nOTHER=1\n"),
}


def depths(text: str) -> Iterator[str]:
    """A text as it is, and as it reads with one, two... layers of escapes taken away."""
    for _ in range(6):
        yield text
        text = re.sub(
            r"""\\(["\\/bfnrt']|u[0-9a-fA-F]{4})""",
            lambda match: "'" if match[1] == "'" else json.loads(f'"{match[0]}"'),
            text,
        )


def traces(payload: bytes, secret: str) -> list[str]:
    """The lines of a secret that a payload still shows in any depth of escaping."""
    lines = [line for line in secret.splitlines() if not line.startswith("-----")]
    return [line for text in depths(payload.decode()) for line in lines if line in text]


NAMED = (
    "password={}",
    "password: {}",
    'password = "{}"',
    "password='{}'",
    'password: str | None = "{}"',
    "passwd := `{}`",
    "api_key: {}",
    '"api_key": "{}"',
    "'client_secret': '{}'",
    "'secret' => '{}'",
    'apiKey: "{}",',
    "DB_PASSWORD={}",
    "a=1\nexport SECRET_KEY={}\nb=2",
    "ENV APP_SECRET={}",
    "docker run -e API_KEY={} image",
    "https://example.com/v1?api_key={}&x=1",
    "https://example.com/callback#access_token={}&state=1",
    "login(user='ada', password='{}')",
    "mysql --password {} -h db",
    "tool --api-key={} run",
    'tool --client-secret "{}"',
    "<user>ada</user><password>{}</password>",
    "host=db user=app password={} dbname=x",
    "Server=db;Password={};Database=x",
    "Driver=ODBC;UID=sa;PWD={};",
    "the password is {} since monday",
    "My API key: {}",
    "X-Api-Key: {}",
    "aws_secret_access_key = {}",
    "spring.datasource.password={}",
    "//npm.example.com/:_authToken={}",
    "ValueError: refused password={!r}",
    "level=info msg=login password={} user=ada",
    "Authorization: Bearer {}",
    "authorization: token {}",
    '-H "Authorization: Bearer {}"',
    "headers={{'Authorization': 'Bearer {}'}}",
    "got Bearer {}, expected none",
    "Cookie: session={}; theme=dark",
    "Set-Cookie: sid={}; Path=/; HttpOnly",
    "redis://:{}@cache:6379/0",
    "postgresql+psycopg://ada:{}@db.example.com/app",
    "git clone https://oauth2:{}@git.example.com/a/b.git",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}==;EndpointSuffix=core.windows.net",
    "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=root;SharedAccessKey={}=",
    "https://a.blob.core.windows.net/c/f?sv=2024-11-04&sig={}%3D&se=2026",
    "https://hooks.slack.com/services/T01/B01/{}",
)
WRAPPINGS: dict[str, Callable[[str], bytes]] = {
    "text": payload_of,
    "lines": lambda s: payload_of(f"one: 1\n\n{s}\n  two = 2\n"),
    "JSON": lambda s: payload_of(dumps({"content": s, "more": ["a"]})),
    "JSON in JSON": lambda s: payload_of(json.dumps({"content": json.dumps({"value": s})})),
    "slashes escaped": lambda s: payload_of(dumps({"content": s}).replace("/", "\\/")),
    "all escaped": lambda s: f'{{"result":"{escaped(s)}"}}'.encode(),
}


SECRET_NAMES = (
    *("password", "PASSWORD", "Password", "passwd", "userPassword", "db_password", "password2", "passwords"),
    *("secret", "client_secret", "clientSecret", "CLIENT-SECRET", "app.secret", "passphrase"),
    *("api_key", "apiKey", "ApiKey", "API_KEY", "apikey", "APIKey", "x-api-key", "X-API-Key", "API key"),
    *("openai_api_key", "OPENAI_API_KEY", "api_keys", "subscription-key", "Ocp-Apim-Subscription-Key"),
    *("authorization", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie"),
    *(
        "access_token",
        "accessToken",
        "refresh_token",
        "id_token",
        "session_token",
        "sessionToken",
        "oauth_token",
    ),
    *("private_key", "privateKey", "aws_secret_access_key", "secretAccessKey", "encryption_key"),
)
OTHER_NAMES = (
    *("max_tokens", "tokens", "token", "token_ids", "token_count", "tokenizer", "input_tokens", "next_token"),
    *(
        "eos_token",
        "valid_token",
        "androidtoken",
        "secretary",
        "secret_name",
        "author",
        "authority",
        "authors",
    ),
    *(
        "auth",
        "credentials",
        "key",
        "keys",
        "keyboard",
        "monkey",
        "primary_key",
        "api_key_id",
        "password_hash",
    ),
    *("password_field", "passwordless", "pwd", "cookies_enabled", "AWS::IAM::AccessKey", "accessibility"),
)
SECRET_VALUES = (
    "x",
    "hunter2",
    "correct horse",
    "tschüß 密码 🔑",
    'a"b\\c\n\td',
    "null",
    "12345678",
    "/etc/passwd",
)
