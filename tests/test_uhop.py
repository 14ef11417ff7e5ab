"""The U-Hop experiments: against the naive experiment, and what they write."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("click")

import uhop as naive

from hopfix import datasets
from hopfix.cli import main
from hopfix.reproduce import _uhop_experiments as experiments
from hopfix.reproduce import _uhop_models as models
from hopfix.reproduce import uhop
from hopfix.reproduce._uhop_results import Comparison

QUICK = uhop.Settings.quick()


@pytest.fixture(scope="module")
def digits():
    return datasets.images("digits")


@pytest.fixture(scope="module")
def results():
    heard = []
    done = uhop.measure(
        ["digits"], seeds=2, settings=QUICK, progress=lambda *told: heard.append(told)
    )
    shares = [share for _, share in heard]
    assert shares == sorted(shares)
    assert 0 == shares[0] < shares[-1] < 1
    assert done.finished
    return done


# --------------------------------------------------------------------------------- against the twin


@pytest.mark.parametrize("beta", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("model", models.MODELS, ids=lambda model: model.name)
def test_one_update_is_that_of_the_twin(model, beta, digits):
    patterns = digits.sample(30, seed=3)
    matrix = None
    if model.kernel is not None:
        matrix = models.random_start(64, seed=8) / np.float32(8)
    twin = model.name if model.name in naive.MODELS else "random_kernel"
    wide = patterns.astype(np.float64)
    for asked in naive.queries(wide, (8, 8), 0.4, seed=5).values():
        memory = models.Memory(model, patterns, matrix)
        got = memory.error(asked.astype(np.float32), beta)
        wanted = naive.error(twin, wide, asked, beta, matrix)
        assert got == pytest.approx(wanted, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("size", QUICK.sizes)
def test_the_capacity_experiment_is_the_naive_one(size, digits, results):
    for seed in (0, 1):
        wanted = naive.capacity(
            digits.pixels, (8, 8), size, seed, QUICK.gaussian_level, QUICK.steps
        )
        for (query, model), error in wanted.items():
            got = results.errors("digits", query, model, "published", size)[seed]
            assert got == pytest.approx(error, rel=2e-2, abs=1e-3), (query, model)


@pytest.mark.parametrize("loss", ["average", "maximum"])
def test_faithful_stage_one_is_the_published_descent(loss, digits):
    patterns = digits.sample(20, seed=2).astype(np.float64)
    start = models.random_start(64, seed=1).astype(np.float64)
    wanted, losses = naive.stage_one(patterns, start, loss, steps=30)
    learned = models.fitted(models.Kernel(loss, True), patterns, steps=30, start=start)
    np.testing.assert_allclose(learned.loss_history[:-1], losses, rtol=1e-9)
    np.testing.assert_allclose(learned.matrix, wanted, rtol=0, atol=1e-8)


def test_the_noise_experiment_is_the_naive_one(digits, results):
    size, level, seed = QUICK.noise_size, QUICK.noise_levels[1], 1
    patterns = naive.memory_set(digits.pixels, size, seed)
    noise = np.random.default_rng(seed).standard_normal(patterns.shape, dtype=np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    asked = np.clip(np.abs(patterns + level * noise), 0, 1)
    for model, (_, _, _, loss) in naive.MODELS.items():
        steps = QUICK.noise_maximum_steps if loss == "maximum" else QUICK.steps
        matrix = None if loss is None else naive.kernel_matrix(patterns, loss, steps, seed)
        wanted = naive.error(model, patterns, asked, 1.0, matrix)
        key = uhop_key("noise", "noise_of_norm", model, "published", level)
        assert results.values[key][seed] == pytest.approx(wanted, rel=2e-2, abs=1e-3), model


def test_steps_of_stage_one(digits, results):
    """The loss of no steps is that of the random start; the published maximum loss falls."""
    learning = naive.memory_set(digits.pixels, QUICK.stage_one_size, 0)[: QUICK.stage_one_size // 2]
    start = naive.kernel_matrix(learning, "", 0, 0)
    for loss in ("average", "maximum"):
        key = uhop_key("stage_one", "random_mask_doubled", f"uhop_{loss}_faithful", "", 0)
        wanted = naive.separation_loss(learning, start, loss)[0]
        assert results.values[key._replace(measure="loss")][0] == pytest.approx(wanted, rel=1e-4)
    for name in ("uhop_average_faithful", "uhop_average"):
        curve = results.curve(experiment="stage_one", measure="loss", model=name)
        assert [at for at, _ in curve] == list(QUICK.stage_one_steps)
        first, last = curve[0][1], curve[-1][1]
        assert all(b < a for a, b in zip(first, last, strict=True))


def test_beta_is_the_best_of_the_grid_for_every_model(digits, results):
    chosen = results.betas["digits"]
    assert set(chosen) == {(q, m.name) for q in experiments.QUERIES for m in models.MODELS}
    level, size = QUICK.gaussian_level, QUICK.tuning_size
    for model in ("softmax", "sparsemax", "neg_l1", "neg_sq_l2", "unit_norm"):
        for query in experiments.QUERIES:
            totals = np.zeros(len(QUICK.betas))
            for seed in experiments.TUNING_SEEDS:
                patterns = naive.memory_set(digits.pixels, size, seed)
                asked = naive.queries(patterns, (8, 8), level, seed)[query]
                totals += [naive.error(model, patterns, asked, beta) for beta in QUICK.betas]
            at = QUICK.betas.index(chosen[query, model])
            assert totals[at] <= totals.min() * (1 + 1e-4) + 1e-6


def uhop_key(experiment, query, model, placement, at):
    return experiments.Key(experiment, "error", "digits", query, model, placement, at)


# ---------------------------------------------------------------------------------- parts of it


def test_pixels_are_clamped_before_they_are_compared():
    images = np.array([[0.0, 1.0, 0.5], [0.2, 0.0, 1.0]])
    retrieved = np.array([[-3.0, 9.0, 0.25], [0.2, 1.0, 1.0]])
    assert models.pixel_error(images, retrieved) == (0.25**2 + 1) / 2


def test_stored_patterns_come_back_where_distances_decide(digits):
    patterns = digits.sample(50, seed=0)
    for model in models.MODELS:
        if model.similarity != "dot" or model.unit_norm:
            memory = models.Memory(model, patterns)
            assert memory.error(patterns, 1e4) < 1e-6


def test_a_query_of_zeros_is_compared_as_it_is():
    (model,) = (model for model in models.MODELS if model.unit_norm)
    patterns = np.eye(3, dtype=np.float32)
    memory = models.Memory(model, patterns)
    retrieved = memory.retrieve(np.zeros((3, 3), np.float32), 5.0)
    np.testing.assert_allclose(retrieved, 1 / 3, rtol=1e-6)


def test_a_random_kernel_is_not_fitted():
    start = np.eye(2, dtype=np.float32)
    with pytest.raises(ValueError, match="kernel: got a random one"):
        models.fitted(models.Kernel("random"), start, steps=1, start=start)


@pytest.mark.parametrize(
    ("values", "index"),
    [([3.0, 1.0, 2.0], 1), ([0.0, 0.0, 0.0], 1), ([5.0, 0.0, 0.0, 0.0, 0.0], 2), ([1.0], 0)],
)
def test_of_equal_betas_the_middle_one(values, index):
    assert experiments._middle_of_least(np.array(values)) == index


@pytest.mark.parametrize(
    ("difference", "uncertainty", "verdict"),
    [(-1.0, 0.4, "U-Hop"), (-1.0, 0.6, "tie"), (1.0, 0.4, "unlearned"), (0.009, 0.0, "tie")],
)
def test_verdicts(difference, uncertainty, verdict):
    place = ("digits", "lower_half", "chosen", 10)
    compared = Comparison(*place, 2.0, "softmax", 2.0, "uhop_average", 1.0, difference, uncertainty)
    assert compared.verdict == verdict


def test_comparisons_take_the_best_of_both_kinds(results):
    (first, *_) = results.comparisons("chosen", QUICK.sizes[-1])
    means = {
        m.name: np.mean(results.errors("digits", first.query, m.name, "chosen", QUICK.sizes[-1]))
        for m in models.MODELS
    }
    assert means[first.learned] == min(means[m.name] for m in models.MODELS if m.learned)
    assert means[first.unlearned] == min(means[m.name] for m in models.MODELS if not m.learned)
    assert first.difference == pytest.approx(first.learned_error - first.unlearned_error)


# ------------------------------------------------------------------------------------- as a whole


def test_threads_and_time_change_nothing(results):
    again = uhop.measure(["digits"], seeds=2, settings=QUICK, num_threads=1, time_limit=1000)
    assert again.betas == results.betas
    assert set(again.values) == set(results.values)
    for key, values in again.values.items():
        np.testing.assert_allclose(values, results.values[key], rtol=1e-3, atol=1e-5)


def test_other_seeds_are_other_sets(results):
    other = uhop.measure(["digits"], seeds=1, first_seed=1, settings=QUICK)
    for key, values in other.values.items():
        assert values[0] == pytest.approx(results.values[key][1], rel=1e-3, abs=1e-5)


def test_time_limit_stops_between_experiments():
    done = uhop.measure(["digits"], seeds=2, settings=QUICK, time_limit=1e-6)
    assert not done.finished
    assert done.values == {}


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    assert main(["reproduce", "uhop", "--quick", "--json", "--output", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "uhop.json").read_text(encoding="utf-8"))
    assert printed == written
    assert written["finished"]
    assert written["results"]["settings"]["noise_levels"] == list(QUICK.noise_levels)
    names = {path.name for path in tmp_path.iterdir()} - {"uhop.json"}
    assert names == set(written["pictures"])
    assert names == {
        f"uhop_{name}.png"
        for name in ("capacity_published", "capacity_chosen", "noise", "stage_one")
    }
    curves = written["results"]["curves"]
    assert {curve["model"] for curve in curves} == {model.name for model in models.MODELS}
    assert all(curve["seeds"] == 2 for curve in curves)


def test_the_command_prints_tables(capsys):
    assert main(["reproduce", "uhop", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert "Does learning help?" in printed
    assert "U-Hop maximum, faithful" in printed


def test_ctrl_c_keeps_what_there_is(tmp_path):
    def stop(_what, share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        uhop.run(tmp_path, quick=True, progress=stop)
    partial = caught.value.partial
    assert not partial.finished
    assert partial.results.values
    written = json.loads((tmp_path / "uhop.json").read_text(encoding="utf-8"))
    assert not written["finished"]
    assert written["results"]["curves"]
    assert (tmp_path / "uhop_capacity_chosen.png").exists()


def test_a_ctrl_c_before_any_result_is_written_too(tmp_path):
    def stop(_what, _share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        uhop.run(tmp_path, quick=True, progress=stop)
    assert caught.value.partial.results.values == {}
    assert [path.name for path in tmp_path.iterdir()] == ["uhop.json"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"images": []}, ValueError, r"images: got \[\]"),
        ({"images": "digits"}, ValueError, "images: got 'digits'"),
        ({"images": ["cifar"]}, ValueError, "name: got 'cifar'"),
        ({"images": ["digits"], "seeds": 0}, ValueError, "seeds: got 0"),
        ({"images": ["digits"], "seeds": 1.5}, TypeError, "seeds: got float"),
        ({"images": ["digits"], "first_seed": -1}, ValueError, "first_seed: got -1"),
        ({"images": ["digits"], "first_seed": 10**6}, ValueError, "first_seed: got 1000000"),
        ({"images": ["digits"], "time_limit": 0}, ValueError, "time_limit: got 0"),
    ],
)
def test_errors(arguments, error, words):
    with pytest.raises(error, match=words):
        uhop.measure(**arguments)


def test_a_missing_package_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    assert main(["reproduce", "uhop"]) == 2
    assert "install hopfix[papers]" in capsys.readouterr().err
