# SPDX-License-Identifier: Apache-2.0
"""Removes each guard in turn and demands that the test which names it fails.

A mutant is a file ``tests/mutants/NAME.patch``: header lines, then a diff against the checkout's root::

    test: tests/unit/consume/test_decide.py::test_a_permanent_error_is_buried_at_once
    guard: permanent errors use up no attempts
    --- a/src/holdfast/consume/decide.py
    +++ b/src/holdfast/consume/decide.py
    …

Each one is applied to a copy of the tree, and its test runs there, from src. A mutant is *caught* when the test fails,
*survives* when it passes, and is *broken* when the patch no longer applies or the test cannot run. The test also has
to pass without the patch, or its failing proves nothing: all of them run first, together, in one untouched copy; one
that fails there gets a second chance alone.

Exit codes: 0 all caught; 1 one survived or is broken; 2 misuse.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Longer than any one test may take by its own limit.
TEST_S_MAX = 300
#: What the tests read. Leaving out .venv and build keeps a copy small.
COPIED = ("src", "tests", "docs", "examples", "benchmarks", "pyproject.toml", "README.md", "constraints.txt")

# pytest's exit codes: 1 is the only one that says "a test failed"; 2 to 5 say that it never ran.
FAILED = 1


@dataclass(frozen=True)
class Mutant:
    """One patch and what its header says."""

    name: str
    path: Path
    test: str
    guard: str


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. ``word``: caught, survived or broken; ``detail`` is for a person."""

    mutant: Mutant
    word: str
    seconds: float
    detail: str = ""


def read(path: Path) -> Mutant:
    """The mutant in this file; ValueError when a header line is missing."""
    fields = {}
    for line in path.read_text().splitlines():
        if line.startswith(("--- ", "diff ")):
            break
        key, found, value = line.partition(":")
        if found:
            fields[key.strip()] = value.strip()
    for key in ("test", "guard"):
        if not fields.get(key):
            raise ValueError(f"{path.name}: no '{key}:' line before the diff")
    return Mutant(path.stem, path, fields["test"], fields["guard"])


def mutants(only: list[str]) -> list[Mutant]:
    """All mutants, or those whose name contains one of ``only``."""
    found = [read(path) for path in sorted(HERE.glob("*.patch"))]
    return [mutant for mutant in found if not only or any(part in mutant.name for part in only)]


def apply(mutant: Mutant, tree: Path, *, dry_run: bool = False) -> str | None:
    """Applies the patch; answers with patch's own words when it does not fit, fuzz included."""
    command = ["patch", "-p1", "--batch", "--forward", "--fuzz=0", "--input", str(mutant.path)]
    run = subprocess.run([*command, "--dry-run"] if dry_run else command, cwd=tree, capture_output=True, text=True,
                         check=False)
    return None if run.returncode == 0 else (run.stdout + run.stderr).strip()


def copy_tree(target: Path) -> None:
    """What the tests read, without what was built or cached."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.orig", "*.rej"))
        elif source.is_file():
            shutil.copy2(source, target / name)


def _environment(tree: Path) -> dict[str, str]:
    """Ours, with the copy's sources in front."""
    environment = {key: value for key, value in os.environ.items() if key != "HOLDFAST_WHEEL"}
    return environment | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


def run_test(test: str, tree: Path) -> tuple[int, str]:
    """Runs one test in ``tree``, from its src; answers with pytest's exit code and the end of its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", test]
    with subprocess.Popen(command, cwd=tree, env=_environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            output, _ = process.communicate(timeout=TEST_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            return FAILED, f"still running after {TEST_S_MAX} s"
    return process.returncode, "\n".join(output.splitlines()[-15:])


def passing(chosen: list[Mutant], jobs: int) -> set[str]:
    """Which of the mutants' tests pass in an untouched copy, every case of them."""
    wanted = sorted({mutant.test for mutant in chosen})
    with tempfile.TemporaryDirectory(prefix="hf-mutants-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-n", str(jobs), "--dist",
                   "loadfile", "--durations=0", "-m", "", *wanted]
        done = subprocess.run(command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=False)
    passed, bad = set(), set()
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        test = rest.split(" - ")[0].strip()
        if word in ("PASSED", "FAILED", "ERROR"):
            (passed if word == "PASSED" else bad).add(test)
    return {test for test in wanted if _cases(test, passed) and not _cases(test, bad)}


def _cases(test: str, ran: set[str]) -> set[str]:
    """The cases of a test among those that ran: itself, or its parametrized ones."""
    return {one for one in ran if one == test or one.startswith((f"{test}[", f"{test}::"))}


def judge(mutant: Mutant, passes: bool) -> Verdict:
    """The test with the patch, and before that alone without it if it has not passed among the others."""
    began = time.monotonic()

    def verdict(word: str, detail: str = "") -> Verdict:
        found = Verdict(mutant, word, time.monotonic() - began, detail)
        print(f"{word:<9} {found.seconds:5.1f} s  {mutant.name}", file=sys.stderr, flush=True)
        return found

    with tempfile.TemporaryDirectory(prefix="hf-mutant-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        if not passes:
            code, output = run_test(mutant.test, tree)
            if code != 0:
                return verdict("broken", f"the test fails, skips or is missing without the patch:\n{output}")
            if "passed" not in output:
                return verdict("broken", f"the test did not run:\n{output}")
        if refusal := apply(mutant, tree):
            return verdict("broken", refusal)
        code, output = run_test(mutant.test, tree)
        if code == FAILED:
            return verdict("caught")
        if code == 0:
            return verdict("survived", "the test passes without the guard")
        return verdict("broken", f"the test could not run with the patch:\n{output}")


def show(verdicts: list[Verdict]) -> None:
    """The table, then the details of what was not caught."""
    width = max((len(verdict.mutant.name) for verdict in verdicts), default=0)
    for verdict in verdicts:
        print(f"{verdict.word:<9} {verdict.seconds:5.1f} s  {verdict.mutant.name:<{width}}  {verdict.mutant.guard}")
    for verdict in verdicts:
        if verdict.word != "caught":
            print(f"\n{verdict.mutant.name}: {verdict.word}\n  {verdict.mutant.test}\n{verdict.detail}")
    caught = sum(verdict.word == "caught" for verdict in verdicts)
    print(f"\n{caught} of {len(verdicts)} mutants caught")


def main(arguments: list[str] | None = None) -> int:
    """The command: see the file's docstring."""
    parser = argparse.ArgumentParser(description="Remove each guard in turn and demand that its test fails.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="mutants whose name contains NAME")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many run at once (default 1)")
    options = parser.parse_args(arguments)
    try:
        chosen = mutants(options.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if not chosen:
        print("no such mutant", file=sys.stderr)
        return 2
    jobs = max(1, options.jobs)
    fine = passing(chosen, jobs) if len(chosen) > 1 else set()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        verdicts = list(pool.map(lambda mutant: judge(mutant, mutant.test in fine), chosen))
    show(verdicts)
    return 0 if all(verdict.word == "caught" for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
