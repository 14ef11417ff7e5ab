"""Numbers whose squares or products leave the range: scaled right, or refused by name."""

import math

import numpy as np
import pytest

import hopfix
from hopfix import _limits, heads, performer, queries, separation
from hopfix._arrays import row_norms
from hopfix._passages import spread
from hopfix.branches import from_infinity, from_zero
from hopfix.faces import critical_faces, sampled_margin
from hopfix.mean_field import AttentionMeanField, series
from hopfix.sharded import ShardedHopfield

RNG = np.random.default_rng(5)
SCALES = [2.0**-600, 1.0, 2.0**600]  # exact; their squares are out of range


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_of_rows_are_those_of_hypot(scale, dtype):
    if dtype == np.float32:
        scale = dtype(scale**0.1)  # whose squares are out of the range of float32
    rows = (RNG.normal(size=(20, 3)) * scale).astype(dtype)
    wanted = [math.hypot(*map(float, row)) for row in rows]
    if scale < 1 and dtype == np.float64:  # squares below the range are 0
        assert (row_norms(rows) <= wanted).all()
    else:
        np.testing.assert_allclose(row_norms(rows), wanted, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("scale", SCALES)
def test_the_spread_scales(scale):
    patterns = RNG.normal(size=(7, 3))
    assert spread(patterns * scale) == spread(patterns) * scale
    assert spread(np.full((2, 2), 1.7e308)) == 1.0
    assert spread(np.array([[1.7e308] * 3, [-1.7e308] * 3])) > 1.7e308


def test_a_state_far_off_is_no_fixed_point():
    net = hopfix.Hopfield(np.zeros((3, 2)), 0.5)
    with pytest.raises(ValueError, match="state 0 is not a fixed point"):
        net.follow(0.4, [[0.0, 1e160]])


@pytest.mark.parametrize("scale", [2.0**-200, 1.0, 2.0**200])
def test_branches_from_both_limits_scale(scale):
    patterns = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -0.5]])
    for start, beta in ((from_zero, 1.0), (from_infinity, 9.0)):
        plain = start(patterns, beta).branches
        scaled = start(patterns * scale, beta / scale**2).branches
        assert len(plain) == len(scaled) > 0
        for one, other in zip(plain, scaled, strict=True):
            np.testing.assert_allclose(other.states[-1] / scale, one.states[-1], rtol=1e-9)


@pytest.mark.parametrize("start", [from_zero, from_infinity])
def test_branches_refuse_patterns_and_offsets_that_overflow(start):
    with pytest.raises(ValueError, match=r"patterns: got a number of size 1e\+160"):
        start([[0.0, 0.0], [0.0, 1e160]], 1.0)
    with pytest.raises(ValueError, match=r"offsets: got one of size 1\.7e\+308"):
        start(np.eye(2), 1e3, offsets=[0.0, 1.7e308])


def test_patterns_too_small_for_any_beta():
    assert len(from_zero(np.eye(2) * 1e-160, 1.0).branches) == 1
    with pytest.raises(ValueError, match="patterns: no fixed point near the limit"):
        from_infinity(np.eye(2) * 1e-160, 1.0)


@pytest.mark.parametrize("kind", ["exp", "cosh"])
@pytest.mark.parametrize("scale", [2.0**-400, 2.0**400])
def test_predicted_errors_scale(kind, scale):
    patterns, states = RNG.normal(size=(9, 3)), RNG.normal(size=(2, 3))
    plain = performer.predicted_error(patterns, 0.3, states, 64, kind=kind)
    scaled = performer.predicted_error(
        patterns * scale, 0.3 / scale**2, states * scale, 64, kind=kind
    )
    np.testing.assert_allclose(scaled / scale, plain, rtol=1e-12)


