"""`hopfix.compare`: every memory on one problem, against the memories themselves."""

import json
import warnings

import numpy as np
import pytest

import hopfix
from hopfix.performer import Performer, RandomFeatures


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    patterns = np.sign(rng.standard_normal((12, 40)))
    queries = patterns.copy()
    queries[:, 20:] = 0
    return patterns, queries


@pytest.fixture(scope="module")
def everything(problem):
    return hopfix.compare(*problem, beta=0.5)


def test_every_memory_of_the_library_answers(problem, everything):
    assert [result.name for result in everything] == list(hopfix.MODELS)
    for result in everything:
        assert np.isfinite(result.states).all(), result.name
        assert result.states.shape == problem[1].shape
        assert result.seconds > 0
    np.testing.assert_array_equal(everything.wanted, problem[0])


def test_answers_are_those_of_the_memories(problem, everything):
    patterns, queries = problem
    kernel = hopfix.kernel.SeparationKernel(seed=0).fit(patterns)
    memories = {
        "continuous": hopfix.classical.ContinuousHopfield(patterns),
        "sparse continuous": hopfix.classical.ContinuousHopfield(patterns, sparsify_above=-0.5),
        "modern": hopfix.Hopfield(patterns, 0.5),
        "sparse modern": hopfix.Hopfield(patterns, 0.5, sparsify_above=-0.5),
        "polynomial": hopfix.Hopfield(patterns, 0.5, separation=("polynomial", 10, True)),
        "U-Hop": hopfix.Hopfield(patterns, 0.5, similarity=kernel),
        "Performer": Performer(patterns, 0.5, RandomFeatures(40, 1024, seed=0)),
    }
    for name, memory in memories.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            found = memory.retrieve(queries)
        result = everything[name]
        np.testing.assert_array_equal(result.states, found.states)
        np.testing.assert_array_equal(result.steps, found.steps)
        np.testing.assert_array_equal(result.converged, found.converged)
        wanted = np.square(found.states - patterns).sum(axis=1)
        np.testing.assert_allclose(result.error, wanted)
    signs = np.where(queries > 0, 1.0, -1.0)
    binary = hopfix.classical.BinaryHopfield(patterns).retrieve(signs)
    np.testing.assert_array_equal(everything["binary"].states, binary.states)


def test_correct_means_nearest(problem):
    patterns, _ = problem
    answers = patterns.copy()
    answers[3] = patterns[4]
    answers[5] = (patterns[5] + patterns[6]) / 2  # a tie is not an answer

    class Fixed:
        def update(self, states):
            return answers

    result = hopfix.compare(patterns, patterns, {"fixed": Fixed()})["fixed"]
    assert set(np.flatnonzero(~result.correct)) == {3, 5}
    assert result.error[3] == np.square(patterns[3] - patterns[4]).sum()
    assert (result.steps == 1).all()


def test_targets(problem):
    patterns, queries = problem
    nearest = hopfix.compare(patterns, patterns[[7, 2]], ["modern"], beta=3.0)
    np.testing.assert_array_equal(nearest.wanted, patterns[[7, 2]])
    told = hopfix.compare(patterns, queries[:2], ["modern"], targets=[1, 0])
    np.testing.assert_array_equal(told.wanted, patterns[[1, 0]])


def test_refusals_and_warnings_are_remarks(problem):
    patterns, queries = problem
    rows = np.concatenate([patterns, np.zeros((1, 40))])
    found = hopfix.compare(rows, 5 * queries, ["unit norm", "Performer", "modern"], beta=2.0)
    assert "normalize" in found["unit norm"].remark
    assert np.isnan(found["unit norm"].error).all()
    assert not found["unit norm"].correct.any()
    assert "worthless" in found["Performer"].remark
    assert found["modern"].remark == ""
    assert "unit norm: " in str(found)


def test_text_and_dicts(everything):
    lines = str(everything).splitlines()
    assert len(lines) >= 1 + len(hopfix.MODELS)
    assert lines[0].split() == ["memory", "error", "correct", "steps", "converged", "seconds"]
    json.dumps(everything.to_dicts(), allow_nan=False)
    assert everything[0] is everything["binary"]
    with pytest.raises(KeyError):
        everything["none"]


def test_plots(everything, tmp_path):
    pytest.importorskip("matplotlib")
    everything.plot().savefig(tmp_path / "errors.png")
    everything.plot((5, 8), count=3).savefig(tmp_path / "images.png")
    assert (tmp_path / "errors.png").stat().st_size > 5000
    assert (tmp_path / "images.png").stat().st_size > 5000
    with pytest.raises(ValueError, match=r"image_shape: got \(5, 9\)"):
        everything.plot((5, 9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": "modern"}, "models: got str"),
        ({"models": []}, "models: got none"),
        ({"models": ["none"]}, "models: got 'none', need one of binary"),
        ({"models": {"mine": 3}}, "models: 'mine' is a int"),
        ({"beta": 0}, "beta: got 0"),
        ({"targets": [0.5] * 12}, "targets: got dtype float64"),
        ({"targets": [0]}, r"targets: got shape \(1,\)"),
        ({"targets": [12] * 12}, "targets: got 12 to 12, need 0 to 11"),
        ({"max_steps": 0}, "max_steps: got 0"),
        ({"n_features": 0}, "n_features: got 0"),
    ],
)
def test_bad_input_is_named(problem, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        hopfix.compare(*problem, **options)
