"""What separation kernels refuse, and that they name the argument."""

import numpy as np
import pytest

from hopfix.kernel import SeparationKernel, separation_gradient, separation_loss

WRONG = (TypeError, ValueError)
X = np.array([[1.0, 0.5], [0.0, 2.0], [-1.0, 1.0]])
W = np.eye(2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_features", 0),
        ("n_features", 2.0),
        ("kind", "mean"),
        ("kind", None),
        ("t", 0.0),
        ("t", np.inf),
        ("t", "2"),
        ("steps", -1),
        ("steps", 1.5),
        ("learning_rate", 0.0),
        ("learning_rate", np.nan),
        ("faithful", 1),
        ("seed", -1),
        ("seed", "a"),
        ("normalize", None),
        ("normalize_rows", 0),
        ("batch_size", 1),
        ("batch_size", True),
        ("tol", -1e-3),
        ("num_threads", 0),
    ],
    ids=str,
)
def test_options_are_checked_when_the_kernel_is_made(name, value):
    with pytest.raises(WRONG, match=rf"^{name}: got"):
        SeparationKernel(**{name: value})


@pytest.mark.parametrize(
    "patterns",
    [X[0], X[:0], X.astype(complex), [[1.0], [1.0, 2.0]], X * np.nan, X[:1], X * [[1], [0], [1]]],
    ids=["vector", "empty", "complex", "ragged", "nan", "one pattern", "zero pattern"],
)
def test_patterns_must_be_pairs_of_finite_rows_with_a_direction(patterns):
    for call in (
        SeparationKernel(seed=0).fit,
        lambda x: separation_loss(x, W),
        lambda x: separation_gradient(x, W),
    ):
        with pytest.raises(WRONG, match=r"^patterns: "):
            call(patterns)


def test_a_zero_pattern_has_a_feature_but_no_direction(dtype):
    patterns = (X * [[1], [0], [1]]).astype(dtype)
    with pytest.raises(ValueError, match=r"^patterns: row 1 is zero.*normalize=False"):
        SeparationKernel(seed=0).fit(patterns)
    with pytest.raises(ValueError, match=r"^patterns: row 1 is zero"):
        SeparationKernel(seed=0, batch_size=3).fit(patterns)
    assert np.isfinite(separation_loss(patterns, W, normalize=False))


def test_features_must_not_vanish_or_overflow():
    with pytest.raises(ValueError, match=r"^matrix: the feature of pattern 1 is zero"):
        separation_loss(X, [[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"^start: the feature of pattern 1 is zero"):
        SeparationKernel().fit(X, start=[[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"^matrix: .*overflows in float32"):
        separation_gradient(X.astype(np.float32), 1e25 * W, normalize=False)


@pytest.mark.parametrize(
    "matrix", [np.eye(3), np.ones(2), np.ones((0, 2)), [[np.inf, 0]], "w", W * 1j], ids=repr
)
def test_matrices_must_fit_the_patterns(matrix):
    for name, call in (
        ("matrix", lambda w: separation_loss(X, w)),
        ("matrix", lambda w: separation_gradient(X, w)),
        ("start", lambda w: SeparationKernel().fit(X, start=w)),
    ):
        with pytest.raises(WRONG, match=rf"^{name}: "):
            call(matrix)


def test_what_depends_on_other_arguments():
    with pytest.raises(ValueError, match=r"^start: got shape \(2, 2\), need \(3, 2\)"):
        SeparationKernel(3).fit(X, start=W)
    with pytest.raises(ValueError, match=r"^batch_size: got 4, need at most the 3 patterns"):
        SeparationKernel(batch_size=4).fit(X)
    with pytest.raises(TypeError, match=r"^progress: "):
        SeparationKernel().fit(X, progress=1)
    with pytest.raises(ValueError, match=r"^time_limit: "):
        SeparationKernel().fit(X, time_limit=0)


def test_a_kernel_must_be_fitted_before_it_is_used(tmp_path):
    kernel = SeparationKernel()
    assert "not fitted" in repr(kernel)
    with pytest.raises(ValueError, match="call fit"):
        kernel.transform(X)
    with pytest.raises(ValueError, match="call fit"):
        kernel.save(tmp_path / "kernel.npz")
    with pytest.raises(ValueError, match=r"^states: got shape \(3,\), need \(..., 2\)"):
        kernel.fit(X).transform([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="read-only"):
        kernel.matrix[0] = 1
