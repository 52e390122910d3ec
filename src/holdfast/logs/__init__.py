# SPDX-License-Identifier: Apache-2.0
"""Files of log lines, followed through every rotation; bad lines go to the dead letters, the others to a sink.

::

    from holdfast.logs import Pipeline, Stages, parser_called
    from holdfast.logs.dead.file import FileDeadLines
    from holdfast.logs.sinks.sql import SqlSink

    pipeline = Pipeline("shop", ["/var/log/shop/*.log"], Stages(parser_called("json")), SqlSink("sqlite:///logs.db"),
                        FileDeadLines("dead"), checkpoint="state/checkpoint")
    await pipeline.run()

How it goes::

    files ─▶ tail ─▶ assemble ─▶ parse ▸ transform ─▶ batch ─▶ sink │ spool while it is down
                                       │                        │
                                       └──── dead lines ◀───────┘   durable before the checkpoint moves

Inside::

    line.py         a range of bytes of a source. Open this first; record.py: what a parser made of it
    tail/           files followed by their content: rotation.py is the idea
    joining.py      which lines are one event; assemble.py: events of several lines
    parse/          formats, strict; transform.py: what is done to fields; stages.py: all of it, for one event
    ledger.py       every byte accounted for; mark.py: how far a source is durable; checkpoint.py: that, as a file
    sink.py         the contract of a sink; sinks/: those there are
    dead_lines.py   the contract of dead letters of lines, and what one of them holds; dead/: where they are kept
    delivery.py     into the sink, or spool.py while it is down; burial.py: dead letters, or emergency.py
    pipeline.py     all of it at work; inspect.py: how it stands; check.py: a file judged, and nothing written
"""

from __future__ import annotations

from .assemble import Multiline
from .burial import BurialSettings
from .check import Check
from .dead_lines import DeadChoice, DeadLine, DeadLines, DeadStock
from .delivery import DeliverySettings
from .flood import FloodSettings
from .inspect import PipelineInfo, SourceInfo
from .joining import joining
from .line import Line, Source
from .parse.parser import Parser, parser_called
from .pipeline import Pipeline, PipelineSettings
from .record import Record, Rejected
from .sink import Refused, Sink, SinkDown
from .stages import Skipped, Stages
from .tail.settings import TailSettings
from .transform import NotTransformed, cast, drop, keep, only, rename

__all__ = [
    "BurialSettings", "Check", "DeadChoice", "DeadLine", "DeadLines", "DeadStock", "DeliverySettings", "FloodSettings",
    "Line", "Multiline", "NotTransformed", "Parser", "Pipeline", "PipelineInfo", "PipelineSettings", "Record",
    "Refused", "Rejected", "Sink", "SinkDown", "Skipped", "Source", "SourceInfo", "Stages", "TailSettings", "cast",
    "drop", "joining", "keep", "only", "parser_called", "rename",
]
