# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation analyse | compare | sweep | growth``: journals, saved figures, seeds, and what goes where."""

from __future__ import annotations

import csv
import io

import msgspec
import pytest

pytest.importorskip("numpy")

from holdfast.cli.propagation_analyse import REFERENCES
from holdfast.cli.propagation_sweep import VALUES
from holdfast.propagation.analysis import shapes
from holdfast.propagation.analysis.sweep import KNOBS
from tests.cli.test_propagation import KEYS, answer


@pytest.fixture
def journals(holdfast, tmp_path):
    """A folder of journals and what simulate said when it wrote them."""
    folder = tmp_path / "real"
    said = holdfast("propagation", "simulate", "--preset", "gossipsub", "--nodes", "60", "--seed", "3", "--json",
                    "--journals", str(folder))
    assert (said.code, said.err) == (0, f"wrote 60 journals to {folder}\n")
    return folder, msgspec.json.decode(said.out)


def test_a_simulation_by_its_journals_has_the_very_figures_it_printed(holdfast, journals):
    folder, printed = journals
    found = answer(holdfast("propagation", "analyse", str(folder), "--json"))
    (run,) = found["runs"]
    assert run["summary"] == printed
    assert list(run["summary"]) == KEYS
    assert answer(holdfast("propagation", "compare", str(folder), "--json")) == {"real": printed}
    assert "medians" not in found


def test_what_is_said_at_a_terminal(holdfast, journals):
    said = holdfast("propagation", "analyse", str(journals[0]), "--reference", "bitcoin-tx-2014-11")
    assert (said.code, said.err) == (0, "")
    names = [line.split("  ")[0] for line in said.out.splitlines() if not line.startswith(" ")]
    assert names == ["run", "nodes", "spread", "times", "hops", "copies", "bytes", "load", "busiest links", "first spy",
                     "log-normal", "bitcoin-tx-2014-11"]


def test_what_is_odd_is_said_and_a_node_that_lacks_something_answers_1(holdfast, journals):
    folder, _ = journals
    (folder / "n99.jsonl").write_text('{"event":"started","t":0,"node":"n99"}\n{"event":"sighed"}\n{"ev')
    said = holdfast("propagation", "analyse", str(folder))
    assert said.code == 1
    assert said.err.splitlines() == [
        "real: 1 last line is torn: whoever wrote it died or is still writing",
        "real: 1 lines with events that are not known: sighed (1)"]
    assert "61, of which 1 lack some: n99" in said.out


def test_folders_are_runs_with_medians_and_distances_and_files_are_one(holdfast, journals):
    folder, _ = journals
    found = answer(holdfast("propagation", "analyse", str(folder), str(folder), "--json"))
    assert len(found["runs"]) == 2
    assert found["medians"]["t50_s"]["runs"] == 2
    assert found["distances"] == [{"a": "1. real", "b": "2. real", "distance": 0.0, "by_chance": 1.0}]
    files = holdfast("propagation", "analyse", *map(str, sorted(folder.iterdir())[:30]), "--json")
    (run,) = msgspec.json.decode(files.out)["runs"]
    assert run["summary"]["nodes"] == 30
    assert "no journal of 30 nodes that others name" in files.err


