"""Branches from beta = infinity and from beta = 0, comparison with cells, files."""

import signal
import threading
from dataclasses import fields

import naive
import numpy as np
import pytest
from curves import assert_sound, branch_arrays

import hopfix
from hopfix import _files
from hopfix.branches import Branches, from_infinity, from_zero
from hopfix.faces import critical_faces


@pytest.mark.parametrize(
    ("d", "N", "seed"), [(3, 5, 0), (3, 6, 1), (4, 7, 2), (5, 6, 3), (4, 10, 4)]
)
def test_all_fixed_points_of_the_checked_examples_come_from_infinity(d, N, seed):
    patterns = naive.unit_patterns(d, N, seed)
    branches = from_infinity(patterns, 1.5)
    assert branches.unseeded == ()
    assert not branches.cut_short
    assert_sound(branches)
    faces = critical_faces(patterns)
    assert set(branches.faces[: len(faces)]) == set(faces.faces)
    assert len(branches.faces) == len(faces) + (faces.center is not None)
    assert sorted(i for b in branches.branches for i in b.starts) == list(
        range(len(branches.faces))
    )
    for beta in (1.5, 5.0, 20.0, 200.0):
        comparison = branches.compare(beta)
        assert comparison.proved_complete, (beta, comparison)
        assert not len(comparison.extra)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_shift_from_infinity(seed, weighted):
    rng = np.random.default_rng(seed)
    d, N = 2 + seed % 2, 8
    patterns = rng.normal(size=(N, d)) + 3
    b = rng.normal(size=N) if weighted else None
    branches = from_infinity(patterns, 0.4, offsets=-0.5 * (patterns**2).sum(1), log_weights=b)
    assert branches.unseeded == ()
    for event in branches.events:
        assert event.certified or event.kind != "fold"
    for beta in (0.4, 2.0, 10.0):
        assert branches.compare(beta).proved_complete
        # The same network by hand: -beta |xi - x|^2 / 2.
        there = branches.network_at(beta)
        extra = 0 if b is None else b
        logits = -0.5 * beta * ((patterns - patterns[0]) ** 2).sum(1) + extra
        p = np.exp(logits - logits.max())
        np.testing.assert_allclose(there.weights(patterns[0]), p / p.sum(), atol=1e-12)
    assert_sound(branches)


def test_a_fold_of_mean_shift_in_thirty_digits():
    import mpmath

    x, b = [0.0, 1.0, 3.5], [0.3, 0.0, -0.2]
    branches = from_infinity(np.array(x)[:, None], 0.05, offsets=-0.5 * np.square(x), log_weights=b)
    folds = [e for e in branches.events if e.kind == "fold"]
    assert len(folds) == 2
    for event in folds:
        assert event.certified
        with mpmath.workdps(30):

            def equations(beta, m):
                e = [
                    mpmath.exp(beta * (mpmath.mpf(y) * m - mpmath.mpf(y) ** 2 / 2) + mpmath.mpf(w))
                    for y, w in zip(x, b, strict=True)
                ]
                p = [v / sum(e) for v in e]
                mean = sum(q * mpmath.mpf(y) for q, y in zip(p, x, strict=True))
                square = sum(q * (mpmath.mpf(y) - mean) ** 2 for q, y in zip(p, x, strict=True))
                return m - mean, beta * square - 1

            beta, m = mpmath.findroot(equations, (event.beta, event.state[0]))
            assert abs(beta - event.beta) <= event.beta_radius < 1e-12
            assert abs(m - event.state[0]) <= event.radius


def test_offsets_of_a_network_are_followed_as_from_infinity():
    rng = np.random.default_rng(5)
    patterns = rng.normal(size=(7, 2))
    offsets = -0.5 * (patterns**2).sum(1)
    net = hopfix.Hopfield(patterns, 30.0, log_weights=30.0 * offsets)
    branches = net.follow(0.5, offsets=offsets)
    np.testing.assert_allclose(branches.terms.log_weights, 0, atol=1e-13)
    other = from_infinity(patterns, 0.5, offsets=offsets)
    folds = other.folds[other.folds < 30]
    np.testing.assert_allclose(branches.folds, folds, rtol=1e-9)
    with pytest.raises(ValueError, match="offsets: got shape"):
        net.follow(0.5, offsets=[1.0])


def test_centres_and_squares_are_seeded_with_their_weights():
    branches = from_infinity(np.vstack([np.eye(3), -np.eye(3)]), 1.0, log_weights=np.arange(6) / 9)
    assert branches.unseeded == ()
    assert branches.faces[-1] == (0, 1, 2, 3, 4, 5)
    assert branches.compare(12.0).proved_complete
    square = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    branches = from_infinity(square, 0.5, offsets=[-1.0] * 4, log_weights=[0.1, 0, 0, 0])
    assert (0, 1, 2, 3) in branches.faces
    assert branches.compare(6.0).proved_complete


def test_degenerate_sets_without_weights_are_named_and_leave_completeness_open():
    triangle = np.array([[0.0, 0], [1, 0], [0, 1]])
    branches = from_infinity(triangle, 2.0, offsets=-0.5 * (triangle**2).sum(1))
    assert branches.unseeded == ((0, 1, 2),)
    there = branches.at(10.0)
    assert there.completeness == "unknown"
    assert "(0, 1, 2)" in there.undecided[0].reason
    assert from_infinity(np.eye(6), 1.0, max_count=5).cut_short


