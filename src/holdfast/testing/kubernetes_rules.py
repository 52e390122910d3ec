# SPDX-License-Identifier: Apache-2.0
"""What an API server does with Lease objects, as its documentation and its source say: the rules, without the network.

Sources: https://kubernetes.io/docs/reference/using-api/api-concepts (resourceVersion, conflicts, lists),
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels, …/names, …/annotations,
https://kubernetes.io/docs/reference/access-authn-authz/rbac, and of k8s.io/kubernetes the strategy and the validation
of Lease (``AllowCreateOnUpdate`` is true, ``AllowUnconditionalUpdate`` is false) with the generic registry's Update.
"""

from __future__ import annotations

import copy
import datetime as dt
import re
import uuid
from collections.abc import Mapping
from typing import Any

Words = dict[str, Any]

GROUP, RESOURCE, KIND = "coordination.k8s.io", "leases", "Lease"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
#: Exactly six digits: ``MicroTime`` is parsed by a layout that has so many.
_MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_SPEC = {"holderIdentity": str, "leaseDurationSeconds": int, "acquireTime": str, "renewTime": str,
         "leaseTransitions": int, "strategy": str, "preferredHolder": str}
_METADATA = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels", "annotations",
             "ownerReferences", "finalizers", "managedFields"}
ANNOTATIONS_BYTES_MAX = 256 * 1024
_CHANGED = "the object has been modified; please apply your changes to the latest version and try again"


