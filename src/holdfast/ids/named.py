# SPDX-License-Identifier: Apache-2.0
"""Worker ids that are given from outside: by an environment variable, by the ordinal of a StatefulSet's pod.

Neither keeps two processes from having the same one. An environment variable stands in a template that all pods of a
Deployment share; an ordinal is held twice when a pod on a node that nobody reaches was deleted by force. So what is
read here is what is *wanted* of a store, which refuses the second one (``Owner.wanted``) and keeps windows apart::

    worker = WorkerId(scheme, wanted=wanted(os.environ, layout.workers))

Sources: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset (ordinal, pod-index label);
https://kubernetes.io/docs/tasks/run-application/force-delete-stateful-set-pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import ConfigurationError

#: What tells a process which worker id it wants, and which ones a set has.
VARIABLE, INDEX, OFFSET, COUNT = "WORKER_ID", "POD_INDEX", "WORKER_ID_OFFSET", "WORKER_ID_COUNT"
_ORDINAL = re.compile(r"(?P<set>.+)-(?P<ordinal>\d+)", re.ASCII)


def wanted(environ: Mapping[str, str], workers: int) -> int | None:
    """The worker id that this process was told to want; None when it may have any.

    WORKER_ID says it; where POD_INDEX, WORKER_ID_OFFSET or WORKER_ID_COUNT is set, this is a pod of a StatefulSet, and
    its ordinal does (``from_ordinal``). ConfigurationError when both are said, or what is said is no such number.
    """
    of_a_set = [name for name in (INDEX, OFFSET, COUNT) if name in environ]
    if VARIABLE in environ and of_a_set:
        raise ConfigurationError(f"{VARIABLE} and {of_a_set[0]} are both set: a worker id is given, or an ordinal is")
    if VARIABLE in environ:
        return from_variable(environ, workers)
    if not of_a_set:
        return None
    offset, count = _number(environ, OFFSET, "0"), _number(environ, COUNT, "")
    return from_ordinal(environ, workers, offset=offset or 0, count=count)


def _number(environ: Mapping[str, str], variable: str, otherwise: str) -> int | None:
    text = environ.get(variable, otherwise).strip()
    if text and not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{variable}={text!r} is no number")
    return int(text) if text else None


def from_variable(environ: Mapping[str, str], workers: int, *, variable: str = VARIABLE) -> int:
    """The number in ``variable``. ConfigurationError when it is missing, no number, or not below ``workers``."""
    text = environ.get(variable, "").strip()
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{variable}={text!r}: a number from 0 to {workers - 1} is wanted there, another one "
                                 "in each process. All pods of a Deployment have the same: let a store give it")
    return _within(int(text), workers, variable)


def from_ordinal(environ: Mapping[str, str], workers: int, *, offset: int = 0, count: int | None = None) -> int:
    """The ordinal of a StatefulSet's pod, and ``offset``.

    It is read from POD_INDEX (the label ``apps.kubernetes.io/pod-index`` through the downward API), else from the end
    of POD_NAME or HOSTNAME. offset, count: the ids of this set among those of several, ``count`` of them from
    ``offset`` on. Refused beyond that: the next set begins there.
    """
    ordinal = _ordinal(environ)
    most = workers - offset if count is None else count
    if offset < 0 or most < 1 or offset + most > workers:
        raise ConfigurationError(f"{most} worker ids from {offset} on: there are {workers} of them")
    if ordinal >= most:
        raise ConfigurationError(f"pod {ordinal} of this set is beyond its {most} worker ids, {offset} to "
                                 f"{offset + most - 1}: give it more, and later sets a higher offset")
    return offset + ordinal


def _ordinal(environ: Mapping[str, str]) -> int:
    index = environ.get(INDEX, "").strip()
    if index:
        if not (index.isascii() and index.isdigit()):
            raise ConfigurationError(f"{INDEX}={index!r} is no number: let it be apps.kubernetes.io/pod-index")
        return int(index)
    name = environ.get("POD_NAME") or environ.get("HOSTNAME", "")
    found = _ORDINAL.fullmatch(name)
    if found is None:
        raise ConfigurationError(f"{name!r} is no pod of a StatefulSet: its name ends in its ordinal (web-0). Names of "
                                 "a Deployment's pods are random: let a store give the worker id")
    return int(found["ordinal"])


def _within(number: int, workers: int, said_by: str) -> int:
    if number >= workers:
        raise ConfigurationError(f"{said_by}={number}: this layout has worker ids from 0 to {workers - 1}")
    return number
