"""Reproductions: the small versions, what they write, and what the command does with errors."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import hopfix
from hopfix.reproduce import PAPERS, paper

pytest.importorskip("matplotlib")
pytest.importorskip("click")

from hopfix.cli import main
from hopfix.reproduce import unstable_fixed_points as unstable

NAME = "unstable-fixed-points"


@pytest.fixture(scope="module")
def report():
    heard = []
    done = unstable.run(quick=True, num_threads=2, progress=lambda *told: heard.append(told))
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1
    return done


def rows(report, title):
    (table,) = (table for table in report.tables if table.title.startswith(title))
    return [dict(zip(table.headings, row, strict=True)) for row in table.rows]


def test_every_paper_has_a_module():
    for name, title in PAPERS.items():
        assert title == paper(name).TITLE
        assert callable(paper(name).run)
    with pytest.raises(
        ValueError, match="paper: got 'none', need one of 'attention-mean-field', 'performer'"
    ):
        paper("none")


def test_thresholds(report):
    for row in rows(report, "Thresholds"):
        assert abs(row["hopfix"] - row["published"]) < 1e-3
        assert row["hopfix"] == hopfix.softmax_map.threshold(row["N"])


def test_cips_rates(report):
    found = rows(report, "Share")
    assert {(row["N"], row["vertices"]) for row in found} == {
        (n, k) for n in (20, 50) for k in (2, 4, 6)
    }
    assert all(0 <= row["exact"] <= row["sampled"] <= 1 for row in found)
    assert any(row["exact"] < row["sampled"] for row in found)


def test_sufficient_betas(report):
    found = rows(report, "Sufficient")
    assert len(found) == 12
    for row in found:
        assert row["exact"] <= row["lemma"] or math.isinf(row["exact"])
        if math.isfinite(row["appears"]):
            assert row["appears"] <= row["exact"] * (1 + 1e-9)


def test_counts(report):
    for row in rows(report, "Fixed points against β, 5 patterns, orthonormal"):
        assert row["cells"] == row["followed"] == row["formula"]
        assert row["complete?"] == "proved"


def test_appearance_of_a_known_face():
    """Two patterns alone: the midpoint loses its stability at beta = 4 / |x_0 - x_1|^2."""
    rng = np.random.default_rng(0)
    patterns = unstable.distorted_patterns(rng, 6, 3.0)[:2]
    assert np.linalg.norm(patterns, axis=1) == pytest.approx([1, 1])
    exact = 4 / ((patterns[0] - patterns[1]) ** 2).sum()
    assert unstable.appearance(patterns, np.arange(2), 100.0, 1) == pytest.approx(exact, rel=1e-9)


def test_the_same_again(report):
    again = unstable.run(quick=True, num_threads=1)
    assert [t.rows for t in again.tables[:2]] == [t.rows for t in report.tables[:2]]


def test_command(tmp_path, capsys):
    assert main(["reproduce", NAME, "--quick", "--json", "--output", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "unstable_fixed_points.json").read_text(encoding="utf-8"))
    assert printed == written
    assert written["finished"]
    names = {path.name for path in tmp_path.iterdir()}
    assert set(written["pictures"]) == names - {"unstable_fixed_points.json"}
    assert len(written["pictures"]) == 4
    assert all(path.stat().st_size > 1000 for path in tmp_path.iterdir())


def test_ctrl_c_keeps_what_is_there(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(unstable, "cips_rates", stop)
    assert main(["reproduce", NAME, "--quick", "--output", str(tmp_path)]) == 130
    captured = capsys.readouterr()
    assert "Thresholds" in captured.out
    assert captured.err == "hopfix: interrupted, 1 tables finished\n"
    written = json.loads((tmp_path / "unstable_fixed_points.json").read_text(encoding="utf-8"))
    assert (written["finished"], len(written["tables"])) == (False, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'"),
        ([NAME, "--output", "/no/such/place"], "/no/such/place: no such directory"),
        ([NAME, "--seed", "-1"], "Invalid value for '--seed'"),
        ([NAME, "--fast"], "No such option '--fast'"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(["reproduce", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hopfix: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_help_without_a_paper(capsys):
    assert main(["reproduce"]) == 0
    assert NAME in capsys.readouterr().out


def test_without_matplotlib(monkeypatch, tmp_path, capsys):
    def missing():
        raise ImportError("hopfix.plot needs matplotlib: install hopfix[plot]")

    monkeypatch.setattr(unstable, "require_matplotlib", missing)
    assert main(["reproduce", NAME, "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "hopfix: hopfix.plot needs matplotlib: install hopfix[plot]\n"
