# SPDX-License-Identifier: Apache-2.0
"""What ``holdfast run`` was asked to do, and finding the Holdfast it is about.

A plan goes to worker processes as JSON through a pipe: on a command line its URL, with the password, could be read by
everybody on the machine.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..app import Holdfast

Address = tuple[str, int]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``holdfast run``. ``over``: what the command line says over the module; ``unless``: what the
    environment says where the module is silent. ``metrics_dir``: where worker processes share their metrics.
    """

    app: str
    processes: int = 1
    reload: bool = False
    uvloop: bool | None = None
    health: Address | None = None
    metrics: Address | None = None
    drain_s: float = 10.0
    limits: str | None = None
    over: dict[str, str] = {}
    unless: dict[str, str] = {}
    debug: bool = False
    metrics_dir: str | None = None

    @property
    def measured(self) -> bool:
        """Does anybody ask for metrics?"""
        return self.metrics is not None or self.health is not None


def find(plan: Plan) -> Holdfast:
    """Imports the module, with the current folder first on the path, and gives its Holdfast with the plan's settings.

    Raises ConfigurationError when there is no such module, no such name, or it is something else.
    """
    from ..app import Holdfast

    module_name, name = _parts(plan.app)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module = imported(module_name, here)
    try:
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        there = ", ".join(k for k, v in vars(module).items() if isinstance(v, Holdfast)) or "none"
        raise ConfigurationError(f"module {module_name!r} has no {name!r}; the Holdfasts in it: {there}") from None
    if not isinstance(found, Holdfast):
        raise ConfigurationError(f"{plan.app} is a {type(found).__name__}, not a Holdfast: name the object that "
                                 "@….consumer is taken from")
    _adjust(found, plan)
    return found


def _parts(app: str) -> tuple[str, str]:
    module_name, _, name = app.partition(":")
    if not module_name or not name:
        raise ConfigurationError(f"{app!r} names no Holdfast: write module:name, for example billing:hf")
    return module_name, name


def imported(module_name: str, here: str) -> Any:
    """The module; ConfigurationError when there is none of this name. What it raises itself passes through."""
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing != module_name and not module_name.startswith(f"{missing}."):
            raise  # the module is there; something it imports is not, and the traceback says where
        raise ConfigurationError(f"there is no module {module_name!r} in {here} or among what is installed") from None


def _adjust(hf: Holdfast, plan: Plan) -> None:
    """What the command line says over the module, and the environment where the module is silent."""
    from ..brokers import scheme_of

    named: dict[str, Any] = {**{k: v for k, v in plan.unless.items() if _is_silent(hf, k)}, **plan.over}
    if "records" not in plan.over and not scheme_of(named.get("url") or hf.url):
        named.pop("records", None)  # of an environment that services on Redis share
    hf.place(**named)
    if plan.limits is not None:
        from ..consume.limits_file import load_limits

        hf.limits_file = Path(plan.limits)
        declared = [d.subscription for d in hf._declared]  # noqa: SLF001 - a wrong file is told before anything starts
        load_limits(hf.limits_file, [f"{s.stream}/{s.group}" for s in declared])


def _is_silent(hf: Holdfast, name: str) -> bool:
    from .._redis.keys import DEFAULT_PREFIX

    if name == "prefix":
        return hf.prefix == DEFAULT_PREFIX
    if name == "records":
        return hf.records is None
    return hf.url is None and hf._client is None and (name == "url" or hf._data_dir is None)  # noqa: SLF001


def source_of(app: str) -> tuple[Path, bool]:
    """The folder to watch for changes, and whether its folders count too: a package is watched whole, a single module
    with the files beside it. Nothing is imported."""
    top = _parts(app)[0].partition(".")[0]
    spec = importlib.machinery.PathFinder.find_spec(top, [str(Path.cwd()), *sys.path])
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"there is no module {top!r} in {Path.cwd()} or among what is installed")
    return Path(spec.origin).parent, spec.submodule_search_locations is not None