def test_from_zero_starts_where_the_fixed_point_is_unique():
    patterns = naive.unit_patterns(3, 6, 1)
    branches = from_zero(patterns, 50.0)
    diameter = max(np.linalg.norm(a - b) for a in patterns for b in patterns)
    assert branches.network.beta < 4 / diameter**2
    assert_sound(branches)
    comparison = branches.compare(50.0)
    assert len(comparison.matched) == len(branches.at(50.0))
    assert len(comparison.missing) == len(comparison.reference) - len(comparison.matched) > 0
    low = branches.compare(branches.network.beta)
    assert low.proved_complete
    assert len(low.matched) == 1
    assert len(from_zero(np.eye(8), 10.0).at(10.0)) == 255
    assert len(from_zero(np.ones((3, 2)), 2.0)) == 1


def test_comparison_tells_what_is_missing_and_extra():
    branches = from_infinity(np.eye(4), 1.0)
    whole = branches.compare(5.0)
    assert len(whole.matched) == 15
    from hopfix._comparison import compare

    part = compare(whole.found[2:], whole.reference)
    assert len(part.missing) == 2
    assert not part.proved_complete
    back = compare(whole.found, whole.reference[:11])
    assert len(back.extra) == 4
    for i, j in whole.matched:
        np.testing.assert_allclose(whole.found.states[i], whole.reference.states[j], atol=1e-10)
    assert repr(whole).startswith("Comparison(15 matched, 0 missing, 0 extra, 0 undecided")


def test_comparison_leaves_uncertified_points_undecided():
    degenerate = hopfix.Hopfield([[-1.0], [1.0]], 1.0).fixed_points("starts")
    from hopfix._comparison import compare

    comparison = compare(degenerate, degenerate)
    assert len(comparison.matched) == 0
    assert len(comparison.undecided) == 2 * len(degenerate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_keep_everything(dtype, tmp_path):
    patterns = naive.unit_patterns(3, 6, 1).astype(dtype)
    path = tmp_path / "branches.npz"
    for branches in (
        from_infinity(patterns, 2.0, offsets=np.arange(6) / 40, log_weights=np.arange(6) / 10),
        hopfix.Hopfield(patterns, 9.0).follow(2.0),
        hopfix.Hopfield(patterns, 9.0).follow(8.9, max_steps=1),
    ):
        branches.save(path)
        back = Branches.load(path)
        assert list(tmp_path.iterdir()) == [path]
        assert back.network.dtype == dtype
        assert back.network.beta == branches.network.beta
        np.testing.assert_array_equal(back.network.patterns, branches.network.patterns)
        np.testing.assert_array_equal(back.network.log_weights, branches.network.log_weights)
        for a, b in zip(branch_arrays(branches), branch_arrays(back), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        assert back.to_dict() == branches.to_dict()
        for a, b in zip(branches.branches, back.branches, strict=True):
            for field in fields(a):
                one, other = getattr(a, field.name), getattr(b, field.name)
                assert type(one) is type(other)
                np.testing.assert_array_equal(one, other)
        low = branches.network.beta * 0.999
        np.testing.assert_array_equal(back.at(low).states, branches.at(low).states)


def test_files_of_other_kinds_are_refused(tmp_path):
    path = tmp_path / "other.npz"
    hopfix.Hopfield(np.eye(2), 3.0).fixed_points().save(path)
    with pytest.raises(ValueError, match=r"path: .* is not a file written by Branches\.save"):
        Branches.load(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"is not a file written by Branches\.save"):
        Branches.load(path)
    with pytest.raises(FileNotFoundError):
        Branches.load(tmp_path / "none.npz")


def test_a_failed_save_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "branches.npz"
    branches = hopfix.Hopfield(np.eye(2), 3.0).follow(1.0)
    branches.save(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("full")

    monkeypatch.setattr(_files, "write_archive", fail)
    with pytest.raises(OSError, match="full"):
        branches.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def interrupted(call, seconds):
    main = threading.main_thread().ident
    timer = threading.Timer(seconds, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        call()
    timer.join()
    return caught.value.partial


def test_ctrl_c_while_faces_are_listed_and_while_following():
    partial = interrupted(lambda: from_infinity(np.eye(25), 1.0), 0.2)
    assert isinstance(partial, Branches)
    assert partial.cut_short
    assert partial.faces == ()
    assert len(partial.unseeded) > 100  # of 33,554,431
    assert set(partial.unseeded[0]) <= set(range(25))
    partial = interrupted(lambda: from_zero(np.eye(13), 20.0), 0.4)
    assert isinstance(partial, Branches)
    assert partial.cut_short
    assert partial.at(19.0).completeness == "unknown"


@pytest.mark.parametrize("call", [from_infinity, from_zero])
@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"beta_to": -1.0}, ValueError, "beta_to: got -1.0"),
        ({"beta_to": 1.0, "offsets": [1.0]}, ValueError, "offsets: got shape"),
        ({"beta_to": 1.0, "log_weights": [np.nan] * 3}, ValueError, "log_weights: got nan"),
        ({"beta_to": 1.0, "max_steps": 0}, ValueError, "max_steps: got 0"),
        ({"beta_to": 1.0, "time_limit": -1}, ValueError, "time_limit: got -1"),
        ({"beta_to": 1.0, "progress": 1}, TypeError, "progress: got int"),
        ({"beta_to": 1.0, "num_threads": 0}, ValueError, "num_threads: got 0"),
    ],
)
def test_bad_input(call, arguments, error, match):
    with pytest.raises(error, match=match):
        call(np.eye(3), **arguments)
