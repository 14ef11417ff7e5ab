"""The landscape: geometry of the section, what is drawn, and its errors."""

import sys

import numpy as np
import pytest

import hopfix
from hopfix import plot
from hopfix._section import Grid, _flat_map

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.figure")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def orthonormal():
    network = hopfix.Hopfield(np.eye(4), 12.0)
    return network, network.fixed_points()


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend_of(figure):
    return [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]


def test_surface_passes_through_the_patterns():
    patterns = np.random.default_rng(1).normal(size=(9, 5))
    view = plot.Section.of(patterns, "surface")
    np.testing.assert_allclose(view.embed(view.positions), patterns, atol=1e-10)
    np.testing.assert_allclose(view.locate(np.eye(9)), view.positions)


@pytest.mark.parametrize("kind", ["surface", "plane"])
def test_patterns_in_a_plane_are_mapped_without_distortion(kind):
    rng = np.random.default_rng(2)
    patterns = rng.normal(size=(7, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=6)
    view = plot.Section.of(patterns, kind)
    distances = np.linalg.norm(patterns[:, None] - patterns, axis=-1)
    on_map = np.linalg.norm(view.positions[:, None] - view.positions, axis=-1)
    np.testing.assert_allclose(on_map, distances, atol=1e-9)
    weights = rng.dirichlet(np.ones(7), size=5)
    np.testing.assert_allclose(view.embed(view.locate(weights)), weights @ patterns, atol=1e-9)


def test_plane_lies_along_the_principal_components():
    patterns = np.random.default_rng(3).normal(size=(30, 4)) * [1, 9, 0.1, 5]
    view = plot.Section.of(patterns, "plane")
    corner = view.embed(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(corner[0], patterns.mean(axis=0))
    assert abs(corner[1] - corner[0]).argmax() == 1
    assert abs(corner[2] - corner[0]).argmax() == 3


def test_scaling_to_the_plane_brings_distances_closer():
    patterns = np.eye(6)
    distances = np.linalg.norm(patterns[:, None] - patterns, axis=-1)

    def stress(view):
        on_map = np.linalg.norm(view.positions[:, None] - view.positions, axis=-1)
        return np.sum((on_map - distances) ** 2)

    surface, plane = (plot.Section.of(patterns, kind) for kind in ("surface", "plane"))
    assert stress(surface) < 0.5 * stress(plane)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 10, 30])
def test_no_pattern_covers_another(n):
    """The principal plane of orthonormal patterns is arbitrary, and lays some on others."""
    rotation = np.linalg.qr(np.random.default_rng(n).normal(size=(n, n)))[0]
    axes = rotation[:2] * np.array([[1.0], [0.0]])  # all but one direction lost
    for projected in (np.zeros((n, 2)), rotation @ axes.T, np.eye(n)[:, :2]):
        places = _flat_map(rotation - rotation.mean(axis=0), projected)
        on_map = np.linalg.norm(places[:, None] - places, axis=-1)
        assert np.sort(on_map, axis=None)[n] > 0.7 / np.sqrt(n)
        stress = np.sum((on_map - np.sqrt(2) * (1 - np.eye(n))) ** 2)
        assert stress < 0.16 * 2 * n**2


def test_auto_takes_the_plane_for_many_patterns():
    patterns = np.random.default_rng(4).normal(size=(65, 3))
    assert len(plot.Section.of(patterns).anchors) == 0
    assert len(plot.Section.of(patterns[:64]).anchors) == 64


def test_map_alone(orthonormal):
    figure = matplotlib.figure.Figure()
    ax = figure.add_subplot()
    assert plot.landscape(*orthonormal, ax=ax, resolution=40) is figure
    assert figure.axes == [ax]
    assert "15 fixed points at β = 12" in ax.get_title()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "memory (4)",
        "saddle of index 1 (6)",
        "saddle of index 2 (4)",
        "saddle of index 3 (1)",
    ]
    assert sorted(texts(ax)) == ["0", "1", "2", "3"]