def test_a_line_a_node_as_csv(holdfast, journals, tmp_path):
    said = holdfast("propagation", "analyse", str(journals[0]), "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert len(rows) == 60
    assert list(rows[0]) == ["run", "node", "arrived_s", "hops", "duplicates", "sent_bytes", "announce", "request",
                             "body", "control"]
    assert sum(int(row["sent_bytes"]) for row in rows) / 60 == pytest.approx(journals[1]["bytes_per_node"], abs=0.01)
    path = tmp_path / "nodes.csv"
    assert holdfast("propagation", "analyse", str(journals[0]), "--csv", str(path), "--json").err == ""
    assert path.read_text() == said.out


def test_reports_are_written(holdfast, journals, tmp_path):
    for words in (("analyse", str(journals[0]), "--title", "Ours"),
                  ("compare", str(journals[0]), "--preset", "flood", "--nodes", "40", "--seeds", "1..3")):
        path = tmp_path / f"{words[0]}.html"
        said = holdfast("propagation", *words, "--report", str(path))
        assert (said.code, said.err) == (0, f"wrote {path}\n")
        assert path.read_text().startswith("<!doctype html>\n")
    assert "<h1>Ours</h1>" in (tmp_path / "analyse.html").read_text()
    assert "Over several seeds" in (tmp_path / "compare.html").read_text()


def test_saved_figures_stand_beside_presets_and_equal_names_are_told_apart(holdfast, journals, tmp_path):
    one, several = tmp_path / "one.json", tmp_path / "several.json"
    one.write_bytes(msgspec.json.encode(journals[1]))
    several.write_text(holdfast("propagation", "compare", "--preset", "flood", "--nodes", "40", "--json").out)
    found = answer(holdfast("propagation", "compare", str(one), str(several), "--preset", "flood", "--nodes", "40",
                            "--json"))
    assert list(found) == ["one.json", "flood", "flood (2)"]
    assert found["one.json"] == journals[1]
    assert found["flood"] == found["flood (2)"]


def test_several_seeds_give_medians_with_intervals(holdfast):
    words = ("propagation", "compare", "--preset", "flood", "--nodes", "40", "--seeds", "1..6")
    found = answer(holdfast(*words, "--json"))["flood"]
    assert [run["seed"] for run in found["runs"]] == [1, 2, 3, 4, 5, 6]
    t50 = found["medians"]["t50_s"]
    assert t50["low"] == min(run["t50_s"] for run in found["runs"])
    assert t50["low"] < t50["median"] < t50["high"]
    assert t50["confidence"] == 0.9688
    rows = list(csv.DictReader(io.StringIO(holdfast(*words, "--csv", "-").out)))
    assert [row["seed"] for row in rows] == list("123456")
    assert "0.969" in holdfast(*words).out


def test_a_real_run_is_measured_against_a_simulated_one(holdfast, journals):
    said = holdfast("propagation", "compare", str(journals[0]), "--preset", "gossipsub", "--nodes", "60", "--seed", "3")
    assert said.out.splitlines()[-1].split() == ["1.", "real", "2.", "gossipsub", "0.000", "1.000"]


def test_links_are_swept_to_a_knee(holdfast):
    words = ("propagation", "sweep", "--values", "4,8,16", "--nodes", "60", "--seeds", "1..2")
    found = answer(holdfast(*words, "--json"))
    assert [point["name"] for point in found["points"]] == ["4 links", "8 links", "16 links"]
    assert found["knee"] == "8 links"
    assert "4 links" in found["front"]
    assert holdfast(*words).out.splitlines()[2].endswith("here")


def test_another_number_is_turned(holdfast):
    found = answer(holdfast("propagation", "sweep", "--turn", "droppers", "--values", "0,0.3", "--nodes", "60",
                            "--seeds", "1..2", "--json"))
    assert [point["name"] for point in found["points"]] == ["0 droppers", "0.3 droppers"]
    assert (found["front"], found["knee"]) == ([], None)
    assert set(VALUES) == set(KNOBS)


def test_a_network_is_grown_and_its_shape_told(holdfast):
    words = ("propagation", "growth", "--sizes", "50,200,800", "--seeds", "1..3")
    found = answer(holdfast(*words, "--json"))
    assert list(found["sizes"]) == ["50", "200", "800"]
    assert found["t50_s"]["shape"] == found["hops_mean"]["shape"] == "log N"
    assert "log N" in holdfast(*words).out


def test_help_names_the_tables_there_are():
    assert set(REFERENCES) == set(shapes.REFERENCES)


@pytest.mark.parametrize(("words", "wrong"), [
    (("analyse", "nowhere"), "nowhere is not there"),
    (("analyse", "."), "no journal is there"),
    (("analyse", "empty.jsonl"), "tell of no transaction"),
    (("analyse", "empty.jsonl", "--json", "--csv", "-"), "one form goes to stdout"),
    (("analyse", "empty.jsonl", "--spies", "0"), "--spies"),
    (("compare", "nowhere.json"), "cannot be read"),
    (("compare", "not.json"), "neither what simulate --json prints"),
    (("compare", "good.json", "--report", "r.html"), "not saved figures alone"),
    (("compare", "--seeds", "5..1"), "the first number comes first"),
    (("compare", "--seeds", "one"), "write 1..5"),
    (("sweep", "--values", "4,-1"), "no list of numbers"),
    (("sweep", "--values", "0"), "whole number of links"),
    (("sweep", "--values", "999", "--nodes", "20"), "cannot have 999 links"),
    (("sweep", "--turn", "loss", "--values", "2"), "less than 1"),
    (("growth", "--sizes", "10,20"), "three different ones"),
    (("simulate", "--preset", "bitcoin-trickle", "--journals", "x"), "at most, not 110000"),
], ids=lambda one: "-".join(one[:2]) if isinstance(one, tuple) else "")
def test_what_cannot_be_done_is_one_clear_error(holdfast, tmp_path, monkeypatch, words, wrong):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "not.json").write_text("[1]")
    (tmp_path / "good.json").write_bytes(msgspec.json.encode(dict.fromkeys(KEYS, 1)))
    place = tmp_path / "sub" / "empty.jsonl"
    place.write_text("")
    paths = {"empty.jsonl": str(place), "nowhere": str(tmp_path / "nowhere"), ".": str(tmp_path / "none"),
             "nowhere.json": str(tmp_path / "nowhere.json"), "not.json": str(tmp_path / "not.json"),
             "good.json": str(tmp_path / "good.json")}
    (tmp_path / "none").mkdir()
    said = holdfast("propagation", *(paths.get(word, word) for word in words))
    assert (said.code, said.out) == (2, "")
    assert wrong in said.err
    assert "Traceback" not in said.err
