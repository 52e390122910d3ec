# SPDX-License-Identifier: Apache-2.0
"""Runs the Python blocks of one Markdown page, in order, in one namespace, on one event loop::

    python -m tests.docs.snippets docs/tutorial/first-consumer.md

A block opens with ```` ```python ````. ```` ```python no-run: reason ```` is not run, and must give its reason.
Blocks may ``await`` at their top level. The addresses that the pages use stand for the servers of the test.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)```python(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)

#: What the pages write, and the variable that says what to use in its place.
STAND_INS = {
    "redis://localhost:6379/0": "HOLDFAST_DOCS_REDIS",
    "postgresql+psycopg://app@db/app": "HOLDFAST_DOCS_SQL",
    "http://localhost:2379": "HOLDFAST_DOCS_ETCD",
    "localhost:2181": "HOLDFAST_DOCS_ZOOKEEPER",
    "amqp://guest:guest@localhost/": "HOLDFAST_DOCS_AMQP",
    "kafka://localhost:9092": "HOLDFAST_DOCS_KAFKA",
}


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its code, and why it is not run ('' = it is)."""

    page: Path
    line: int
    code: str
    info: str

    @property
    def runs(self) -> bool:
        return not self.info.startswith("no-run")

    @property
    def reason(self) -> str:
        return self.info.removeprefix("no-run").strip(": ")


def blocks(page: Path) -> list[Block]:
    """The page's Python blocks, in order."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        indent = len(match["indent"])
        code = "".join(row[indent:] or "\n" for row in match["code"].splitlines(keepends=True))
        found.append(Block(page, line, code, match["info"].strip()))
    return found


def stand_in(code: str) -> str:
    """The code with the pages' addresses replaced by those of the test's servers."""
    for written, variable in STAND_INS.items():
        if variable in os.environ:
            code = code.replace(written, os.environ[variable])
    return code


async def run(page: Path) -> int:
    """Runs the page; answers how many blocks ran. An error's traceback names the page and the line in it."""
    namespace: dict[str, object] = {"__name__": "__docs__", "__file__": str(page)}
    ran = 0
    for block in blocks(page):
        if block.runs:
            # Line numbers of the page: the traceback is read beside it.
            source = "\n" * (block.line - 1) + stand_in(block.code)
            code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            answer = eval(code, namespace)
            if inspect.isawaitable(answer):
                await answer
            ran += 1
    return ran


if __name__ == "__main__":
    print(f"{asyncio.run(run(Path(sys.argv[1])))} blocks ran")
