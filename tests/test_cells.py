"""fixed_points("cells"): what is proved is held against closed forms, brute force and 50 digits."""

import naive
import numpy as np
import pytest
from cells import assert_proved, fold, problem, roots_by_brute_force

import hopfix
from hopfix import softmax_map

# -------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize(
    ("d", "N", "seed", "beta", "counts"),
    [
        (2, 5, 0, 50.0, (4, 4, 1)),
        (3, 5, 0, 10.0, (3, 2)),
        (3, 6, 1, 20.0, (4, 5, 2)),
        (3, 6, 1, 200.0, (6, 7, 2)),
        (3, 6, 1, 1e4, (6, 7, 3, 1)),  # all critical faces and the centre of beta = infinity
        (3, 6, 1, 1e6, (6, 7, 3, 1)),
        (4, 7, 2, 10.0, (7, 9, 3)),
        (4, 7, 2, 20.0, (7, 12, 9, 3)),
        (4, 10, 4, 20.0, (9, 13, 6, 1)),
        (4, 10, 4, 50.0, (10, 18, 11, 3, 1)),
        (64, 12, 3, 12.0, (12, 64, 129, 100, 25, 1)),
    ],
)
def test_known_counts(d, N, seed, beta, counts):
    found = hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta).fixed_points("cells")
    assert_proved(found)
    assert tuple(found.counts.values()) == counts


@pytest.mark.parametrize("beta", [1e4, 1e5])
@pytest.mark.parametrize(
    ("d", "N", "seed", "counts"),
    [
        (3, 5, 0, (5, 4)),
        (4, 7, 2, (7, 16, 14, 5, 1)),
        (5, 6, 3, (6, 11, 10, 4)),
        (4, 10, 4, (10, 23, 23, 10, 1)),
    ],
)
def test_large_beta_has_the_points_of_infinite_beta(d, N, seed, counts, beta):
    # The critical faces by size and, where the origin is inside, the centre of index d.
    found = hopfix.Hopfield(naive.unit_patterns(d, N, seed), beta).fixed_points("cells")
    assert_proved(found)
    assert tuple(found.counts.values()) == counts
    assert found.proof.boxes < 20_000


