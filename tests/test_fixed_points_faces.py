"""fixed_points(method="faces"): seeds from beta = infinity, and the proof by supports."""

import cells
import numpy as np
import points
import pytest

import hopfix
from hopfix import _face_search, softmax_map

TABLE = [  # MATH section 3: d, N, seed, critical faces by size, centre
    (3, 5, 0, [5, 4], None),
    (3, 6, 1, [6, 7, 3], 3),
    (4, 7, 2, [7, 16, 14, 5], 4),
    (5, 6, 3, [6, 11, 10, 4], None),
    (4, 10, 4, [10, 23, 23, 10], 4),
]


def unit(seed, d, N):
    x = np.random.default_rng(seed).normal(size=(d, N))
    return (x / np.linalg.norm(x, axis=0)).T


def mean_shift(x, beta):
    return hopfix.Hopfield(x, beta, log_weights=-beta * (x**2).sum(axis=1) / 2)


def assert_proved(found):
    __tracebackhide__ = True
    assert found.completeness == "proved", found.undecided
    assert found.method == "faces"
    assert found.undecided == ()
    assert found.certified.all()
    assert found.degree_sum == 1
    assert found.proof.form == "supports"
    assert found.proof.boxes >= found.proof.sets > 0


def assert_same_points(a, b):
    __tracebackhide__ = True
    assert a.counts == b.counts
    points.match(a.states, b.states, 1e-6)


@pytest.mark.parametrize(("d", "N", "seed", "sizes", "centre"), TABLE)
def test_the_table_is_proved_at_large_beta(d, N, seed, sizes, centre):
    net = hopfix.Hopfield(unit(seed, d, N), 1e4)
    found = net.fixed_points("faces")
    assert_proved(found)
    expected = points.by_index(sizes)
    if centre is not None:
        expected[centre] = expected.get(centre, 0) + 1
    assert found.counts == expected
    if centre is None:  # whose state is so near to 0 that its residual is all rounding
        points.assert_consistent(found, net)


@pytest.mark.parametrize("beta", [1.0, 10.0, 30.0, 100.0, 1e6])
def test_any_beta_that_is_proved_agrees_with_cells(beta):
    for d, N, seed, _, _ in TABLE:
        net = hopfix.Hopfield(unit(seed, d, N), beta)
        found, other = net.fixed_points("faces"), net.fixed_points("cells")
        assert_proved(found)
        if other.completeness == "proved":
            assert_same_points(found, other)


def awkward(seed):
    """Small networks of all sorts: duplicates, ties, clusters, folds, offsets."""
    rng = np.random.default_rng(seed)
    kind = seed % 5
    if kind < 2:
        x, beta, b = cells.problem(seed)
        return x, beta * 10 ** rng.uniform(0, 3 * kind), b
    beta = 10 ** rng.uniform(-1, 5)
    if kind == 2:
        N, d = int(rng.integers(1, 10)), int(rng.integers(1, 12))
        return unit(seed, d, N), beta, None
    N, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    if kind == 3:
        x = rng.integers(-2, 3, size=(N, d)).astype(float)
    else:
        spread = 10 ** rng.uniform(-6, -0.5)
        x = rng.normal(size=(3, d))[rng.integers(0, 3, N)] + spread * rng.normal(size=(N, d))
    return x, beta, -beta * (x**2).sum(axis=1) / 2


@pytest.mark.parametrize(
    ("d", "N", "beta"), [(2, 20, 2.0), (2, 30, 30.0), (3, 30, 2.0), (5, 20, 2)]
)
def test_boxes_prove_where_sets_are_too_many(d, N, beta):
    """And find what no face leads to."""
    net = hopfix.Hopfield(np.random.default_rng(N).normal(size=(N, d)), beta)
    found, other = net.fixed_points("faces"), net.fixed_points("cells")
    assert found.completeness == other.completeness == "proved"
    assert (found.proof.form, found.proof.sets) == ("hull", 0)
    assert found.proof.boxes == other.proof.boxes
    assert_same_points(found, other)
    supports = net.fixed_points("faces", form="supports", max_boxes=100)
    assert supports.completeness in ("consistent", "unknown")
    assert supports.proof.form == "supports"
    few = net.fixed_points("faces", max_boxes=1)  # neither boxes nor supports
    assert few.completeness != "proved"
    alone = hopfix.Hopfield(net.patterns, beta, num_threads=1).fixed_points("faces")
    assert alone == found


