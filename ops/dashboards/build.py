# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 - a script beside what it writes
"""Writes the Grafana dashboards from the rows in the modules beside it. Run it after a change.

``--check`` writes nothing, names the files that are stale, and answers 1 if there are any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlq
import gossip
import ids
import logs
import once
import propagation
import secrets_board
import streams
import traces
from panels import Panel, panels, variable

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    title: str
    about: str
    rows: Mapping[str, tuple[Panel, ...]]


BOARDS = {
    "holdfast-streams": Board("Holdfast streams", "Streams, groups and dead letters.", streams.ROWS),
    "holdfast-dlq": Board("Holdfast dead letters",
                          "The dead-letter service: what it takes in, does, and asks of people.", dlq.ROWS),
    "holdfast-once": Board("Holdfast once", "Effects that happen once, locks, guards, the outbox, state machines.",
                           once.ROWS),
    "holdfast-ids": Board("Holdfast ids", "Worker ids, and the ids that are made under them.", ids.ROWS),
    "holdfast-logs": Board("Holdfast logs", "Pipelines of log files: lines, sinks, spools, dead letters.", logs.ROWS),
    "holdfast-traces": Board("Holdfast traces", "Files of spans that are followed: reading, and what traces do.",
                             traces.ROWS),
    "holdfast-gossip": Board("Holdfast gossip", "Members of a gossip cluster: who is there, keys, signatures, peers.",
                             gossip.ROWS),
    "holdfast-propagation": Board("Holdfast propagation",
                                  "Nodes that pass on transactions and blocks: neighbours, mempool, chain.",
                                  propagation.ROWS),
    "holdfast-secrets": Board("Holdfast secrets", "Stores of secrets: who asks, rotations, shares on nodes.",
                              secrets_board.ROWS),
}


def dashboard(uid: str, board: Board) -> dict[str, Any]:
    """A dashboard as Grafana imports it (schema 39: Grafana 10 and later)."""
    return {
        "uid": uid, "title": board.title, "tags": ["holdfast"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "",
        "description": f"{board.about} What to do when something is red: docs/how-to/runbooks.md.",
        "templating": {"list": [
            {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
            variable("stream", "label_values(holdfast_group_pending, stream)"),
            variable("group", 'label_values(holdfast_group_pending{stream=~"$stream"}, group)'),
        ]},
        "annotations": {"list": []},
        "panels": panels(board.rows),
    }


def main() -> int:
    """The command: see the file's docstring."""
    stale = []
    for uid, board in BOARDS.items():
        path, text = HERE / f"{uid}.json", json.dumps(dashboard(uid, board), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text() != text:
            stale.append(path)
            if "--check" not in sys.argv:
                path.write_text(text)
    for path in stale:
        sys.stderr.write(f"{path.name} {'is stale' if '--check' in sys.argv else 'written'}\n")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
