"""The reproduction of the attention paper, small."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from hopfix.mean_field import AttentionMeanField
from hopfix.reproduce import attention_mean_field as paper

MODEL = AttentionMeanField.paper(1.0)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    heard = []
    done = paper.run(
        tmp_path_factory.mktemp("out"), quick=True, progress=lambda *told: heard.append(told)
    )
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 1
    return done


def rows(report, title):
    (table,) = (table for table in report.tables if table.title.startswith(title))
    return [dict(zip(table.headings, row, strict=True)) for row in table.rows]


def test_diagrams_count_every_step():
    diagram = paper.bifurcation_diagram(MODEL, (1.24, 1.28), paper.QUICK)
    kept = paper.QUICK.steps - paper.QUICK.discard
    assert (diagram.values.sum(axis=1) == kept).all()
    assert diagram.betas[0] == 1.24
    assert diagram.betas[-1] == 1.28
    # The last one, simulated by itself.
    model = AttentionMeanField.paper(1.28)
    start = model.simulate(paper.QUICK.steps).final_state
    values = model.simulate(paper.QUICK.steps, start, paper.QUICK.discard).semantic_output[:, 0]
    counts, _ = np.histogram(values, diagram.edges)
    assert (counts == diagram.values[-1]).all()
    assert paper.bifurcation_diagram(MODEL, (0.0, 3.0), paper.QUICK).betas[0] > 0


def test_cycles_lose_their_stability_where_the_torus_is_born(report):
    found = rows(report, "Bifurcations of cycles")
    assert [row["kind"] for row in found if row["period"] == 4] == ["neimark-sacker"]
    assert float(found[0]["β"]) == pytest.approx(1.243444547815, abs=2e-10)
    folds = [float(row["β"]) for row in found if row["kind"] == "fold"][:2]
    assert folds == pytest.approx([1.2669595500, 1.2738605863], abs=1e-8)


def test_errors_fall_as_one_over_the_root(report):
    found = rows(report, "Finite")
    spins, errors = (np.array([row[name] for row in found]) for name in ("N", "distance"))
    assert np.polyfit(np.log(spins), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.06)


def test_attractors_stand_beside_the_published(report):
    found = {row["β"]: row for row in rows(report, "Attractors")}
    assert found[1.27]["published"] == "-0.0477"
    assert found[1.4]["published"] is None
    shares = [row["share"] for row in rows(report, "Phase diagram")]
    assert sum(shares) == pytest.approx(1)


def test_files(report):
    assert report.finished
    names = ["figure_3a", "figure_3b", "figure_4", "figure_5", "finite_size", "phases"]
    assert [path.stem for path in report.pictures] == [f"attention_mean_field_{n}" for n in names]
    assert all(path.stat().st_size > 5_000 for path in report.pictures)
    numbers = json.loads((report.pictures[0].parent / "attention_mean_field.json").read_text())
    assert numbers["finished"]
