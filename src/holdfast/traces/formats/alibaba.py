# SPDX-License-Identifier: Apache-2.0
"""Alibaba's call graphs (cluster traces of microservices, v2021 and v2022), bound by the names in the header.

A call is logged by its caller (``um``, positive ``rt``) and by its callee (``dm``, negative ``rt``) under one
``rpcid``: these are the client's and the server's half of one id. A message's ``rt`` is its consumer's time. Databases
and caches (``db``, ``mc``) log nothing, so their caller's row is a client's span that names them in ``peer.service``.
The parent is the id up to its last dot. ``timestamp`` and ``rt`` are ms.
"""

from __future__ import annotations

import re

import msgspec

from ..span import Kind, Span
from .bad import Refused
from .strict import INT_MAX

_MS = 1_000_000
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")


def is_header(names: list[str]) -> bool:
    """Whether these are the columns of a call graph."""
    known = {name.strip().lower() for name in names}
    return {"timestamp", "traceid", "um", "dm", "rpctype", "rt"} <= known and bool({"rpcid", "rpc_id"} & known)


class Rows:
    """Rows below one header."""

    def __init__(self, header: list[str]) -> None:
        self._place = {name.strip().lower(): place for place, name in enumerate(header)}
        if "rpc_id" in self._place:
            self._place["rpcid"] = self._place["rpc_id"]

    def spans(self, fields: list[str]) -> list[Span]:
        """The span of one row. Raises Refused."""
        trace_id, span_id = self._said(fields, "traceid").lower(), self._said(fields, "rpcid").lower()
        if not trace_id or not span_id:
            raise Refused("key missing: " + ("rpcid" if trace_id else "traceid"))
        start, took = self._ms(fields, "timestamp"), self._ms(fields, "rt")
        rpctype = self._said(fields, "rpctype").lower()
        callee = took < 0
        kind = _kind(rpctype, callee=callee)
        end_ns = start + abs(took)
        if end_ns > INT_MAX:
            raise Refused("number beyond 64 bits: rt")
        at_callee = kind in ("server", "consumer")
        attributes = {"rpc.system": rpctype}
        if not at_callee:
            attributes["peer.service"] = self._said(fields, "dm")
        return [Span(trace_id, span_id, span_id.rpartition(".")[0], self._said(fields, "dm" if at_callee else "um"),
                     self._said(fields, "interface"), start, end_ns, kind=kind,
                     host=self._said(fields, "dminstanceid" if at_callee else "uminstanceid"),
                     attributes=msgspec.json.encode(attributes).decode())]

    def _said(self, fields: list[str], name: str) -> str:
        place = self._place.get(name)
        return "" if place is None else fields[place]

    def _ms(self, fields: list[str], name: str) -> int:
        text = self._said(fields, name)
        if not _NUMBER.fullmatch(text):
            raise Refused(f"wrong type: {name}" if text else f"key missing: {name}")
        ns = round(float(text) * _MS) if "." in text else int(text) * _MS
        if not -INT_MAX - 1 <= ns <= INT_MAX:
            raise Refused(f"number beyond 64 bits: {name}")
        return ns


def _kind(rpctype: str, *, callee: bool) -> Kind:
    if rpctype == "mq":
        return "consumer"
    return "server" if callee else "client"
