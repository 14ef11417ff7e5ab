"""What the separation functions refuse, and that they name the argument."""

import re

import numpy as np
import pytest
from rows import every_rule

from hopfix import separation as sep

WRONG = (TypeError, ValueError)
Z = np.array([[1.0, 0.5, 0.25], [0.0, 2.0, 1.0]])


@every_rule
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
def test_scores_must_not_be_nan_or_infinite(rule, bad, dtype):
    z = np.stack([Z, Z]).astype(dtype)
    z[1, 0, 2] = bad
    for call in (rule[0], lambda z: rule[1](z, np.ones_like(z)), rule[2] or rule[0]):
        with pytest.raises(ValueError, match=rf"^z: .*row {re.escape('(1, 0)')}"):
            call(z)


@every_rule
def test_a_row_of_minus_infinity_has_no_answer(rule):
    z = Z.copy()
    z[1] = -np.inf
    with pytest.raises(ValueError, match=r"^z: .*row \(1,\)"):
        rule[0](z)
    with pytest.raises(ValueError, match=r"^z: .*row 0"):
        rule[0](z[1])


def test_polynomials_refuse_what_they_cannot_normalise():
    for z, options in ([[0.0, 0.0], {}], [[-1.0, 0.0], {"rectified": True}]):
        with pytest.raises(ValueError, match=r"^z: .*row 0"):
            sep.polynomial(z, 2, **options)
    with pytest.raises(ValueError, match=r"^z: "):
        sep.polynomial([1.0, -np.inf], 2)
    np.testing.assert_array_equal(sep.polynomial([1.0, -np.inf], 3, rectified=True), [1, 0])
    with pytest.raises(ValueError, match="polynomial: has no conjugate"):
        sep.polynomial.conjugate(Z, 2)


@every_rule
@pytest.mark.parametrize(
    "z",
    [np.empty((0, 3)), np.empty((3, 0)), 1.0, Z.astype(complex), Z.astype(str), [[1.0], [1.0, 2]]],
    ids=["no rows", "empty rows", "a number", "complex", "strings", "ragged"],
)
def test_scores_must_be_rows_of_numbers(rule, z):
    with pytest.raises(WRONG, match=r"^z: "):
        rule[0](z)


@every_rule
@pytest.mark.parametrize("t", [np.ones(3), np.full((2, 3), np.nan), "up", None], ids=str)
def test_tangents_must_be_finite_and_shaped_as_the_scores(rule, t):
    with pytest.raises(WRONG, match=r"^t: "):
        rule[1](Z, t)


@pytest.mark.parametrize("alpha", [0.999, 0, -1.0, -np.inf, np.nan, "2", None, 1j, True], ids=repr)
def test_alpha_must_be_a_number_not_below_one(alpha):
    for call in (
        lambda: sep.entmax(Z, alpha),
        lambda: sep.entmax.jvp(Z, Z, alpha),
        lambda: sep.entmax.conjugate(Z, alpha),
    ):
        with pytest.raises(WRONG, match=r"^alpha: "):
            call()


@pytest.mark.parametrize("k", [0, -1, 4, 1.5, "2", None, True], ids=repr)
def test_k_must_be_an_integer_of_one_to_the_row_length(k):
    with pytest.raises(WRONG, match=r"^k: "):
        sep.topk(Z, k)


@pytest.mark.parametrize("n", [0, -2, 3, 2**40, 1.5, "2", None], ids=repr)
def test_n_must_be_an_even_integer(n):
    with pytest.raises(WRONG, match=r"^n: "):
        sep.polynomial(Z, n)


def test_other_arguments_are_named():
    with pytest.raises(TypeError, match=r"^rectified: "):
        sep.polynomial(Z, 2, "yes")
    with pytest.raises(WRONG, match=r"^num_threads: "):
        sep.softmax(Z, num_threads=0)
