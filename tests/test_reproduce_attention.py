"""The reproduction of the attention paper, small."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from hopfix.mean_field import AttentionMeanField
from hopfix.reproduce import attention_mean_field as paper
from hopfix.reproduce import attention_mean_field_figures as figures


@pytest.fixture(scope="module")
def found():
    calls = []
    answer = paper.run(quick=True, progress=lambda *call: calls.append(call))
    assert {name for name, _, _ in calls} == {
        "Figure 3a",
        "Figure 3b",
        "finite networks",
        "phase diagram",
    }
    assert all(0 < done <= total for _, done, total in calls)
    return answer


def test_diagrams_count_every_step(found):
    diagram = found.diagrams["b"]
    kept = paper.QUICK.steps - paper.QUICK.discard
    assert (diagram.values.sum(axis=1) == kept).all()
    assert diagram.betas[0] == 1.24
    assert diagram.betas[-1] == 1.28
    # The last one, simulated by itself.
    model = AttentionMeanField.paper(1.28)
    start = model.simulate(paper.QUICK.steps).final_state
    rows = model.simulate(paper.QUICK.steps, start, paper.QUICK.discard).semantic_output[:, 0]
    counts, _ = np.histogram(rows, diagram.edges)
    assert (counts == diagram.values[-1]).all()
    assert found.diagrams["a"].betas[0] > 0


def test_cycles_lose_their_stability_where_the_torus_is_born(found):
    four, down, up = found.branches
    assert [event.kind for event in four.events] == ["neimark-sacker"]
    assert four.events[0].beta == pytest.approx(1.243444547815, abs=1e-10)
    folds = [e.beta for branch in (down, up) for e in branch.events if e.kind == "fold"][:2]
    assert folds == pytest.approx([1.2669595500, 1.2738605863], abs=1e-8)


def test_errors_fall_as_one_over_the_root(found):
    spins, errors = np.array(list(found.errors)), np.array(list(found.errors.values()))
    slope = np.polyfit(np.log(spins), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.06)


def test_numbers_and_pictures(found, tmp_path):
    numbers = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert numbers["exponents"]["1.27"]["published"] == ["-0.0477"]
    assert sum(numbers["phases"]["kinds"].values()) == 12 * 8
    drawn = figures.draw(found)
    assert sorted(drawn) == [
        "figure_3a",
        "figure_3b",
        "figure_4",
        "figure_5",
        "finite_size",
        "phases",
    ]
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=40)
        assert (tmp_path / f"{name}.png").stat().st_size > 2_000