class Refused(Exception):
    """An answer that is no success. status: of HTTP; reason: the server's own word for it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(message)


class LeaseRules:
    """The objects of one server, by namespace and name. Not for two threads at once."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Words] = {}
        self.version = 1000

    def get(self, namespace: str, name: str) -> Words:
        """One object."""
        found = self.objects.get((namespace, name))
        if found is None:
            raise Refused(404, "NotFound", f'{RESOURCE}.{GROUP} "{name}" not found')
        return copy.deepcopy(found)

    def list(self, namespace: str, selector: str) -> Words:
        """All with these labels. Items of a list carry neither apiVersion nor kind."""
        wanted = parse_selector(selector)
        items = [{key: value for key, value in copy.deepcopy(found).items() if key not in ("apiVersion", "kind")}
                 for (where, _), found in sorted(self.objects.items())
                 if where == namespace and wanted.items() <= (found["metadata"].get("labels") or {}).items()]
        return {"apiVersion": f"{GROUP}/v1", "kind": f"{KIND}List", "metadata": {"resourceVersion": str(self.version)},
                "items": items}

    def create(self, namespace: str, body: Words) -> Words:
        """Makes one."""
        name = (body.get("metadata") or {}).get("name", "")
        if (body.get("metadata") or {}).get("resourceVersion"):
            raise Refused(500, "InternalError", "resourceVersion should not be set on objects to be created")
        validate(body, namespace)
        if (namespace, name) in self.objects:
            raise Refused(409, "AlreadyExists", f'{RESOURCE}.{GROUP} "{name}" already exists')
        return self._store(namespace, name, body, {
            "uid": str(uuid.uuid4()), "creationTimestamp": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"})

    def update(self, namespace: str, name: str, body: Words) -> Words:
        """Replaces one. One that is not there is made, unless the body knows the uid of one that was."""
        metadata = body.get("metadata") or {}
        if metadata.get("name") != name:
            raise Refused(400, "BadRequest", f"the name of the object ({metadata.get('name')}) does not match the name "
                                             f"on the URL ({name})")
        found, uid = self.objects.get((namespace, name)), metadata.get("uid")
        if uid and uid != (found or {"metadata": {"uid": ""}})["metadata"]["uid"]:
            raise self._conflict(name, "Precondition failed: UID in precondition: "
                                       f"{uid}, UID in object meta: {found['metadata']['uid'] if found else ''}")
        if found is None:
            return self.create(namespace, {**body, "metadata": {**metadata, "resourceVersion": ""}})
        if not metadata.get("resourceVersion"):
            raise _invalid(name, 'metadata.resourceVersion: Invalid value: "": must be specified for an update')
        if metadata["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise self._conflict(name, _CHANGED)
        validate(body, namespace)
        kept = {key: found["metadata"][key] for key in ("uid", "creationTimestamp")}
        for key in kept.keys() & metadata.keys():
            if metadata[key] != kept[key]:
                raise _invalid(name, f"metadata.{key}: Invalid value: {metadata[key]!r}: field is immutable")
        if metadata.get("generation", 0) < found["metadata"].get("generation", 0):
            raise _invalid(name, "metadata.generation: Invalid value: must not be decremented")
        return self._store(namespace, name, body, kept)

    def delete(self, namespace: str, name: str) -> None:
        """Removes one."""
        self.get(namespace, name)
        del self.objects[namespace, name]
        self.version += 1

    def _store(self, namespace: str, name: str, body: Words, kept: Mapping[str, str]) -> Words:
        self.version += 1
        stored = copy.deepcopy({"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": body["metadata"],
                                "spec": body.get("spec") or {}})
        stored["metadata"].update({"namespace": namespace, "resourceVersion": str(self.version), **kept})
        self.objects[namespace, name] = stored
        return copy.deepcopy(stored)

    @staticmethod
    def _conflict(name: str, why: str) -> Refused:
        return Refused(409, "Conflict", f'Operation cannot be fulfilled on {RESOURCE}.{GROUP} "{name}": {why}')


def parse_selector(text: str) -> dict[str, str]:
    """Requirements of the kind ``key=value``; of the others this server knows none."""
    found = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key.endswith("!") or not _is_key(key) or not _VALUE.fullmatch(value):
            raise Refused(400, "BadRequest", f"unable to parse requirement: {part!r}")
        found[key] = value
    return found


def validate(body: Words, namespace: str) -> None:
    """What is checked of every object that is written. Stricter in one thing: unknown fields are refused."""
    metadata, spec = body.get("metadata") or {}, body.get("spec") or {}
    name = metadata.get("name", "")
    if body.get("apiVersion", f"{GROUP}/v1") != f"{GROUP}/v1" or body.get("kind", KIND) != KIND:
        raise Refused(400, "BadRequest", f"{body.get('kind')} in {body.get('apiVersion')} cannot be handled here")
    unknown = (body.keys() - {"apiVersion", "kind", "metadata", "spec"}) | (metadata.keys() - _METADATA) | (
        spec.keys() - _SPEC.keys())
    if unknown:
        raise Refused(400, "BadRequest", f"strict decoding error: unknown fields {sorted(unknown)}")
    if metadata.get("namespace", namespace) != namespace:
        raise Refused(400, "BadRequest", "the namespace of the provided object does not match that of the request")
    if not name or len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        raise _invalid(name, f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 subdomain is wanted")
    _validate_notes(name, metadata.get("labels") or {}, metadata.get("annotations") or {})
    _validate_spec(name, spec)


def _validate_notes(name: str, labels: Words, annotations: Words) -> None:
    for key, value in {**labels, **annotations}.items():
        if not _is_key(key) or not isinstance(value, str):
            raise _invalid(name, f"metadata: Invalid value: {key!r}: a qualified name and a text are wanted")
    for key, value in labels.items():
        if len(value) > 63 or not _VALUE.fullmatch(value):
            raise _invalid(name, f"metadata.labels: Invalid value: {key}={value!r}: a valid label is wanted")
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_BYTES_MAX:
        raise _invalid(name, f"metadata.annotations: Too long: may not be more than {ANNOTATIONS_BYTES_MAX} bytes")


def _validate_spec(name: str, spec: Words) -> None:
    for key, value in spec.items():
        if value is not None and (not isinstance(value, _SPEC[key]) or isinstance(value, bool)):
            raise Refused(400, "BadRequest", f"spec.{key}: cannot unmarshal {value!r}")
        if key.endswith("Time") and value is not None and not _MICRO.fullmatch(str(value)):
            raise Refused(400, "BadRequest", f'spec.{key}: parsing time "{value}" as "{_MICRO_LAYOUT}"')
    if not 0 < spec.get("leaseDurationSeconds", 1) < 2**31:
        raise _invalid(name, "spec.leaseDurationSeconds: Invalid value: must be greater than 0")
    if not 0 <= spec.get("leaseTransitions", 0) < 2**31:
        raise _invalid(name, "spec.leaseTransitions: Invalid value: must be greater than or equal to 0")


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(name) and len(name) <= 63 and bool(_VALUE.fullmatch(name)) and (
        not slash or (len(prefix) <= 253 and bool(_SUBDOMAIN.fullmatch(prefix))))


def _invalid(name: str, why: str) -> Refused:
    return Refused(422, "Invalid", f'{KIND}.{GROUP} "{name}" is invalid: {why}')


def allowed(role: Words, verb: str, name: str) -> bool:
    """Whether a Role allows it. ``create`` and ``list`` name no object, so a rule with names allows them never."""
    return any({GROUP, "*"} & set(rule.get("apiGroups", ())) and {RESOURCE, "*"} & set(rule.get("resources", ()))
               and {verb, "*"} & set(rule.get("verbs", ()))
               and (not rule.get("resourceNames") or name in rule["resourceNames"]) for rule in role.get("rules", ()))
