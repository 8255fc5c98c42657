"""The rules of CONTRIBUTING.md that a program can see, each with samples that show it can fail.

A rule is a generator: it takes a parsed file and yields one complaint for each offence.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "tests", "tools", "benchmarks", "examples")

MODULE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
# A module that reads better whole than split: its path, and why.
LONG_MODULES: dict[str, str] = {}

VAGUE_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
BROAD = {"BaseException", "Exception"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file of the tree: its path from the root, and its text."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]

    @property
    def is_product(self) -> bool:
        return self.path.parts[0] == "src"


Rule = Callable[[Source], Iterator[str]]


def long_module(source: Source) -> Iterator[str]:
    """A module has at most 600 lines, or is listed in LONG_MODULES with a reason."""
    lines = len(source.text.splitlines())
    if lines > MODULE_LINES_MAX and str(source.path) not in LONG_MODULES:
        yield f"{lines} lines: would two nouns be clearer?"


def long_function(source: Source) -> Iterator[str]:
    """A function fits a screen of 70 lines."""
    for function in source.functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"line {function.lineno}: {function.name} has {lines} lines"


def vague_name(source: Source) -> Iterator[str]:
    """A module or package is a noun of the domain."""
    for part in {*source.path.parts[:-1], source.path.stem} & VAGUE_NAMES:
        yield f"{part} says nothing about what is inside"


def mocking(source: Source) -> Iterator[str]:
    """Tests run on real parts: no unittest.mock, no patching of our own code."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=names) if any(name.name in {"mock", "unittest.mock"} for name in names):
                yield f"line {node.lineno}: imports a mock library"
            case ast.ImportFrom(module="mock" | "unittest.mock"):
                yield f"line {node.lineno}: imports a mock library"
            case ast.ImportFrom(module="unittest", names=names) if any(name.name == "mock" for name in names):
                yield f"line {node.lineno}: imports a mock library"
            case ast.Call(func=ast.Attribute(attr="setattr"), args=[ast.Constant(value=str(target)), *_]) if (
                target.startswith("stepstream")
            ):
                yield f"line {node.lineno}: patches {target}"


def untold_test(source: Source) -> Iterator[str]:
    """A test has a docstring of one sentence: the behaviour it shows."""
    if not source.path.name.startswith("test_"):
        return
    for function in source.functions:
        if function.name.startswith("test_"):
            sentence = " ".join((ast.get_docstring(function) or "").split())
            if not sentence.endswith(".") or re.search(r"[.!?] [A-Z]", sentence):
                yield f"line {function.lineno}: {function.name} needs a docstring of one sentence"


def silent_handler(source: Source) -> Iterator[str]:
    """A broad handler makes the failure visible."""
    for node in ast.walk(source.tree):
        match node:
            case ast.ExceptHandler(type=caught, body=body) if _is_broad(caught) and all(
                map(_does_nothing, body)
            ):
                yield f"line {node.lineno}: swallows every exception"
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=args) if any(
                map(_is_broad, args)
            ):
                yield f"line {node.lineno}: suppresses every exception"


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(map(_is_broad, caught.elts))
    return caught is None or (isinstance(caught, ast.Name) and caught.id in BROAD)


def _does_nothing(statement: ast.stmt) -> bool:
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant or isinstance(statement, ast.Pass | ast.Continue)


def ignore_without_code(source: Source) -> Iterator[str]:
    """A `type: ignore` and a `noqa` name the error they silence."""
    for line, comment in source.comments:
        if re.search(r"type:\s*ignore(?!\[)|#\s*noqa(?!:)", comment):
            yield f"line {line}: {comment} silences everything"


def todo_without_issue(source: Source) -> Iterator[str]:
    """A TODO carries the number of its issue."""
    for line, comment in source.comments:
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!.*#\d)", comment):
            yield f"line {line}: {comment} has no issue number"


def public_any(source: Source) -> Iterator[str]:
    """No `Any` in a public signature or public field of the package."""
    if source.is_product and not _is_private(source.path):
        for name, node in _public(source.tree.body):
            yield from (
                f"line {part.lineno}: {name} says Any" for part in _annotations(node) if _mentions_any(part)
            )


def undocumented(source: Source) -> Iterator[str]:
    """A public function or class of the package says what it is."""
    if source.is_product and not _is_private(source.path):
        for name, node in _public(source.tree.body):
            if "." in name or not isinstance(node, Function | ast.ClassDef) or _is_overload(node):
                continue
            if not ast.get_docstring(node):
                yield f"line {node.lineno}: {name} has no docstring"


def _is_private(path: PurePosixPath) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in path.parts)


def _is_overload(node: Function | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in node.decorator_list)


def _public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Public functions, classes, methods and annotated names, with their dotted names."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case _:
                continue
        if not name.startswith("_") or name in {"__init__", "__call__"}:
            yield prefix + name, node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body, f"{prefix}{name}.")


def _annotations(node: ast.stmt) -> Iterator[ast.expr]:
    match node:
        case ast.FunctionDef(args=args, returns=returns) | ast.AsyncFunctionDef(args=args, returns=returns):
            every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
            yield from (each.annotation for each in every if each and each.annotation)
            if returns:
                yield returns
        case ast.AnnAssign(annotation=annotation):
            yield annotation


def _mentions_any(annotation: ast.expr) -> bool:
    for node in ast.walk(annotation):
        match node:
            case ast.Name(id="Any") | ast.Attribute(attr="Any"):
                return True
            case ast.Constant(value=str(text)) if re.search(r"\bAny\b", text):
                return True
    return False