def test_each_memory_has_its_basin():
    patterns = np.random.default_rng(7).normal(size=(5, 4))
    network = hopfix.Hopfield(patterns / np.linalg.norm(patterns, axis=1, keepdims=True), 30.0)
    memories = network.retrieve(network.patterns).states
    view = plot.Section.of(network.patterns)
    grid = Grid.of(network, memories, view, 41)
    assert set(np.unique(grid.basin)) == {0, 1, 2, 3, 4}
    states = view.embed(np.array([[x, y] for y in grid.y for x in grid.x]))
    reached = network.weights(network.retrieve(states).states).argmax(axis=1)
    np.testing.assert_array_equal(grid.basin.ravel(), reached)


def test_memories_missing_from_the_list_have_no_basin(orthonormal):
    network, found = orthonormal
    view = plot.Section.of(network.patterns)
    grid = Grid.of(network, found.states[found.stable][:2], view, 21)
    assert set(np.unique(grid.basin)) == {-1, 0, 1}
    empty = Grid.of(network, found.states[:0], view, 21)
    assert set(np.unique(empty.basin)) == {-1}


def test_images(orthonormal, tmp_path):
    figure = plot.landscape(*orthonormal, images=(2, 2), resolution=40, title="T", caption="C")
    panels = [ax for ax in figure.axes if ax.axison]
    assert len(panels) == 1 + 4 + 5 + 4 + 1
    captions = {ax.get_xlabel() for ax in panels[1:]}
    assert {"0", "1", "2", "3"} <= captions
    assert figure.get_suptitle() == "T"
    assert figure.get_supxlabel().startswith("C\n")
    lettered = [t for t in texts(figure.axes[0]) if t.isalpha()]
    assert lettered == list("abcdefghij")
    figure.savefig(tmp_path / "landscape.png")
    assert (tmp_path / "landscape.png").stat().st_size > 10_000


def test_images_from_a_function(orthonormal):
    def image_of(states):
        return np.repeat(states[:, None, :], 4, axis=1)

    figure = plot.landscape(*orthonormal, images=image_of, resolution=20)
    assert figure.axes[-5].images[0].get_array().shape == (4, 4)


def test_names(orthonormal):
    figure = plot.landscape(*orthonormal, names=["a0", "b0", "c0", "d0"], resolution=20)
    assert sorted(texts(figure.axes[0])) == ["a0", "b0", "c0", "d0"]
    assert legend_of(figure)[0] == "memory (4)"


@pytest.mark.parametrize("images", [None, (2, 2)])
def test_legend_and_caption_do_not_overlap(orthonormal, images):
    figure = plot.landscape(*orthonormal, images=images, resolution=20)
    figure.draw_without_rendering()
    legend = figure.subfigs[0].legends[0].get_window_extent()
    map_box = figure.axes[0].get_window_extent()
    caption = figure._supxlabel.get_window_extent()
    assert caption.y1 < legend.y0
    assert legend.y1 < map_box.y0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "patterns",
    [np.ones((1, 3)), np.ones((2, 3)), [[0.5], [1.0], [-1.0]], np.eye(2)],
    ids=["one", "equal", "on a line", "two"],
)
def test_small_networks_draw_without_a_warning(patterns, tmp_path):
    network = hopfix.Hopfield(np.asarray(patterns, dtype=float), 5.0)
    figure = plot.landscape(network, network.fixed_points(), resolution=20)
    figure.savefig(tmp_path / "small.png", dpi=40)


def test_float32():
    network = hopfix.Hopfield(np.eye(3, dtype=np.float32), 8.0)
    figure = plot.landscape(network, network.fixed_points(), resolution=20)
    assert legend_of(figure)[0] == "memory (3)"


def test_no_pyplot_and_no_settings_are_touched(orthonormal):
    before = dict(matplotlib.rcParams)
    plot.landscape(*orthonormal, resolution=20)
    assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert matplotlib.pyplot.get_fignums() == []


def test_errors(orthonormal):
    with pytest.raises(ValueError, match=r"names: got 2, need 4, one per pattern"):
        plot.landscape(*orthonormal, names=["a", "b"])
    with pytest.raises(ValueError, match=r"images: got \(3, 3\), need .* with 4 pixels"):
        plot.landscape(*orthonormal, images=(3, 3), resolution=20)
    with pytest.raises(ValueError, match=r"section: got .sphere., need"):
        plot.landscape(*orthonormal, section="sphere")
    figure = matplotlib.figure.Figure()
    with pytest.raises(ValueError, match="figure: got one together with ax"):
        plot.landscape(*orthonormal, figure=figure, ax=figure.add_subplot())
