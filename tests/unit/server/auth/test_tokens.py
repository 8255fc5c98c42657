"""The file of tokens: who is known by it, how it changes, and that it lets nobody in when it cannot be trusted."""

from __future__ import annotations

import hmac
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from stepstream.errors import ValidationFailed
from stepstream.server.auth.scope import Scope
from stepstream.server.auth.tokens import (
    TokenFile,
    TokenNameTaken,
    TokenNotFound,
    TokensUnusable,
    masked,
    token_id_in,
)

_NS = 1_000_000_000


CHANGES: dict[str, Callable[[str], str]] = {
    "another end": lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
    "cut": lambda text: text[:-1],
    "longer": lambda text: text + "0",
    "in capitals": lambda text: text.upper(),
    "without prefix": lambda text: text.replace("sst_", ""),
    "another id": lambda text: "sst_" + "0" * 12 + "_" + text.rpartition("_")[2],
    "another secret": lambda text: text.rpartition("_")[0] + "_" + "0" * 64,
    "no secret": lambda text: text.rpartition("_")[0] + "_",
    "a line": lambda text: text + "\n",
    "nothing": lambda _: "",
    "a word": lambda _: "Bearer",
    "other letters": lambda _: "sst_é_ü",
    "zero bytes": lambda _: "\x00" * 81,
}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_ns = 1_800_000_000 * _NS

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> TokenFile:
    return TokenFile(tmp_path / "history.db", now_ns=clock)