def test_random_features_refuse_what_overflows():
    features = performer.RandomFeatures(2, 4, seed=0)
    assert features.kernel([30.0, 0.0], [30.0, 0.0]) == np.inf
    with pytest.raises(ValueError, match="a: got a number of size"):
        features.kernel([1e200, 0.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="states: the computation overflows"):
        performer.predicted_error(np.eye(2), 1.0, [1e200, 0.0], 4)
    memory = performer.Performer(np.eye(2, dtype=np.float32), 1.0, features)
    with pytest.raises(ValueError, match="patterns: got inf"):
        memory.add([[1e300, 0.0]])
    with pytest.raises(ValueError, match="states: got a number of size"):
        performer.Performer(np.eye(2), 2.0, features).update([1.7e308, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_are_within_the_range_of_the_patterns(dtype):
    patterns = np.eye(2, dtype=dtype)
    beyond = 2.0 * float(np.finfo(dtype).max)
    features = performer.RandomFeatures(2, 4, seed=0)
    for make in (
        lambda t: hopfix.Hopfield(patterns, 1.0, normalize=True, sparsify_above=t),
        lambda t: performer.Performer(patterns, 1.0, features, sparsify_above=t),
    ):
        make(float(np.finfo(dtype).max))
        for threshold in (beyond, -beyond, math.nan):
            with pytest.raises(ValueError, match="sparsify_above: got"):
                make(threshold)


def test_energies_of_shards_that_overflow_are_refused():
    net = ShardedHopfield([np.eye(2)], 1.0)
    with pytest.raises(ValueError, match="states: the computation overflows"):
        net.energy([0.0, 1e160])


def test_models_of_attention_and_gaps_of_faces_at_the_ends_of_the_range():
    table = np.array([[0.0, 1.7e308], [0.0, 1.7e308]])
    for make in (AttentionMeanField, AttentionMeanField.from_correlations):
        with pytest.raises(ValueError, match="output: got a number of size"):
            make(table, table, table, table, beta=1.0, gamma=1.0, context=2)
    found = critical_faces(np.array([[0.0], [1e38]], np.float32))
    assert found.gap.dtype == np.float32
    assert np.isinf(found.gap).any()


def test_comparisons_shares_and_samples_refuse_what_overflows():
    with pytest.raises(ValueError, match="patterns: got a number of size"):
        hopfix.compare(np.eye(2) * 1e160, np.eye(2))
    with pytest.raises(ValueError, match="queries: got a number of size"):
        hopfix.compare(np.eye(2), np.eye(2) * 1e160)
    with pytest.raises(ValueError, match="patterns: got a number of size"):
        sampled_margin(np.eye(3) * 1e160, (0, 1))
    for weights in ([0.5, -0.1], [1e300, 0.0]):
        with pytest.raises(ValueError, match=r"weights: got .* need 0 to 1"):
            heads.tokens_of_share(weights)
    assert heads.tokens_of_share(separation.softmax([3.0, 3.0, 3.0]), 1.0) == 3


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**-40, 2.0**400])
def test_series_scale(scale):
    values = RNG.normal(size=(50, 2))
    np.testing.assert_allclose(
        series.autocorrelation(values * scale, 9), series.autocorrelation(values, 9), rtol=1e-12
    )
    with pytest.raises(ValueError, match="values: got a number of size"):
        series.power_spectrum(values * 1e160)
    assert len(series.poincare_section(values, 0, tolerance=1.7e308)) == len(values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_beyond_the_range_leaves_ones(dtype):
    for disturb in (queries.gaussian_noise, queries.noise_of_norm):
        disturbed = disturb(np.zeros((30, 4), dtype), 1.7e308)
        assert disturbed.dtype == dtype
        assert (disturbed == 1).all()


def test_copies_larger_than_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr(_limits, "machine_bytes", lambda: 2**32)
    for dtype in (np.int8, np.float64):
        with pytest.raises(MemoryError, match=r"patterns: shape .* this machine; pass fewer rows"):
            hopfix.Hopfield(np.broadcast_to(np.ones((), dtype), (2**28, 9)), 1.0)
    monkeypatch.setattr(_limits, "machine_bytes", lambda: 64)
    with pytest.raises(MemoryError, match=r"patterns: .* hold them in shards"):
        hopfix.Hopfield(np.eye(3), 1.0)


@pytest.mark.parametrize("form", ["weights", "hull"])
@pytest.mark.parametrize("symmetry", [True, False])
def test_cells_far_from_the_origin_are_not_split_without_end(form, symmetry):
    shape = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    options = {"form": form, "symmetry": symmetry, "max_boxes": 10_000}
    for place in (0.0, 1e3, 1e5):  # certificates are possible
        found = hopfix.Hopfield(np.add(shape, [0.0, place]), 2.0).fixed_points("cells", **options)
        assert found.completeness == "proved"
    for place in (1e8, 1e12, 1e38):  # rounding of the logits denies all
        found = hopfix.Hopfield(np.add(shape, [0.0, place]), 2.0).fixed_points("cells", **options)
        assert found.completeness == "unknown"
        assert len(found.undecided) == 1
        assert found.proof is None or found.proof.boxes == 0
        assert "double precision cannot decide" in found.undecided[0].reason


def test_masks_refuse_pixels_that_overflow():
    with pytest.raises(ValueError, match="images: got a number of size"):
        queries.random_mask([[1.7e308, 0.0]], 0.5, rescale=True)


@pytest.mark.parametrize(
    ("patterns", "beta", "log_weights"),
    [
        ([[0.0, 0.0], [0.0, 0.0], [1e150, 1e150]], 1e-300, None),
        ([[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], 1e-300, [0.0, 1e150, 1e150]),
        ([[0.0, 5e-324], [1e-310, 1e-310], [0.0, 1e-160]], 1e300, None),
    ],
)
def test_cells_where_bounds_exceed_everything_are_not_split_without_end(
    patterns, beta, log_weights
):
    net = hopfix.Hopfield(patterns, beta, log_weights=log_weights)
    found = net.fixed_points("cells", max_boxes=10_000)
    assert found.completeness == "unknown"
    assert found.proof is None or found.proof.boxes == 0
    assert "double precision cannot decide" in found.undecided[0].reason


def test_the_covariance_of_fields_needs_numbers():
    model = AttentionMeanField.paper(1.0)
    for number in (np.inf, np.nan, 1e160):
        with pytest.raises(ValueError, match="attention: got"):
            model.field_covariance([0.0, number, 0.0])
