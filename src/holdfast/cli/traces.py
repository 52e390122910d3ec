# SPDX-License-Identifier: Apache-2.0
"""``holdfast traces``: what files of spans say about where the time went.

A file a command; ``traces_files`` is what all of them begin with: the files, their format, and what could not be read.
"""

from __future__ import annotations

import click

from .grouped import InFiles

#: Files with the commands, each a dictionary COMMANDS.
_FILES = ("traces_report", "traces_paths", "traces_graph", "traces_compare", "traces_convert", "traces_serve")


@click.group("traces", cls=InFiles, files=_FILES)
def command() -> None:
    """Read files of spans: where the time went, what failed, who calls whom.

    OTLP, Jaeger and Zipkin JSON, CSV, flat JSON lines and log text, with gzip or zstd or without; - is standard input,
    and kafka://host:9092/TOPIC what a topic has now, a record a line.
    """