class TestAuthentication:
    """Whose token is this?"""

    def test_a_token_is_known_again(self, tokens: TokenFile) -> None:
        """What was created is recognised with its name and scopes, also by another process's view of the file."""
        token, text = tokens.create([Scope.READ, Scope.RECORD, Scope.READ], name="ci")

        assert tokens.authenticate(text) == token
        assert TokenFile(tokens.database).authenticate(text) == token
        assert (token.name, token.scopes) == ("ci", (Scope.READ, Scope.RECORD))

    def test_two_tokens_have_nothing_in_common(self, tokens: TokenFile) -> None:
        """Ids and secrets are random, and a secret has 256 bits."""
        texts = [tokens.create([Scope.READ])[1] for _ in range(20)]

        assert len({text.split("_")[1] for text in texts}) == 20
        assert len({text.split("_")[2] for text in texts}) == 20
        assert {len(bytes.fromhex(text.split("_")[2])) for text in texts} == {32}

    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    def test_anything_else_is_nobodys(self, tokens: TokenFile, change: Callable[[str], str]) -> None:
        """A text that differs from a token in any way is no token."""
        _, text = tokens.create([Scope.READ])

        assert tokens.authenticate(change(text)) is None

    def test_without_a_file_nobody_is_known(self, tokens: TokenFile) -> None:
        """Where no token was made every text is nobody's, and nothing is created by asking."""
        assert tokens.authenticate("sst_" + "0" * 12 + "_" + "0" * 64) is None
        assert (tokens.all(), tokens.session_key(), list(tokens.database.parent.iterdir())) == ((), None, [])

    def test_an_expired_token_is_nobodys(self, tokens: TokenFile, clock: Clock) -> None:
        """A token counts up to the instant in which it expires, and is still listed afterwards."""
        token, text = tokens.create([Scope.READ], lifetime_ns=60 * _NS)
        clock.now_ns += 60 * _NS - 1
        assert tokens.authenticate(text) == token
        clock.now_ns += 1

        assert tokens.authenticate(text) is None
        assert not tokens.still_valid(token.id)
        assert (tokens.all(), tokens.living()) == ((token,), ())

    def test_every_answer_takes_the_same_comparison(
        self, tokens: TokenFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A right secret, a wrong one, an unknown id and no token at all are each compared once, in constant time."""
        _, text = tokens.create([Scope.READ])
        compared: list[tuple[int, int]] = []

        constant_time = hmac.compare_digest

        def counted(one: str, other: str) -> bool:
            compared.append((len(one), len(other)))
            return constant_time(one, other)

        monkeypatch.setattr(hmac, "compare_digest", counted)
        for asked in (text, text[:-64] + "0" * 64, "sst_" + "0" * 12 + text[16:], "nonsense"):
            tokens.authenticate(asked)

        assert compared == [(64, 64)] * 4

    def test_an_empty_secret_is_not_the_one_of_unknown_tokens(self, tokens: TokenFile) -> None:
        """What unknown ids are compared with lets nobody in, not even whoever sends just that."""
        tokens.create([Scope.READ])

        assert tokens.authenticate("") is None


class TestFile:
    """What stands in the file, and how it changes."""

    def test_no_secret_stands_in_it(self, tokens: TokenFile) -> None:
        """The file holds the hash of a secret, and neither the secret nor any part of it."""
        token, text = tokens.create([Scope.READ], name="ci")
        secret = text.rpartition("_")[2]
        kept = tokens.path.read_text()

        assert token.secret_sha256 == sha256(secret.encode()).hexdigest()
        assert not any(secret[at : at + 8] in kept for at in range(len(secret) - 8))

    def test_only_its_owner_may_read_it(self, tokens: TokenFile) -> None:
        """The file and its lock are 0600 whatever the umask says, and nothing else is left behind."""
        before = os.umask(0)
        try:
            tokens.create([Scope.READ])
        finally:
            os.umask(before)

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tokens.path.parent.iterdir()}
        assert modes == {"history.db-tokens.json": 0o600, "history.db-tokens.lock": 0o600}

    def test_a_change_by_somebody_else_counts_at_once(self, tokens: TokenFile) -> None:
        """A server that has read the file knows of a new token, and of a revoked one, at the next question."""
        server = TokenFile(tokens.database)
        assert server.all() == ()
        for _ in range(20):
            token, text = tokens.create([Scope.READ])
            assert server.authenticate(text) == token
            tokens.revoke(token.id)
            assert server.authenticate(text) is None
            assert not server.still_valid(token.id)

    def test_a_change_within_one_tick_counts(self, tokens: TokenFile) -> None:
        """Content that changes without leaving a trace in the file's size, number or time is seen all the same."""
        token, _ = tokens.create([Scope.READ])
        contents = [tokens.path.read_bytes().replace(b'"read"', scope) for scope in (b'"read"', b'"admi"')]
        for number in range(100):
            tokens.path.write_bytes(contents[number % 2])
            if number % 2:
                with pytest.raises(TokensUnusable):
                    tokens.all()
            else:
                assert tokens.all() == (token,)

    def test_a_change_is_noticed(self, tokens: TokenFile) -> None:
        """Whoever asks whether anything has changed hears of every change, also of one that leaves no trace."""
        has_changed = TokenFile(tokens.database).watch()
        assert not has_changed()
        token, _ = tokens.create([Scope.READ])
        assert has_changed()
        content = tokens.path.read_bytes()
        for number in range(100):
            tokens.path.write_bytes(content.replace(b'"read"', b'"admi"') if number % 2 == 0 else content)
            assert has_changed()
        tokens.revoke(token.id)
        assert has_changed()
        tokens.path.unlink()
        assert has_changed()
        assert not has_changed()

    def test_the_session_key_stays(self, tokens: TokenFile) -> None:
        """The key of sessions is made with the first token and is the same after every change."""
        token, _ = tokens.create([Scope.READ])
        key = tokens.session_key()
        tokens.create([Scope.ADMIN])
        tokens.revoke(token.id)

        assert key is not None
        assert (tokens.session_key(), len(key)) == (key, 32)

    def test_names_are_unique(self, tokens: TokenFile) -> None:
        """A second token of a name is refused, also where the name is another one's id."""
        token, _ = tokens.create([Scope.READ], name="ci")
        for name in ("ci", token.id):
            with pytest.raises(TokenNameTaken):
                tokens.create([Scope.READ], name=name)

        assert len(tokens.all()) == 1

    @pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "\x1b[2J", "\x9b"])
    def test_a_name_can_be_shown(self, tokens: TokenFile, name: str) -> None:
        """A name that is empty, too long or holds control characters is refused, and nothing is written."""
        with pytest.raises(ValidationFailed):
            tokens.create([Scope.READ], name=name)

        assert not tokens.path.exists()

    def test_a_token_is_revoked_by_what_names_it(self, tokens: TokenFile) -> None:
        """An id, the beginning of one and a name take a token away; what names none or several takes none."""
        first, second, third = (tokens.create([Scope.READ], name=name)[0] for name in ("a", "b", None))
        for wanted in ("", "no such token", "sst_"):
            with pytest.raises(TokenNotFound):
                tokens.revoke(wanted)
        assert len(tokens.all()) == 3

        assert tokens.revoke("a") == first
        assert tokens.revoke(second.id[:8]) == second
        assert tokens.revoke(third.id) == third
        assert tokens.all() == ()

    def test_an_ambiguous_beginning_revokes_nothing(self, tokens: TokenFile) -> None:
        """The beginning of several ids is refused with the ids to choose from."""
        ids = [tokens.create([Scope.READ])[0].id for _ in range(40)]
        first = next(each for each in ids if sum(other[0] == each[0] for other in ids) > 1)

        with pytest.raises(TokenNotFound, match=first):
            tokens.revoke(first[0])
        assert len(tokens.all()) == 40

    def test_a_name_counts_before_the_beginning_of_an_id(self, tokens: TokenFile) -> None:
        """A token whose name is the beginning of another one's id can be revoked by it."""
        other, _ = tokens.create([Scope.READ])
        named, _ = tokens.create([Scope.READ], name=other.id[:4])

        assert tokens.revoke(other.id[:4]) == named

    def test_threads_lose_nothing(self, tokens: TokenFile) -> None:
        """Tokens that several threads make at once are all there in the end."""
        texts: list[str] = []

        def make() -> None:
            texts.extend(tokens.create([Scope.READ])[1] for _ in range(5))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(tokens.all()) == 20
        assert all(tokens.authenticate(text) for text in texts)

    def test_what_a_dead_process_left_is_overwritten(self, tokens: TokenFile) -> None:
        """A half-written file of a process that died does not stand in the way, and is gone afterwards."""
        left = tokens.path.with_name(f".{tokens.path.name}.new")
        left.write_text('{"format"')
        _, text = tokens.create([Scope.READ])

        assert tokens.authenticate(text) is not None
        assert not left.exists()

    def test_ended_sessions_are_kept_until_they_would_have_expired(
        self, tokens: TokenFile, clock: Clock
    ) -> None:
        """A session that was signed out stays so, and is forgotten when nobody could use it any more."""
        tokens.create([Scope.READ])
        tokens.end_session("one", clock.now_ns + 10 * _NS)
        assert tokens.is_ended("one")
        clock.now_ns += 11 * _NS
        tokens.end_session("two", clock.now_ns + 10 * _NS)

        assert (tokens.is_ended("one"), tokens.is_ended("two")) == (False, True)


