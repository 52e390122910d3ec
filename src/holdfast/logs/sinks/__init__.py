# SPDX-License-Identifier: Apache-2.0
"""Sinks: where records of logs go.

=========== ================================================ ==================================== ===================
sink        a batch that comes twice                         a bad record                         extra
=========== ================================================ ==================================== ===================
``file``    once within what is remembered                   refused alone                        –
``queue``   twice                                            refused alone                        ``amqp``, ``kafka``
``stream``  twice; once within ``window_s``                  refused alone                        –
``sql``     once                                             refused alone                        ``sql``
``duckdb``  once                                             refused alone                        ``traces``
``parquet`` once                                             refused alone                        ``traces``
``elastic`` once                                             refused alone                        ``http``
``otlp``    twice                                            alone, or its request with it        ``http``
=========== ================================================ ==================================== ===================

They are opened by name::

    from holdfast.logs.sinks import sink_class

    sink = sink_class("sql")("sqlite:///logs.db", columns={"status": "integer"})
    await sink.open()
    refused = await sink.write(records)

One of your own needs nothing but the four names of ``holdfast.logs.sink.Sink``.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from ...errors import ConfigurationError

__all__ = ["SINKS", "sink_class"]

#: Kinds of sinks: module beside this one, and class.
SINKS: Final[dict[str, tuple[str, str]]] = {
    "duckdb": ("duckdb", "DuckDbSink"), "elastic": ("elastic", "ElasticSink"), "file": ("file", "FileSink"),
    "otlp": ("otlp", "OtlpSink"), "parquet": ("parquet", "ParquetSink"),
    "queue": ("queue", "QueueSink"), "sql": ("sql", "SqlSink"), "stream": ("stream", "StreamSink"),
}


def sink_class(kind: str) -> Any:
    """The class of that kind; its libraries are opened only when one is made. ConfigurationError."""
    if kind not in SINKS:
        raise ConfigurationError(f"there is no sink {kind!r}: one of {', '.join(sorted(SINKS))}")
    module, name = SINKS[kind]
    return getattr(import_module(f".{module}", __package__), name)
