# SPDX-License-Identifier: Apache-2.0
"""What the house tests look at: the tracked files, the package's modules and what they define."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "holdfast"


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Files that belong to the project: tracked by git, or new and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )
    names = sorted(name for name in listing.stdout.decode().split("\0") if name)
    return tuple(path for path in (ROOT / name for name in names) if path.is_file())


def named(path: Path) -> str:
    """The path as a person writes it, from the checkout's root."""
    return path.relative_to(ROOT).as_posix()


@functools.cache
def modules() -> tuple[Path, ...]:
    """The package's Python files."""
    return tuple(sorted(PACKAGE.rglob("*.py")))


@functools.cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(), filename=str(path))


def imported(path: Path) -> Iterator[str]:
    """Distribution-level names of every absolute import in the file, late ones included."""
    yield from _absolute(ast.walk(parsed(path)))


def imported_at_top(path: Path) -> Iterator[str]:
    """As ``imported``, without what functions and ``if TYPE_CHECKING`` import."""
    yield from _absolute(parsed(path).body)


def _absolute(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@dataclass(frozen=True)
class Span:
    """A function and how many lines it takes, decorators and docstring left out."""

    name: str
    line: int
    lines: int


def functions(path: Path) -> Iterator[Span]:
    """Every function of the file, methods and inner ones included."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            yield Span(node.name, node.lineno, node.end_lineno - body[0].lineno + 1)


@functools.cache
def tests_in(path: Path) -> frozenset[str]:
    """Names a test id may end in: ``test_x`` and ``TestY::test_x``."""
    found = set()
    for node in parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body
                      if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and inner.name.startswith("test")}
    return frozenset(found)


def id_problem(test_id: str) -> str | None:
    """Why ``path::name`` is no test of ours; None when it is one. ``[case]`` at the end is not looked at."""
    file, found, name = test_id.partition("::")
    path = ROOT / file
    if not found:
        return f"{test_id}: not of the form path::name"
    if not path.is_file():
        return f"{test_id}: there is no such file"
    if name.partition("[")[0] not in tests_in(path):
        return f"{test_id}: the file has no such test"
    return None
