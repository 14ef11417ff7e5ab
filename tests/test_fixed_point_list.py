"""The FixedPoints container: slices, points, text, files."""

import json

import naive
import numpy as np
import pytest
from points import POINT_FIELDS, same

import hopfix


@pytest.fixture(scope="module")
def found():
    return hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0).fixed_points("starts")


def test_length_and_iteration(found):
    assert len(found) == len(found.states) == 31
    points = list(found)
    assert len(points) == 31
    for i, point in enumerate(points):
        assert repr(point) == repr(found[i])


@pytest.mark.parametrize(
    "cut",
    [slice(2, 5), slice(None, None, 3), slice(0, 0), slice(-4, None), slice(None, None, -1)],
    ids=str,
)
def test_slices_are_shorter_lists_of_the_same_kind(found, cut):
    part = found[cut]
    assert type(part) is type(found)
    for field in POINT_FIELDS:
        np.testing.assert_array_equal(
            getattr(part, field), getattr(found, field)[cut], err_msg=field
        )
    assert list(part.support) == list(found.support)[cut]
    assert list(part.reasons) == list(found.reasons)[cut]
    assert sum(part.counts.values()) == len(part)
    assert part.degree_sum == part.index.sum()


def test_a_part_is_not_complete(found):
    assert found.completeness == "consistent"
    assert found[1:5].completeness == "unknown"


def test_single_points_and_their_limits(found):
    for i in (0, 30, -1):
        np.testing.assert_array_equal(
            np.ravel(getattr(found[i], "state", getattr(found[i], "states", None))), found.states[i]
        )
    for i in (31, -32):
        with pytest.raises(IndexError):
            found[i]


def test_repr_says_what_matters(found):
    text = repr(found)
    assert "31" in text
    assert "consistent" in text
    assert len(text) < 2000
    assert "array(" not in text


def test_to_dict_is_json(found):
    data = found.to_dict()
    text = json.dumps(data, allow_nan=False)  # strict JSON
    back = json.loads(text)
    np.testing.assert_array_equal(np.array(back["states"]), found.states)
    assert {int(k): v for k, v in back["counts"].items()} == found.counts
    assert back["degree_sum"] == 1
    assert back["completeness"] == "consistent"
    assert back["morse_index"] == found.morse_index.tolist()
    assert back["certified"] == found.certified.tolist()


def test_to_dict_of_uncertified_points_is_strict_json_too():
    degenerate = hopfix.Hopfield([[-1.0], [1.0]], 1.0).fixed_points("starts")
    assert json.loads(json.dumps(degenerate.to_dict(), allow_nan=False))["certified"] == [False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: hopfix.Hopfield(naive.unit_patterns(4, 7, 2), 20.0),
        lambda: hopfix.Hopfield(naive.unit_patterns(3, 6, 1).astype(np.float32), 20.0),
        lambda: hopfix.Hopfield([[-1.0], [1.0]], 1.0),
    ],
    ids=["float64", "float32", "degenerate"],
)
def test_save_and_load_round_trip(make, tmp_path):
    before = make().fixed_points("starts")
    path = tmp_path / "points.npz"
    before.save(path)
    with np.load(path, allow_pickle=False) as file:  # no pickles: safe to open
        for key in file.files:
            assert file[key].dtype != object
    after = type(before).load(path)
    assert type(after) is type(before)
    same(after, before)
    assert after.counts == before.counts
    assert after.degree_sum == before.degree_sum
    for field in POINT_FIELDS:
        assert getattr(after, field).dtype == getattr(before, field).dtype, field