@pytest.mark.parametrize("N", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("factor", [0.5, 0.85, 0.97, 1.03, 2.0, 30.0])
def test_orthonormal_patterns_have_the_points_of_the_closed_form(N, factor):
    found = hopfix.Hopfield(np.eye(N), factor * N).fixed_points("cells")
    assert_proved(found)
    assert found.counts == naive.softmax_counts(N, factor * N)
    for k, u, v, _, _ in naive.softmax_classes(N, factor * N):
        expected = np.full(N, v)
        expected[:k] = u
        nearest = np.linalg.norm(found.states - expected, axis=1).min()
        assert nearest < 1e-9


@pytest.mark.parametrize("basis", ["rotated", "scaled"])
def test_eight_orthogonal_patterns(basis):
    patterns = naive.orthonormal_patterns(8, 12, 0) if basis == "rotated" else 3 * np.eye(8)
    found = hopfix.Hopfield(patterns, 10.0 if basis == "rotated" else 10 / 9).fixed_points("cells")
    assert_proved(found)
    assert len(found) == 255


# --------------------------------------------------------------------------------- brute force


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_brute_force_finds_nothing_else(first):
    for seed in range(first, first + 20):
        patterns, beta, log_weights = problem(seed)
        found = hopfix.Hopfield(patterns, beta, log_weights=log_weights).fixed_points("cells")
        assert_proved(found)
        roots = roots_by_brute_force(patterns, beta, log_weights, np.random.default_rng(seed))
        assert len(roots) > 20
        distance = np.linalg.norm(roots[:, None] - found.states[None], axis=-1).min(axis=1)
        assert distance.max() < 1e-6, (seed, found)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_points_are_fixed_points_to_fifty_digits(seed):
    patterns, beta, log_weights = problem(seed)
    net = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    found = net.fixed_points("cells")
    for point in found:
        exact = naive.newton_mp(patterns, beta, log_weights, point.state)
        assert naive.covers(point.radius, point.state, exact)
        above = sum(v > 1 for v in naive.eigenvalues_mp(patterns, beta, log_weights, exact))
        assert above == point.morse_index


def test_a_search_from_many_starts_finds_no_more():
    net = hopfix.Hopfield(naive.unit_patterns(6, 12, 1), 10.0)
    proved, tried = net.fixed_points("cells"), net.fixed_points("starts")
    assert_proved(proved)
    assert proved.counts == tried.counts == {0: 9, 1: 16, 2: 8}


# --------------------------------------------------------------------------------- degeneracy


def centre(N):
    return np.full(N, 1 / N)


@pytest.mark.parametrize(
    ("patterns", "beta", "state"),
    [
        ([[-1.0], [1.0]], 1.0, [0.0]),
        (np.eye(3), 3.0, centre(3)),
        (np.eye(4), 4.0, centre(4)),
        ([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], 2.0, [0.0, 0.0]),
        (np.eye(3), *fold(3, 1)),
        (np.eye(5), *fold(5, 1)),
        (np.eye(6), *fold(6, 2)),
    ],
    ids=["line", "three", "four", "square", "fold of 3", "fold of 5", "second fold of 6"],
)
@pytest.mark.parametrize("shift", [0.0, 1e-15, -1e-15])
def test_degenerate_points_are_left_undecided(patterns, beta, state, shift):
    found = hopfix.Hopfield(patterns, beta * (1 + shift)).fixed_points("cells", time_limit=20)
    assert found.completeness == "unknown"
    assert found.certified.all()
    near = [
        region
        for region in found.undecided
        if np.linalg.norm(region.state - np.asarray(state)) <= region.radius
    ]
    assert near
    assert all("eigenvalue" in region.reason for region in found.undecided)
    assert all(region.radius < 0.2 for region in found.undecided)
    assert found.proof.seconds < 15


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4, 1e-5])
def test_next_to_a_pitchfork_the_count_is_right(gap):
    above = hopfix.Hopfield([[-1.0], [1.0]], 1 + gap).fixed_points("cells")
    below = hopfix.Hopfield([[-1.0], [1.0]], 1 - gap).fixed_points("cells")
    for found, number in ((above, 3), (below, 1)):
        if found.completeness == "proved":
            assert len(found) == number
        else:
            assert gap < 1e-4  # and only there