def environment_at_import(source: Source) -> Iterator[str]:
    """The package reads the environment when it is asked to, not when it is imported."""
    if source.is_product:
        for node in _run_at_import(source.tree):
            if isinstance(node, ast.Attribute | ast.Name) and re.fullmatch(
                r"(os\.)?(environb?|getenv)", ast.unparse(node)
            ):
                yield f"line {node.lineno}: reads the environment at import"


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: all but the bodies of functions."""
    yield node
    for field, value in ast.iter_fields(node):
        if field == "body" and isinstance(node, Function | ast.Lambda):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _run_at_import(child)


def possessive_group(source: Source) -> Iterator[str]:
    """No regular expression repeats a group possessively; ``(?>(?:...)*)`` does the same.

    Python before 3.11.5 loses its place when the group fails half-way (github.com/python/cpython/issues/106052).
    """
    if source.is_product:
        for number, line in enumerate(source.text.splitlines(), 1):
            if re.search(r"\)(?:[*+?]|\{+[0-9,]+\}+)\+", line):
                yield f"line {number}: repeats a group possessively"


@dataclass(frozen=True)
class Sample:
    """Code that a rule complains about, and similar code that it leaves alone."""

    bad: str
    good: str
    bad_path: str = "src/stepstream/episode.py"
    good_path: str = "src/stepstream/episode.py"


TEST_PATH = "tests/unit/test_episode.py"
SAMPLES = [
    (long_module, Sample("x = 1\n" * 601, "x = 1\n" * 600)),
    (long_function, Sample("def f():\n" + "    x = 1\n" * 70, "def f():\n" + "    x = 1\n" * 69)),
    (vague_name, Sample("", "", bad_path="src/stepstream/utils.py")),
    (vague_name, Sample("", "", bad_path="src/stepstream/common/episode.py")),
    (mocking, Sample("from unittest.mock import Mock", "from unittest import TestCase")),
    (mocking, Sample("from unittest import mock", "from stepstream import mock")),
    (mocking, Sample("import unittest.mock", "import unittest")),
    (mocking, Sample("p.setattr('stepstream.x', 1)", "p.setattr('sys.argv', [])")),
    (
        untold_test,
        Sample(
            "def test_x(): pass", "def test_x():\n '''It\n works.'''", bad_path=TEST_PATH, good_path=TEST_PATH
        ),
    ),
    (
        untold_test,
        Sample(
            "class A:\n async def test_x(s): 'One. Two.'",
            "def help(): pass",
            bad_path=TEST_PATH,
            good_path=TEST_PATH,
        ),
    ),
    (silent_handler, Sample("try: f()\nexcept Exception: pass", "try: f()\nexcept OSError: pass")),
    (silent_handler, Sample("try: f()\nexcept: ...", "try: f()\nexcept Exception: count()")),
    (silent_handler, Sample("with suppress(Exception): f()", "with suppress(OSError): f()")),
    (ignore_without_code, Sample("x = 1  # type: ignore", "x = 1  # type: ignore[assignment]")),
    (ignore_without_code, Sample("x = 1  # noqa", "x = 1  # noqa: E741")),
    (todo_without_issue, Sample("# TODO: later", "# TODO(#12): later")),
    (public_any, Sample("def f(x: Any): pass", "def _f(x: Any): pass")),
    (
        public_any,
        Sample("class A:\n def f(self) -> list[t.Any]: pass", "class A:\n def _f(self) -> Any: pass"),
    ),
    (public_any, Sample("class A:\n x: 'dict[str, Any]'", "class _A:\n x: Any")),
    (undocumented, Sample("def f(): pass", "def f(): 'It does.'")),
    (undocumented, Sample("class A: pass", "@overload\ndef f(): ...")),
    (
        environment_at_import,
        Sample("import os\nX = os.environ['X']", "import os\ndef f(): return os.environ['X']"),
    ),
    (environment_at_import, Sample("def f(x=os.getenv('X')): pass", "f = lambda: os.getenv('X')")),
    (possessive_group, Sample("R = r'(?:ab?)*+'", "R = r'(?>(?:ab?)*)c*+'")),
    (possessive_group, Sample("R = rf'(ab){{2}}+'", "R = rf'(ab){{2}}' + x")),
    (environment_at_import, Sample("class A:\n x = environ['X']", "environment = 1")),
]
SAMPLE_NAMES = [f"{rule.__name__}-{number}" for number, (rule, _) in enumerate(SAMPLES)]
RULES = list(dict.fromkeys(rule for rule, _ in SAMPLES))


def tree() -> list[Source]:
    """Every Python file of the project."""
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [Source(PurePosixPath(path.relative_to(ROOT)), path.read_text()) for path in paths]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    """No file of the tree breaks the rule."""
    complaints = [f"{source.path}: {complaint}" for source in tree() for complaint in rule(source)]

    assert not complaints, f"{rule.__doc__}\n" + "\n".join(complaints)


@pytest.mark.parametrize(("rule", "sample"), SAMPLES, ids=SAMPLE_NAMES)
def test_a_rule_can_fail(rule: Rule, sample: Sample) -> None:
    """A rule complains about its bad sample and leaves its good sample alone."""
    assert list(rule(Source(PurePosixPath(sample.bad_path), sample.bad)))
    assert not list(rule(Source(PurePosixPath(sample.good_path), sample.good)))


def test_mypy_reads_the_typing_tests() -> None:
    """Where there are tests of the public types, mypy reads them."""
    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]

    assert "tests/typing" in files or not list((ROOT / "tests/typing").glob("*.py"))


def test_every_listed_long_module_is_long() -> None:
    """LONG_MODULES names no module that has gone or has become short."""
    lines = {str(source.path): len(source.text.splitlines()) for source in tree()}

    assert [path for path in LONG_MODULES if lines.get(path, 0) <= MODULE_LINES_MAX] == []
