"""The reference pages say what the code says: every kind, field, error, table, rule, key and public name."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

import stepstream
from stepstream import errors
from stepstream.reading.filter import Figure, Possession, Word
from stepstream.reading.span import SpanStatus
from stepstream.reading.verification import FindingKind
from stepstream.schemas import artifact, episode, error_report, event, kinds, model_call, step
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.kinds import LossReason
from stepstream.schemas.record import Record
from stepstream.spool.frame import ENVELOPE, HEADER_BYTES, MAGIC, FrameKind
from stepstream.spool.segment import BLOCK_BYTES
from stepstream.store.secret_rules import DEFAULT_RULES

_SECTION = re.compile(r"^#{2,3} (\w+)\n(.*?)(?=^#{1,3} |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)` \| `(.+?)` \| (.+?) \|$", re.MULTILINE)


def records_of(*modules: object) -> dict[str, type[Record]]:
    """The public models that modules define."""
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, Record) and found.__module__ == module.__name__  # type: ignore[attr-defined]
    }


RECORDS = records_of(artifact, episode, error_report, event, kinds, model_call, step)


@pytest.fixture(scope="module")
def sections(root: Path) -> dict[str, str]:
    """What the pages say of each model."""
    pages = [root / "docs/reference" / name for name in ("payloads.md", "steps-and-episodes.md")]
    return dict(match for page in pages for match in _SECTION.findall(page.read_text("utf-8")))


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_model_is_documented_field_by_field(name: str, sections: dict[str, str]) -> None:
    """Its section has a row for each field, in order, with a default where the code has one."""
    rows = {field: (kind, meaning) for field, kind, meaning in _ROW.findall(sections[name])}
    fields = RECORDS[name].model_fields

    assert list(rows) == list(fields)
    for field, info in fields.items():
        has_default = info.default is not PydanticUndefined or info.default_factory is not None
        assert (" = " in rows[field][0]) == has_default, field


def test_every_kind_says_its_name_and_version(sections: dict[str, str]) -> None:
    """A kind of the core has a section that names the kind and its version."""
    for kind, cls in CORE_KINDS.items():
        assert f"Kind `{kind}`, version {cls.schema_version}." in sections[cls.__name__]


def test_every_error_is_documented(root: Path) -> None:
    """The page draws the tree of errors as the module does, and says of each what to do."""
    page = (root / "docs/reference/errors.md").read_text("utf-8")
    drawn = [line.strip() for line in (errors.__doc__ or "").splitlines() if "──" in line]
    leaves = [
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found)
        and issubclass(found, errors.StepstreamError)
        and found not in {errors.StepstreamError, errors.StoreError}
    ]

    assert [line for line in drawn if line not in page] == []
    assert [name for name in leaves if f"| `{name}` |" not in page] == []


_CALL = re.compile(r"^\| `(\w+)\((.*?)\)` \|", re.MULTILINE)


def parameters_of(function: object) -> list[str]:
    """The parameters of a function or class as the page writes them."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    names = []
    for parameter in signature.parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        names.append(f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name)
    return names


def test_every_public_name_is_documented(root: Path) -> None:
    """Every name that ``stepstream`` offers stands in the reference of Python, and no other."""
    page = (root / "docs/reference/python.md").read_text("utf-8")
    outside = "".join(
        text for text in re.split(r"^(?=## )", page, flags=re.MULTILINE) if not _of_a_class(text)
    )
    cells = re.findall(r"^\| (`.+?) \|", outside, re.MULTILINE)
    names = {name for cell in cells for name in re.findall(r"`(\w+)[`(]", cell)}

    assert names == set(stepstream.__all__)


def _of_a_class(section: str) -> bool:
    return section.startswith(("## ObservabilityProvider", "## EpisodeScope", "## History"))


def test_signatures_are_those_of_the_code(root: Path) -> None:
    """Every function and method on the page takes the parameters that the page says it takes."""
    page = (root / "docs/reference/python.md").read_text("utf-8")
    wrong = []
    for section in re.split(r"^(?=## )", page, flags=re.MULTILINE):
        holder = getattr(stepstream, section.split("\n")[0][3:]) if _of_a_class(section) else stepstream
        for name, written in _CALL.findall(section):
            taken = parameters_of(getattr(holder, name))
            if [part for part in written.split(", ") if part] != taken:
                wrong.append(f"{name}({written}) takes {', '.join(taken)}")

    assert wrong == []


def test_the_bytes_on_disk_are_documented(root: Path) -> None:
    """Sizes and marks of segment and frame are those of the code."""
    page = (root / "docs/reference/files.md").read_text("utf-8")

    assert f"{HEADER_BYTES} bytes of header" in page
    assert f"magic `{MAGIC.hex(' ')}`" in page
    assert f"The body of a step is {ENVELOPE.size} bytes" in page
    assert f"The first {BLOCK_BYTES:,} bytes" in page
    for kind in FrameKind:
        assert f"{kind.value} {kind.name.lower()}" in page


def test_every_table_is_documented(root: Path) -> None:
    """Every table and view of the schema stands on the page of files."""
    page = (root / "docs/reference/files.md").read_text("utf-8")
    schema = (root / "src/stepstream/store/sqlite/schema.sql").read_text("utf-8")
    names = re.findall(r"^CREATE (?:TABLE|VIEW) (\w+)", schema, re.MULTILINE)

    assert names
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_secret_that_is_recognised_is_documented(root: Path) -> None:
    """Every kind of secret of the built-in rules stands on the page about redaction."""
    page = (root / "docs/explanation/redaction.md").read_text("utf-8")

    assert [kind for kind in {p.kind for p in DEFAULT_RULES.patterns} if f"`{kind}`" not in page] == []


def test_every_key_of_the_filter_is_documented(root: Path) -> None:
    """Every key and every state stands on the page about filters."""
    page = (root / "docs/reference/filters.md").read_text("utf-8")
    keys = (
        [f"{word}:" for word in Word]
        + [f"{figure}`" for figure in Figure]
        + [f"has:{what}" for what in Possession]
    )

    assert [key for key in [*keys, *SpanStatus] if f"`{key}" not in page] == []


def test_every_loss_and_finding_is_explained(root: Path) -> None:
    """Each reason of a loss and each finding of verify stands on a page that says what it means."""
    losses = (root / "docs/explanation/how-nothing-is-lost.md").read_text("utf-8")
    findings = (root / "docs/how-to/find-out-what-is-wrong.md").read_text("utf-8")

    assert [reason for reason in LossReason if f"| `{reason}` |" not in losses] == []
    assert [kind for kind in FindingKind if kind.value.replace("_", " ") not in findings] == []
