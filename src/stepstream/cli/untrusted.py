"""Text that agents, tools and models wrote, made fit for a terminal: it is shown, never obeyed.

Knows control characters and how many columns a text takes. Must not know where it is shown.
"""

from __future__ import annotations

import re

_FORMAT_CHARACTERS = (
    "\x00-\x1f\x7f-\x9f"  # what terminals obey
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"  # what hides or turns text
    "\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff"  # halves of a character
    "\U000e0000-\U000e007f"  # letters nobody sees
)
_HARMFUL = re.compile(f"[{_FORMAT_CHARACTERS}]")
_HARMFUL_IN_LINES = re.compile(f"(?![\n\t])[{_FORMAT_CHARACTERS}]")
_SPACE = re.compile(r"[ \t\r\n\v\f\x85\u2028\u2029]+")
_DELETE = 0x7F
_BYTE_MAX, _PLANE_MAX = 0xFF, 0xFFFF
_CONTROL_PICTURES = 0x2400
_DELETE_PICTURE = "\u2421"
# A character takes at most so many code points of a line before it is cut: combining marks pile up.
_CODE_POINTS_A_COLUMN = 4


def one_line(text: str, columns_max: int | None = None) -> str:
    """A text as one line: white space becomes a blank, what a terminal would obey a visible sign.

    Args:
        text: Anything.
        columns_max: Cut to so many columns, the last one an ellipsis.
    """
    if columns_max is not None:
        # A line of a megabyte must not cost more than what is shown of it.
        text = text[: columns_max * _CODE_POINTS_A_COLUMN * 2 + 64]
    line = neutral(_SPACE.sub(" ", text).strip())
    return line if columns_max is None else fit(line, columns_max)


def neutral(text: str) -> str:
    """The text with every character that a terminal would obey made visible."""
    return text if text.isascii() and text.isprintable() else _HARMFUL.sub(_sign, text)


def neutral_lines(text: str) -> str:
    """The same with line breaks and tabs left as they are."""
    return _HARMFUL_IN_LINES.sub(_sign, text.replace("\r\n", "\n"))


def neutral_json(text: str) -> str:
    """JSON that means the same and holds nothing a terminal would obey."""
    # JSON escapes the controls of ASCII itself, but for the last one.
    return text if text.isascii() and "\x7f" not in text else _HARMFUL_IN_LINES.sub(_escape, text)


def columns(text: str) -> int:
    """How many columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # takes 30 ms to import, and most texts are ASCII

    return cell_len(text)


def fit(text: str, columns_max: int) -> str:
    """The text, cut to a number of columns; the last one is an ellipsis then."""
    if len(text) <= columns_max and text.isascii():
        return text
    if columns(text) <= columns_max and len(text) <= columns_max * _CODE_POINTS_A_COLUMN:
        return text
    if columns_max < 1:
        return ""
    if text.isascii():
        return text[: columns_max - 1] + "…"
    from rich.cells import set_cell_size

    room = columns_max - 1
    return set_cell_size(text[: room * _CODE_POINTS_A_COLUMN], room).rstrip() + "…"


def _sign(found: re.Match[str]) -> str:
    """A control picture for an ASCII control character, an escape for the rest."""
    code = ord(found.group())
    if code < ord(" "):
        return chr(_CONTROL_PICTURES + code)
    return _DELETE_PICTURE if code == _DELETE else _code(code)


def _code(code: int) -> str:
    if code <= _BYTE_MAX:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _PLANE_MAX else f"\\U{code:08x}"


def _escape(found: re.Match[str]) -> str:
    return "".join(f"\\u{int.from_bytes(unit, 'big'):04x}" for unit in _utf16_units(found.group()))


def _utf16_units(character: str) -> list[bytes]:
    encoded = character.encode("utf-16-be", "surrogatepass")
    return [encoded[start : start + 2] for start in range(0, len(encoded), 2)]
