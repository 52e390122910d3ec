# SPDX-License-Identifier: Apache-2.0
"""A look at a bench, as ``make bench`` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.__main__ import main


def looked(folder: Path, what: str, *more: str) -> tuple[int, Any, str]:
    """``--quick``, into a folder that is empty: the exit code, the result, the page."""
    code = main(["--only", what, "--quick", *more, "--results", str(folder)])
    (path,) = folder.glob(f"*-{what}.json")
    return code, json.loads(path.read_text()), (folder / "README.md").read_text()