def test_boxes_prove_what_supports_leave_open():
    """Few patterns, of which one support is hard."""
    hard = 0
    for seed in range(200):
        x, beta, b = awkward(seed)
        net = hopfix.Hopfield(x, beta, log_weights=b)
        supports = net.fixed_points("faces", form="supports", max_boxes=300)
        if supports.completeness == "proved" or supports.proof is None:
            continue
        found = net.fixed_points("faces", max_boxes=300)
        if found.completeness != "proved":
            continue
        hard += 1
        assert found.proof.form in ("weights", "hull")
        assert_same_points(found, net.fixed_points("cells"))
    assert hard > 3


def test_never_proves_what_cells_refutes():
    proved = 0
    for seed in range(300):
        x, beta, b = awkward(seed)
        dtype = np.float32 if seed % 11 == 0 else np.float64
        b = None if b is None else b.astype(dtype)
        net = hopfix.Hopfield(x.astype(dtype), beta, log_weights=b, num_threads=1)
        found = net.fixed_points("faces", form="supports", max_boxes=20_000)
        if found.completeness != "proved":
            continue
        other = net.fixed_points("cells", max_boxes=20_000)
        assert_proved(found)
        if other.completeness == "proved":
            assert found.counts == other.counts, seed
            proved += 1
        for point in other:
            near = np.linalg.norm(found.states - point.state, axis=1).min()
            assert not point.certified or near <= 1e-4, seed
    assert proved > 200


@pytest.mark.parametrize("offset", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 0.0])
@pytest.mark.parametrize(("N", "k"), [(5, 1), (6, 2), (7, 1)])
def test_folds(N, k, offset):
    threshold = softmax_map.threshold(N, k)
    for sign in (-1, 1):
        beta = threshold * (1 + sign * offset)
        found = hopfix.Hopfield(np.eye(N), beta).fixed_points("faces", max_boxes=100_000)
        if found.completeness == "proved":
            assert len(found) == softmax_map.count(N, beta)
        if offset == 0:
            assert found.completeness != "proved"


def test_the_proof_finds_points_that_no_face_leads_to():
    # Born at a finite beta: the fourth face of index 3 is one of another branch.
    net = hopfix.Hopfield(unit(4, 4, 10), 30.0)
    found = net.fixed_points("faces")
    assert_proved(found)
    assert found.counts == net.fixed_points("cells").counts == {0: 9, 1: 15, 2: 8, 3: 2, 4: 1}
    assert net.fixed_points("faces", max_boxes=1).counts[3] == 1


def test_the_proof_does_not_need_the_seeds(monkeypatch):
    net = hopfix.Hopfield(unit(2, 4, 7), 1e3)
    whole = net.fixed_points("faces")
    seeds = _face_search._seeds

    def first_only(faces, max_face):
        first, indices, weights, skipped = seeds(faces, max_face)
        return first[:2], indices[: first[1]], weights[: first[1]], skipped

    monkeypatch.setattr(_face_search, "_seeds", first_only)
    found = net.fixed_points("faces")
    assert_proved(found)
    assert_same_points(found, whole)


def test_orthonormal_patterns_without_their_closed_form():
    N = 12
    found = hopfix.Hopfield(np.eye(N), 20.0).fixed_points("faces", max_boxes=1)
    assert found.counts == points.binomials(N)
    assert found.certified.all()
    assert found.completeness == "consistent"
    sharp = hopfix.Hopfield(np.eye(N), 200.0).fixed_points("faces")
    assert_proved(sharp)
    assert sharp.counts == points.binomials(N)


@pytest.mark.parametrize("beta", [20.0, 1e3])
def test_tied_sets_of_a_grid_are_proved(beta):
    # The modes, edges and squares of a 4 x 4 grid: sites, midpoints and centres.
    x = np.stack(np.meshgrid(np.arange(4.0), np.arange(4.0)), axis=-1).reshape(-1, 2)
    net = mean_shift(x, beta)
    found = net.fixed_points("faces", form="supports")
    assert_proved(found)
    assert found.counts == {0: 16, 1: 24, 2: 9}
    boxes = net.fixed_points("faces")
    assert (boxes.completeness, boxes.proof.form) == ("proved", "hull")
    assert_same_points(boxes, found)


