# SPDX-License-Identifier: Apache-2.0
"""Lease objects of Kubernetes as plain values, and what is sent to make or to change one.

https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1 has the fields. A change is the whole
object as it was read, with a few fields set anew, because a PUT replaces everything: what others wrote on it stays.
Two of the fields that go along decide what the API server does with it:

* ``metadata.resourceVersion``: the change is refused if anybody else has changed the object since it was read;
* ``metadata.uid``: it is refused if the object is gone. Without, a PUT on a Lease that was deleted makes it anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

#: An object, as JSON has it.
Words = dict[str, Any]
API_VERSION, KIND = "coordination.k8s.io/v1", "Lease"


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A Lease as the API server has it. holder: empty when nobody holds it; renewed_ms: None when nobody ever did;
    whole: all of it, for a change."""

    name: str
    holder: str
    renewed_ms: int | None
    transitions: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    whole: Words


def lease_of(found: Words) -> Lease:
    """From what the API server says of it."""
    metadata, spec = found.get("metadata") or {}, found.get("spec") or {}
    return Lease(name=metadata.get("name", ""), holder=spec.get("holderIdentity") or "",
                 renewed_ms=_ms(spec.get("renewTime")), transitions=spec.get("leaseTransitions") or 0,
                 labels=metadata.get("labels") or {}, annotations=metadata.get("annotations") or {}, whole=found)


def made(name: str, labels: Mapping[str, str], annotations: Mapping[str, str], spec: Words | None = None) -> Words:
    """Body that makes one."""
    return {"apiVersion": API_VERSION, "kind": KIND, "spec": spec or {},
            "metadata": {"name": name, "labels": dict(labels), "annotations": dict(annotations)}}


def changed(lease: Lease, annotations: Mapping[str, str], spec: Words | None = None) -> Words:
    """Body that changes one, if nobody has changed or removed it since it was read."""
    metadata = dict(lease.whole["metadata"])  # guard: with resourceVersion and uid, as it was read
    metadata["annotations"] = {**lease.annotations, **annotations}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata,
            "spec": {**(lease.whole.get("spec") or {}), **(spec or {})}}


def micro_time(ms: int) -> str:
    """A MicroTime. The API server takes six digits behind the point, no more and no fewer."""
    at = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}000Z"


def _ms(micro: str | None) -> int | None:
    return round(dt.datetime.fromisoformat(micro).timestamp() * 1000) if micro else None
