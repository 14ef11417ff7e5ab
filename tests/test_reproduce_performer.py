"""The Performer reproduction: its images, its small version, and what it writes."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hopfix

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("click")

from hopfix.cli import main
from hopfix.reproduce import _performer_images as images
from hopfix.reproduce import performer


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("performer")
    assert main(["reproduce", "performer", "--quick", "--output", str(folder)]) == 0
    return folder


def test_interpolation_is_bilinear():
    matrix = images.interpolation(8, 64)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    centres = (np.arange(64) + 0.5) / 8 - 0.5
    line = 3.0 * np.arange(8) + 2
    np.testing.assert_allclose(matrix @ line, 3 * np.clip(centres, 0, 7) + 2)
    np.testing.assert_array_equal(images.interpolation(5, 5), np.eye(5))
    np.testing.assert_array_equal(images.interpolation(1, 3), np.ones((3, 1)))


def test_stored_images_and_masks():
    stored = images.stored_images("digits", 6, seed=1)
    assert stored.shape == (6, 64 * 64)
    assert -1 <= stored.min() < -0.99
    assert 0.9 < stored.max() <= 1
    half = images.masked(stored, -1.0).reshape(6, 64, 64)
    assert (half[:, 32:] == -1).all()
    np.testing.assert_array_equal(half[:, :32], stored.reshape(6, 64, 64)[:, :32])


def test_scales():
    patterns = np.array([[3.0, 4.0], [0.0, 10.0]])
    np.testing.assert_array_equal(performer.scale_of(patterns, "as they are").rows, 1)
    np.testing.assert_array_equal(performer.scale_of(patterns, "largest norm 1").rows, 10)
    each = performer.scale_of(patterns, "each norm 1")
    np.testing.assert_array_equal(each.rows[:, 0], [5, 10])
    assert each.threshold == 7.5


def test_quick_version_writes_tables_and_pictures(written):
    document = json.loads((written / "performer.json").read_text(encoding="utf-8"))
    assert document["finished"]
    assert {path.name for path in written.iterdir()} == {
        "performer.json",
        "performer_digits_6.png",
        "performer_digits_24.png",
        "performer_beta.png",
    }
    tables = document["tables"]
    assert len(tables) == 1 + 2 * len(performer.MASKS)
    needed, *errors = tables
    assert len(needed["rows"]) == 2 * len(performer.SCALINGS)
    for table in errors:
        assert len(table["rows"]) == 2 + 4 * len(performer.SCALINGS)


def test_errors_are_those_of_the_memories(written):
    document = json.loads((written / "performer.json").read_text(encoding="utf-8"))
    (table,) = (
        t for t in document["tables"] if t["title"].startswith("digits, 24 stored, lower half grey")
    )
    found = {tuple(row[:2]): row[2:] for row in table["rows"]}
    errors, rights = [], []
    for draw in range(performer.QUICK.draws):
        stored = images.stored_images("digits", 24, seed=draw)
        network = hopfix.Hopfield(stored, 25.0)
        answers = network.update(images.masked(stored, 0.0))
        squares = np.square(answers - stored).sum(axis=1) / np.square(stored).sum(axis=1)
        errors.append(squares.mean())
        distances = np.linalg.norm(answers[:, None] - stored, axis=-1)
        rights.append((distances.argmin(axis=1) == np.arange(24)).mean())
    once, _, right, _ = found["as they are", "modern"]
    assert once == f"{np.mean(errors):.2g} ± {np.std(errors):.1g}"
    assert right == f"{np.mean(rights):.0%}"


def test_interrupted_runs_keep_what_they_have(tmp_path):
    def stop(text, share):
        if text.startswith("errors"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        performer.run(tmp_path, quick=True, progress=stop)
    assert len(caught.value.partial.tables) == 1
    assert not json.loads((tmp_path / "performer.json").read_text(encoding="utf-8"))["finished"]
