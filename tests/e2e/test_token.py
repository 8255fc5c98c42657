"""``stepstream token``: tokens are made, listed and taken back, as a person and a script do it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from stepstream.schemas.record import JsonObject
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import TokenFile

if TYPE_CHECKING:
    from tests.support.command_line import CommandLine, Done

    Run = Callable[..., Done]

TOKEN = re.compile(r"sst_[0-9a-f]{12}_[0-9a-f]{64}")


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    """The tokens as a server sees them."""
    return TokenFile(tmp_path / "history.db")


def listed(done: Done) -> list[JsonObject]:
    """What ``token ls --json`` has printed."""
    return cast("list[JsonObject]", done.json()["tokens"])


class TestCreate:
    """``token create``."""

    def test_the_token_alone_is_printed(self, stepstream: CommandLine, tokens: TokenFile) -> None:
        """On stdout stands the token and nothing else; what to do with it is told beside."""
        done = stepstream("token", "create", "--scope", "read", "--scope", "record", "--name", "ci")
        token = tokens.authenticate(done.out.removesuffix("\n"))

        assert done.code == 0
        assert token is not None
        assert (token.name, token.scopes) == ("ci", (Scope.READ, Scope.RECORD))
        assert TOKEN.search(done.err) is None
        assert f"stepstream token revoke {token.id}" in done.err
        assert "not shown again" in done.err

    def test_the_same_as_json(self, inside: Run, tokens: TokenFile) -> None:
        """A script gets the token with all that is known of it."""
        made = inside("token", "create", "--scope", "read", "--expires", "90d", "--json").json()

        found = tokens.authenticate(str(made["token"]))
        assert found is not None
        assert (made["id"], made["name"], made["scopes"]) == (found.id, found.id, ["read"])
        assert (made["expires_at"], made["is_expired"]) == (found.expires_at, False)
        assert found.expires_at == found.created_at + 90 * 86_400 * 1_000_000_000

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["--scope", "everything"], "everything"),
            ([], "--scope"),
            (["--scope", "read", "--expires", "soon"], "--expires"),
            (["--scope", "read", "--expires", "0d"], "--expires"),
            (["--scope", "read", "--expires", "-1d"], "--expires"),
            (["--scope", "read", "--expires", "9999999d"], "--expires"),
            (["--scope", "read", "--name", ""], "name"),
            (["--scope", "read", "--name", "\x1b[31m"], "name"),
        ],
    )
    def test_wrong_usage_makes_nothing(
        self, inside: Run, tokens: TokenFile, arguments: list[str], named: str
    ) -> None:
        """A wrong scope, time or name is told with what was expected, and no token is made."""
        done = inside("token", "create", *arguments)

        assert (done.code, done.out) == (2, "")
        assert named in done.err
        assert not tokens.path.exists()

    def test_a_name_is_given_once(self, inside: Run, tokens: TokenFile) -> None:
        """A second token of the same name is refused."""
        assert inside("token", "create", "--scope", "read", "--name", "ci").code == 0
        done = inside("token", "create", "--scope", "admin", "--name", "ci")

        assert (done.code, done.out) == (4, "")
        assert "there is a token 'ci' already" in done.err
        assert len(tokens.all()) == 1

    def test_a_directory_has_to_be_there(self, inside: Run) -> None:
        """A path whose directory does not exist is told."""
        done = inside("token", "create", "--scope", "read", "--db", "nowhere/history.db")

        assert (done.code, done.out) == (3, "")
        assert "nowhere" in done.err

    def test_two_at_once_lose_nothing(self, stepstream: CommandLine, tokens: TokenFile) -> None:
        """Tokens that several processes make at the same time are all there, and all different."""
        command = [sys.executable, "-m", "stepstream", "token", "create", "--scope", "read"]
        running = [
            subprocess.Popen(
                command,
                cwd=stepstream.directory,
                env=stepstream.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for _ in range(4)
        ]
        made = [process.communicate(timeout=60)[0].strip() for process in running]

        assert [process.returncode for process in running] == [0] * 4
        assert len({token.id for text in made if (token := tokens.authenticate(text))}) == 4
        assert len(tokens.all()) == 4


class TestList:
    """``token ls``."""

    def test_no_secret_is_shown(self, inside: Run, tokens: TokenFile) -> None:
        """The list has names, scopes and ends, and neither secrets nor their hashes, in either form."""
        token, text = tokens.create([Scope.READ], name="ci")
        old, _ = tokens.create([Scope.ADMIN], name="old", lifetime_ns=1)
        table, as_json = inside("token", "ls"), inside("token", "ls", "--json")

        assert re.search(rf"{token.id}  ci +read +now +never|{token.id}  ci +read +\d+ s +never", table.out)
        assert re.search(rf"{old.id}  old +admin .*expired", table.out)
        assert [(each["name"], each["is_expired"]) for each in listed(as_json)] == [
            ("ci", False),
            ("old", True),
        ]
        for told in (table.out, as_json.out):
            assert text.rpartition("_")[2] not in told
            assert token.secret_sha256 not in told

    def test_where_there_is_none(self, inside: Run) -> None:
        """Without a token the list is empty, and says how to make one."""
        assert listed(inside("token", "ls", "--json")) == []
        assert "stepstream token create --scope read" in inside("token", "ls").err


class TestRevoke:
    """``token revoke``."""

    @pytest.mark.parametrize("how", ["id", "beginning", "name"])
    def test_a_token_is_taken_back(self, inside: Run, tokens: TokenFile, how: str) -> None:
        """By its id, the beginning of it or its name a token is revoked, and lets nobody in from then on."""
        token, text = tokens.create([Scope.READ], name="ci")
        wanted = {"id": token.id, "beginning": token.id[:8], "name": "ci"}[how]
        done = inside("token", "revoke", wanted)

        assert (done.code, done.out) == (0, "")
        assert f"revoked ci ({token.id})" in done.err
        assert tokens.authenticate(text) is None

    def test_what_is_not_there_is_told(self, inside: Run, tokens: TokenFile) -> None:
        """An id that no token has is told with the command that lists them, and nothing is revoked."""
        tokens.create([Scope.READ])
        done = inside("token", "revoke", "nothing")

        assert done.code == 3
        assert "stepstream token ls" in done.err
        assert len(tokens.all()) == 1


@pytest.mark.parametrize("command", [("ls",), ("revoke", "x"), ("create", "--scope", "read")])
def test_a_file_that_cannot_be_trusted_is_told(
    inside: Run, tokens: TokenFile, command: tuple[str, ...]
) -> None:
    """Every command refuses a file that others may touch, and names what mends it; nothing is changed."""
    tokens.create([Scope.READ])
    tokens.path.chmod(0o644)
    before = tokens.path.read_bytes()
    done = inside("token", *command)

    assert (done.code, done.out) == (4, "")
    assert f"chmod 600 {tokens.path}" in done.err
    assert tokens.path.read_bytes() == before


def test_a_damaged_file_is_told(inside: Run, tokens: TokenFile) -> None:
    """A damaged file is told, and not written over."""
    tokens.create([Scope.READ])
    tokens.path.write_text("{}")
    done = inside("token", "create", "--scope", "read")

    assert (done.code, done.out) == (4, "")
    assert "damaged" in done.err
    assert tokens.path.read_text() == "{}"


def test_nobody_else_can_read_what_is_made(stepstream: CommandLine, tokens: TokenFile) -> None:
    """Whatever the umask is, the files of tokens are for their owner alone."""
    before = os.umask(0)
    try:
        assert stepstream("token", "create", "--scope", "read").code == 0
    finally:
        os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in tokens.path.parent.glob("history.db-tokens*")} == {0o600}
