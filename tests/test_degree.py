"""The audit by degree and Morse inequalities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopfix import degree


@pytest.mark.parametrize(
    ("counts", "dim"),
    [
        ({0: 1}, 0),
        ({0: 1}, 5),
        ({0: 2, 1: 1}, 1),
        ({0: 6, 1: 5}, 5),
        ({0: 6, 1: 15, 2: 20, 3: 15, 4: 6, 5: 1}, 5),
        ({2: 3, 0: 6, 1: 8}, 3),  # in any order
        ({0: 1, 1: 0, 4: 1, 3: 1}, 4),  # a pair born in a fold, zeros allowed
        ({np.int64(0): np.int64(2), np.int64(1): np.int64(1)}, np.int32(2)),
    ],
)
def test_complete_lists_pass(counts, dim):
    audit = degree.audit(counts, dim)
    assert audit
    assert audit == degree.DegreeAudit(degree_sum=1, ok=True, reason=None)


@pytest.mark.parametrize(
    ("counts", "degree_sum"), [({}, 0), ({0: 2}, 2), ({0: 6, 1: 4}, 2), ({1: 1}, -1)]
)
def test_a_wrong_degree_sum_is_named(counts, degree_sum):
    audit = degree.audit(counts, 4)
    assert not audit
    assert audit.degree_sum == degree_sum
    assert audit.reason is not None
    assert audit.reason.endswith(f"must be 1, but is {degree_sum}")


@pytest.mark.parametrize(
    ("counts", "m", "bound", "actual"),
    [
        ({2: 1}, 0, 1, 0),  # no minimum
        ({0: 3, 2: 1, 3: 3}, 1, -1, -3),  # three minima need two saddles
        ({0: 1, 2: 1, 3: 1, 1: 0, 4: 1, 5: 1}, None, None, None),
        ({0: 1, 3: 1, 4: 0, 2: 0, 6: 1}, 4, 1, 0),  # index 3 before what would cancel it
    ],
)
def test_the_first_violated_morse_inequality_is_named(counts, m, bound, actual):
    audit = degree.audit(counts, 6)
    assert audit.degree_sum == 1
    if m is None:
        assert audit.reason is None
    else:
        assert not audit.ok
        assert audit.reason is not None
        assert f"m = {m} " in audit.reason
        assert audit.reason.endswith(f">= {bound}, but the sum is {actual}")


def direct(counts, dim):
    """Return whether the two statements hold, as the textbook writes them."""
    total = sum((-1) ** k * counts.get(k, 0) for k in range(dim + 1))
    return total == 1 and all(
        sum((-1) ** (m - k) * counts.get(k, 0) for k in range(m + 1)) >= (-1) ** m
        for m in range(dim + 1)
    )


@given(st.dictionaries(st.integers(0, 4), st.integers(0, 3)))
def test_audit_is_the_textbook_statement(counts):
    assert degree.audit(counts, 4).ok == direct(counts, 4)


@given(st.lists(st.integers(0, 9), max_size=30))
def test_pairs_of_neighbouring_index_pass(births):
    counts = {0: 1}
    for index in births:
        counts[index] = counts.get(index, 0) + 1
        counts[index + 1] = counts.get(index + 1, 0) + 1
    assert degree.audit(counts, 10)


@pytest.mark.parametrize(
    ("counts", "dim", "error", "message"),
    [
        ([6, 5], 5, TypeError, "counts: got list, need a mapping"),
        ({0: 1.0}, 5, TypeError, r"counts\[0\]: got float, need an integer"),
        ({0: True}, 5, TypeError, r"counts\[0\]: got bool, need an integer"),
        ({0: -1}, 5, ValueError, r"counts\[0\]: got -1, need at least 0"),
        ({"0": 1}, 5, TypeError, "a Morse index in counts: got str, need an integer"),
        ({-1: 1}, 5, ValueError, "a Morse index in counts: got -1, need 0 to 5"),
        ({6: 1}, 5, ValueError, "a Morse index in counts: got 6, need 0 to 5"),
        ({0: 1}, -1, ValueError, "dim: got -1, need at least 0"),
        ({0: 1}, 2.0, TypeError, "dim: got float, need an integer"),
        ({0: 1}, True, TypeError, "dim: got bool, need an integer"),
    ],
)
def test_wrong_input(counts, dim, error, message):
    with pytest.raises(error, match=message):
        degree.audit(counts, dim)


def test_dimensions_without_end_take_no_time():
    assert degree.audit({0: 1}, 2**62)
    assert not degree.audit({1: 1, 2: 2}, 2**62)
