"""Runs the examples of one page from top to bottom: ``python run_page.py PAGE``, in an empty directory.

A page is one program. Its ``python`` blocks share a namespace, its ``sh`` blocks share the directory, and
a ``text`` block that directly follows one of them is what it prints, where ``…`` stands for anything and
the width of a gap between words does not count. A comment before a block changes what is done with it::

    <!-- file: design.py -->       the block is written to that file and not run
    <!-- not run: why -->          the block is left alone
    <!-- figure: name -->          (in text) a figure of ./dev bench belongs here
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN = ("python", "sh")
_FENCE = re.compile(r"^(```+)([A-Za-z]*)\s*$")
_NOTE = re.compile(r"^<!-- (file|not run): (.+?) -->\s*$")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, the line it begins at, and what is said right before it."""

    language: str
    text: str
    line: int
    note: tuple[str, str] | None
    output: str | None = None


def blocks_of(text: str) -> list[Block]:
    """The blocks of a page; those that show what another one prints are its output."""
    found: list[Block] = []
    note: tuple[str, str] | None = None
    is_direct = False
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            said = _NOTE.match(line)
            if said:
                note = (said[1], said[2])
            elif line.strip():
                note, is_direct = None, False
            continue
        body = "".join(f"{inner}\n" for inner in _until(lines, fence[1]))
        if fence[2] == "text" and is_direct and note is None:
            before = found.pop()
            found.append(Block(before.language, before.text, before.line, before.note, output=body))
            is_direct = False
        else:
            found.append(Block(fence[2], body, number, note))
            is_direct = fence[2] in RUN and note is None
        note = None
    return found


def _until(lines: Iterator[tuple[int, str]], fence: str) -> Iterator[str]:
    for _, line in lines:
        if line.rstrip() == fence:
            return
        yield line


def is_run(block: Block) -> bool:
    """Whether the block does something: it is run, or it makes a file."""
    return (block.language in RUN and block.note is None) or _is_file(block)


def _is_file(block: Block) -> bool:
    return block.note is not None and block.note[0] == "file"


def matches(shown: str, printed: str) -> bool:
    """Whether what was printed is what the page shows."""
    pattern = ".*?".join(re.escape(piece) for piece in _narrow(shown).split("…"))
    return re.fullmatch(pattern, _narrow(printed), re.DOTALL) is not None


def _narrow(text: str) -> str:
    return re.sub(r"^ ", "", re.sub(r"[ \t]+", " ", text), flags=re.MULTILINE).strip()


def run(page: Path) -> str | None:
    """Run a page; returns what is wrong."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page.read_text("utf-8")):
        where = f"{page}:{block.line}"
        if _is_file(block) and block.note is not None:
            Path(block.note[1]).write_text(block.text, "utf-8")
            continue
        if not is_run(block):
            continue
        printed = io.StringIO()
        if block.language == "python":
            # At its own lines of the page, where tracebacks and inspect look for the source.
            code = compile("\n" * block.line + block.text, page, "exec")
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
        else:
            done = subprocess.run(
                ["/bin/sh", "-eu", "-c", block.text],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=60,
            )
            printed.write(done.stdout)
            if done.returncode:
                return f"{where}: ends with {done.returncode}:\n{done.stdout}"
        if block.output is not None and not matches(block.output, printed.getvalue()):
            return f"{where}: prints\n{printed.getvalue()}\nand the page shows\n{block.output}"
    return None


if __name__ == "__main__":
    wrong = run(Path(sys.argv[1]))
    if wrong:
        print(wrong)
    sys.exit(1 if wrong else 0)
