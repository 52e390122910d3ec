# SPDX-License-Identifier: Apache-2.0
"""Nothing secret, and no signature, is compared with ``==``: that takes the longer, the more of it is right.

What a name says is all a reader of a tree has, so names decide: what is called a digest, a tag, a signature, … and what
``reveal()`` gives is compared with ``hmac.compare_digest``. Where it may be compared otherwise, the line says why:
``# not secret: …``.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.tree import PACKAGE

#: Rooms, and parts of them, that handle what is secret.
WHERE = ("secrets", "gossip/keys", "gossip/signing", "gossip/trust", "gossip/wire", "gossip/defence", "gossip/native",
         "propagation/node", "_base/secret.py", "ids/service", "console", "deadletters/notify", "cli")
TELLING = re.compile(r"(?i)(reveal\(\)|digest|signature|(?<![a-z])(mac|hmac|tag|checksum|commitment|password|"
                     r"passphrase|pin_hash|share_hash|token_hash|seal_key|root_key|data_key)(?![a-z]))")
EXCUSE = "# not secret:"
#: Called like one, and known to all: a digest of the list of the expelled, a checksum against accidents.
PUBLIC = re.compile(r"revocations\.digest|crc32")


def compared(source):
    """(line, text) of each comparison with something that is called like a secret."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare) or not any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            continue
        sides = [node.left, *node.comparators]
        if any((isinstance(side, ast.Constant) and not isinstance(side.value, bytes))
               or (isinstance(side, ast.Call) and ast.unparse(side.func) in ("len", "type", "set", "sorted"))
               for side in sides):  # what stands in the source is no secret
            continue
        text = ast.unparse(node)
        excused = any(EXCUSE in line for line in lines[node.lineno - 1:node.end_lineno])
        if TELLING.search(text) and not PUBLIC.search(text) and not excused:
            yield node.lineno, text


FILES = [path for where in WHERE for at in [PACKAGE / where]
         for path in (sorted(at.rglob("*.py")) if at.is_dir() else [at])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_secrets_are_compared_in_constant_time(path):
    assert list(compared(path.read_text())) == [], "use hmac.compare_digest, or say `# not secret: why` on the line"


@pytest.mark.parametrize("line", [
    "if value.reveal() == other: pass", "ok = digest(x) != tag", "assert signature == b'x'", "self._mac != told.mac",
    "x = [y for y in z if y.checksum == sum_]", "a == b == stored_digest"])
def test_a_comparison_is_found(line):
    assert len(list(compared(line))) == 1


@pytest.mark.parametrize("line", [
    "hmac.compare_digest(digest, tag)", "len(signature) == 64", "kind == 'd'",
    "tag is None", "mac == b'x'  # not secret: a hardware address", "signature != ''", "image == stage",
    "zlib.crc32(data) != checksum"])
def test_others_are_not(line):
    assert list(compared(line)) == []
