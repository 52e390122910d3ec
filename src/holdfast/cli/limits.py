# SPDX-License-Identifier: Apache-2.0
"""``--limits FILE``: numbers from a file over those in code."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..consume.limits_file import load_limits

if TYPE_CHECKING:
    from ..app import Holdfast


@asynccontextmanager
async def limited(hf: Holdfast, file: str | None) -> AsyncIterator[None]:
    """The consumers of ``hf`` run under the file's numbers. A consumer is named in it as ``stream/group``.

    Raises ConfigurationError for a file that cannot be read, is wrong, or names a consumer that is not there.
    """
    if file is not None:
        declared = hf._declared  # noqa: SLF001 - the command line completes what the module declared
        names = [f"{d.subscription.stream}/{d.subscription.group}" for d in declared]
        found = load_limits(Path(file), names)
        for name, d in zip(names, declared, strict=True):
            d.subscription = dataclasses.replace(d.subscription, limits=found.over(d.subscription.limits, name))
    yield