@pytest.mark.parametrize("gap", [1e-13, 1e-11, 1e-9, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize(("N", "k"), [(3, 1), (5, 1), (6, 2)])
def test_next_to_a_fold_the_count_is_right_or_unknown(N, k, gap):
    for sign in (1, -1):
        beta = fold(N, k)[0] * (1 + sign * gap)
        found = hopfix.Hopfield(np.eye(N), beta).fixed_points("cells", time_limit=20)
        if found.completeness == "proved":
            assert len(found) == softmax_map.count(N, beta)
        else:
            assert gap < 1e-4


@pytest.mark.parametrize("seed", range(10))
def test_at_a_fold_of_random_patterns_no_count_is_wrong(seed):
    # Unequal norms, and log-weights in every second network: no symmetry helps. Bisection on the
    # proved counts closes in on a beta at which they change.
    rng = np.random.default_rng(100 + seed)
    N, d = int(rng.integers(4, 8)), int(rng.integers(2, 4))
    patterns = rng.normal(size=(N, d))
    log_weights = rng.normal(size=N) if seed % 2 else None

    def search(beta):
        return hopfix.Hopfield(patterns, beta, log_weights=log_weights).fixed_points(
            "cells", time_limit=20
        )

    low, high = 0.3, 30.0
    few, many = (tuple(sorted(search(beta).counts.items())) for beta in (low, high))
    assert few != many
    doubts = 0
    while high - low > 4e-16 * high:
        beta = (low + high) / 2
        if not low < beta < high:
            break
        found = search(beta)
        counts = tuple(sorted(found.counts.items()))
        if found.completeness != "proved":
            # So near the fold that doubles cannot decide; what is left is where it happens.
            doubts += 1
            assert high - low < 1e-3 * high
            assert found.certified.all()
            for region in found.undecided:
                eigenvalues = np.linalg.eigvalsh(found.network.jacobian(region.state))
                assert np.abs(eigenvalues - 1).min() < 1e-2
                assert region.radius < 0.3
            # None but the two points that meet can be missing.
            totals = [sum(n for _, n in counts) for counts in (few, many)]
            assert min(totals) <= len(found) <= max(totals)
            break
        if counts == few:
            low = beta
        else:
            many, high = counts, beta
    assert doubts == 1


# ------------------------------------------------------------------------------- awkward inputs


@pytest.mark.parametrize(
    ("patterns", "beta"),
    [
        ([[3.0, 4.0]], 2.0),
        ([[0.0, 0.0]], 2.0),
        ([[1.0, 2.0], [1.0, 2.0]], 50.0),
        (naive.unit_patterns(3, 6, 1), 1e-300),
        (naive.unit_patterns(3, 6, 1), 1e-8),
        (naive.unit_patterns(64, 128, 2), 2.0),
    ],
    ids=["one", "zero", "the same twice", "tiny beta", "small beta", "128 patterns"],
)
def test_one_point_only(patterns, beta):
    found = hopfix.Hopfield(patterns, beta).fixed_points("cells")
    assert_proved(found)
    assert found.counts == {0: 1}


def test_far_from_the_origin():
    # A shift of the patterns is a shift of the log-weights: the same dynamics.
    patterns = naive.unit_patterns(3, 6, 1)
    shift = np.full(3, 1024.0)
    shifted = hopfix.Hopfield(patterns + shift, 20.0, log_weights=-20 * (patterns @ shift))
    found = shifted.fixed_points("cells")
    assert_proved(found)
    assert found.counts == {0: 4, 1: 5, 2: 2}


@pytest.mark.parametrize("scale", [1e-100, 1e-20, 1e20, 1e100])
def test_the_unit_of_length_does_not_matter(scale):
    net = hopfix.Hopfield(scale * naive.unit_patterns(3, 6, 1), 20 / scale**2)
    found = net.fixed_points("cells")
    assert found.completeness == "proved"
    assert found.counts == {0: 4, 1: 5, 2: 2}


def test_extreme_log_weights():
    log_weights = [0.0, -500.0, -1000.0, 3.0, -2000.0, -1e6]
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 20.0, log_weights=log_weights)
    rest = hopfix.Hopfield(net.patterns[[0, 3]], 20.0, log_weights=[0.0, 3.0])
    found = net.fixed_points("cells")
    assert_proved(found)
    assert found.counts == rest.fixed_points("cells").counts


def test_float32_networks():
    net = hopfix.Hopfield(naive.unit_patterns(4, 7, 2).astype(np.float32), 20.0)
    found = net.fixed_points("cells")
    assert found.states.dtype == np.float32
    assert_proved(found)
    assert found.counts == {0: 7, 1: 12, 2: 9, 3: 3}


def test_beyond_double_precision_nothing_is_claimed():
    # Logits of 1e7 are off by 1e-9, so saddles of curvature 1e7 can be had to no more than 1e-9.
    net = hopfix.Hopfield(naive.unit_patterns(3, 6, 1), 1e7)
    found = net.fixed_points("cells", time_limit=20)
    assert found.completeness == "unknown"
    assert any("precision" in region.reason for region in found.undecided)
    assert found.proof.seconds < 10


def test_too_many_patterns_are_an_error():
    with pytest.raises(ValueError, match=r"patterns.*129.*128"):
        hopfix.Hopfield(naive.unit_patterns(20, 129, 0)).fixed_points("cells")


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many"], ids=repr)
def test_max_boxes_must_be_a_positive_integer(value):
    with pytest.raises((TypeError, ValueError), match="max_boxes"):
        hopfix.Hopfield(np.eye(3)).fixed_points("cells", max_boxes=value)