class TestDistrust:
    """A file that cannot be trusted lets nobody in, and says why."""

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o644, 0o610])
    def test_a_file_that_others_may_touch_is_refused(self, tokens: TokenFile, mode: int) -> None:
        """A file that its group or others may read or write lets nobody in, even if it was fine a moment ago."""
        token, text = tokens.create([Scope.READ])
        assert tokens.authenticate(text) == token
        tokens.path.chmod(mode)

        with pytest.raises(TokensUnusable, match=f"mode {mode:04o}.*chmod 600"):
            tokens.authenticate(text)
        assert not tokens.still_valid(token.id)
        tokens.path.chmod(0o600)
        assert tokens.authenticate(text) == token

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'{"format": 2, "session_key": "%s", "tokens": []}' % (b"0" * 64),
            b'{"format": 1, "tokens": []}',
            b'{"format": 1, "session_key": "", "tokens": []}',
            b'{"format": 1, "session_key": "%s", "tokens": [], "more": 1}' % (b"0" * 64),
            b"\x00" * 4096,
        ],
    )
    def test_a_damaged_file_is_refused(self, tokens: TokenFile, content: bytes) -> None:
        """A file that is cut, of a newer release or of another shape lets nobody in, and is not written over."""
        token, text = tokens.create([Scope.READ])
        tokens.path.write_bytes(content)

        with pytest.raises(TokensUnusable, match=r"history\.db-tokens\.json cannot be used"):
            tokens.authenticate(text)
        with pytest.raises(TokensUnusable):
            tokens.create([Scope.READ])
        assert not tokens.still_valid(token.id)
        assert tokens.path.read_bytes() == content

    def test_any_single_damage_lets_nobody_new_in(self, tokens: TokenFile) -> None:
        """Whichever byte of the file is changed, no token is taken for another one, and no scope is added."""
        token, text = tokens.create([Scope.READ])
        whole = tokens.path.read_bytes()
        for at in range(len(whole)):
            tokens.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            try:
                found = tokens.authenticate(text)
            except TokensUnusable:
                continue
            assert found is None or found.scopes == token.scopes

    def test_what_is_wrong_is_told_without_what_stands_there(self, tokens: TokenFile) -> None:
        """The reason names the place in the file, and repeats no key and no hash."""
        token, _ = tokens.create([Scope.READ])
        data = json.loads(tokens.path.read_text())
        data["tokens"][0]["scopes"] = [data["session_key"]]
        tokens.path.write_text(json.dumps(data))

        with pytest.raises(TokensUnusable, match=r"tokens\.0\.scopes") as caught:
            tokens.all()
        assert data["session_key"] not in str(caught.value)
        assert token.secret_sha256 not in str(caught.value)

    def test_a_link_is_refused(self, tokens: TokenFile, tmp_path: Path) -> None:
        """A link in the place of the file or of its lock is not followed, wherever it leads."""
        other = TokenFile(tmp_path / "other.db")
        _, text = other.create([Scope.ADMIN])
        tokens.path.symlink_to(other.path)
        with pytest.raises(TokensUnusable):
            tokens.authenticate(text)
        tokens.path.unlink()
        victim = tmp_path / "victim"
        tokens.path.with_suffix(".lock").symlink_to(victim)

        with pytest.raises(TokensUnusable):
            tokens.create([Scope.READ])
        assert not victim.exists()

    def test_a_file_with_two_names_is_refused(self, tokens: TokenFile, tmp_path: Path) -> None:
        """A file that can be reached by another name too lets nobody in."""
        _, text = tokens.create([Scope.READ])
        os.link(tokens.path, tmp_path / "second name")

        with pytest.raises(TokensUnusable, match="plain file"):
            tokens.authenticate(text)

    @pytest.mark.parametrize("kind", ["directory", "pipe"])
    def test_what_is_no_file_is_refused(self, tokens: TokenFile, kind: str) -> None:
        """A directory and a pipe in the place of the file are refused, and nobody waits for them."""
        if kind == "directory":
            tokens.path.mkdir()
        else:
            os.mkfifo(tokens.path, 0o600)

        with pytest.raises(TokensUnusable):
            tokens.all()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_a_file_of_somebody_else_is_refused(self, tokens: TokenFile) -> None:
        """A file that belongs to another user lets nobody in."""
        _, text = tokens.create([Scope.READ])
        os.chown(tokens.path, 12345, -1)

        with pytest.raises(TokensUnusable, match="belongs to user 12345"):
            tokens.authenticate(text)

    def test_a_held_lock_is_told(self, tokens: TokenFile) -> None:
        """Where another program holds the lock for long, a change is refused and says so."""
        tokens.create([Scope.READ])
        script = (
            "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX)\n"
            "print('held', flush=True); sys.stdin.read()"
        )
        lock = tokens.path.with_suffix(".lock")
        with subprocess.Popen(
            [sys.executable, "-c", script, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdin is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(TokensUnusable, match="lock"):
                TokenFile(tokens.database, lock_wait_s=0.05).create([Scope.READ])
            holder.stdin.close()

        assert len(tokens.all()) == 1


class TestText:
    """Tokens in texts."""

    def test_secrets_are_masked(self, tokens: TokenFile) -> None:
        """A token in a text loses its secret, whole or cut, and everything else stays."""
        _, text = tokens.create([Scope.READ])
        masked_text = masked(f"a {text} b {text[:30]} c")

        assert masked_text == f"a {text[:17]}… b {text[:17]}… c"
        assert masked("nothing secret") == "nothing secret"

    def test_the_id_is_read_from_a_text(self, tokens: TokenFile) -> None:
        """The id of what has the shape of a token is read from it; of anything else there is none."""
        token, text = tokens.create([Scope.READ])

        assert (token_id_in(text), token_id_in(text[:-1]), token_id_in("")) == (token.id, "", "")