def test_many_patterns():
    # Of 798 faces and the centre two have ended.
    found = hopfix.Hopfield(unit(0, 3, 200), 1e5).fixed_points("faces", form="supports")
    assert_proved(found)
    assert found.counts == {0: 200, 1: 397, 2: 199, 3: 1}
    assert hopfix.faces.critical_faces(unit(0, 3, 200)).counts == {1: 200, 2: 398, 3: 200}


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_any_scale(scale):
    net = hopfix.Hopfield(unit(1, 3, 6) * scale, 1e4 / scale**2)
    found = net.fixed_points("faces")
    assert sum(found.counts.values()) == len(found)
    if 1e-9 < scale < 1e9:
        assert_proved(found)
        assert found.counts == {0: 6, 1: 7, 2: 3, 3: 1}


@pytest.mark.parametrize(
    "x",
    [[[1.0, 2.0]], [[0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [[0.0], [1.0]], [[-1.0], [0.0], [1.0]]],
)
@pytest.mark.parametrize("beta", [0.5, 50.0, 1e6])
def test_small_networks(x, beta):
    net = hopfix.Hopfield(np.array(x), beta)
    found, other = net.fixed_points("faces"), net.fixed_points("cells")
    if found.completeness == "proved" and other.completeness == "proved":
        assert_same_points(found, other)
    if len(x) == 1:
        assert_proved(found)
        assert len(found) == 1


def test_single_precision():
    net = hopfix.Hopfield(unit(3, 5, 6).astype(np.float32), 300.0)
    found = net.fixed_points("faces")
    assert found.states.dtype == np.float32
    points.assert_consistent(found, net)
    assert_proved(found)
    assert found.counts == net.fixed_points("cells").counts


def test_the_same_for_every_number_of_threads():
    x = unit(2, 4, 7)
    for beta, boxes in ((20.0, None), (1e3, None), (1e3, 40)):
        one, two = (
            hopfix.Hopfield(x, beta, num_threads=t).fixed_points("faces", max_boxes=boxes)
            for t in (1, 2)
        )
        points.same(one, two)
        assert (one.proof.boxes, one.proof.sets) == (two.proof.boxes, two.proof.sets)


def test_limits():
    net = hopfix.Hopfield(unit(4, 4, 10), 1e4)
    pairs = net.fixed_points("faces", max_face=2)
    assert pairs.counts == {0: 10, 1: 23}
    assert pairs.completeness == "unknown"
    assert "max_face" in pairs.undecided[-1].reason
    few = net.fixed_points("faces", max_count=7)
    assert len(few) == 7
    assert few.completeness == "unknown"
    stopped = net.fixed_points("faces", max_boxes=50)
    assert stopped.completeness == "consistent"
    assert "max_boxes" in stopped.undecided[-1].reason
    short = hopfix.Hopfield(unit(4, 8, 60), 1e4).fixed_points("faces", time_limit=1e-9)
    assert short.completeness == "unknown"


def test_progress_and_interruption():
    net = hopfix.Hopfield(unit(4, 4, 10), 1e4)
    calls = []
    net.fixed_points("faces", progress=lambda done, total: calls.append((done, total)))
    assert calls
    assert all(0 <= done <= total for done, total in calls)
    for stop_at in (1, len(calls) // 2, len(calls)):
        seen = []

        def stop(done, total, seen=seen, stop_at=stop_at):
            seen.append(done)
            if len(seen) == stop_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            net.fixed_points("faces", progress=stop)
        assert caught.value.partial.completeness == "unknown"


def test_save_and_load(tmp_path):
    found = hopfix.Hopfield(unit(4, 4, 10), 1e4).fixed_points("faces", max_boxes=50)
    found.save(tmp_path / "list.npz")
    loaded = hopfix.fixed_points.FixedPoints.load(tmp_path / "list.npz")
    points.same(found, loaded)
    assert loaded.proof == found.proof
    assert [u.reason for u in loaded.undecided] == [u.reason for u in found.undecided]


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError), ("a", TypeError)])
def test_bad_max_face(value, error):
    with pytest.raises(error, match="max_face"):
        hopfix.Hopfield(np.eye(3), 5.0).fixed_points("faces", max_face=value)
