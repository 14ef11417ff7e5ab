"""Which attractors a saddle joins, data frames, and the pictures of graphs, basins and sweeps."""

import json

import numpy as np
import pytest

import hopfix
from hopfix import _core, plot
from hopfix.mean_field import AttentionMeanField


@pytest.fixture(scope="module")
def orthonormal():
    return hopfix.Hopfield(np.eye(4), 12.0).fixed_points()


def joined(found, graph):
    """{support of the saddle: patterns of the attractors on its sides}."""
    top = found.weights.argmax(axis=1)
    return {
        found.support[s]: tuple(sorted(top[pair].tolist()))
        for s, pair in zip(graph.saddles, graph.attractors, strict=True)
    }


def plain_descent(network, state):
    """Iterate the update alone, long enough."""
    for _ in range(20_000):
        state = network.update(state)
    return state


# Connections


def test_the_middle_of_two_patterns_joins_both():
    network = hopfix.Hopfield(np.array([[1.0, 0.2], [-1.0, 0.2]]), 3.0)
    found = network.fixed_points()
    graph = hopfix.connections(found)
    assert len(graph) == 1
    assert graph.attractors.tolist() == [[0, 1]]
    np.testing.assert_allclose(found.states[graph.saddles[0]], [0, 0.2], atol=1e-12)
    # m = tanh(βm): E differs by ½m² − log(cosh(βm))/β between memory and middle.
    m = abs(found.states[0, 0])
    barrier = np.log(np.cosh(3 * m)) / 3 - m * m / 2
    np.testing.assert_allclose(graph.barriers, [[barrier, barrier]], rtol=1e-12)


def test_the_saddle_of_a_pair_of_orthonormal_patterns_joins_the_pair(orthonormal):
    graph = orthonormal.connections()
    assert len(graph) == 6
    pairs = joined(orthonormal, graph)
    assert pairs == {pair: pair for pair in pairs}
    assert (graph.barriers > 0).all()
    np.testing.assert_allclose(graph.barriers, graph.barriers[0, 0], rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_sides_against_plain_iteration(seed):
    rng = np.random.default_rng(seed)
    patterns = rng.normal(size=(6, 3))
    patterns /= np.linalg.norm(patterns, axis=1, keepdims=True)
    network = hopfix.Hopfield(patterns, 15.0)
    found = network.fixed_points()
    graph = found.connections()
    assert len(graph) == np.count_nonzero(found.morse_index == 1) > 0
    for saddle, pair in zip(graph.saddles, graph.attractors, strict=True):
        _, vectors = np.linalg.eigh(network.jacobian(found.states[saddle]))
        ends = [found.states[saddle] + side * 1e-4 * vectors[:, -1] for side in (1, -1)]
        reached = {
            int(np.linalg.norm(found.states - plain_descent(network, end), axis=1).argmin())
            for end in ends
        }
        assert reached == set(pair.tolist())


def test_a_tree_of_attractors_in_the_line():
    network = hopfix.Hopfield(np.array([[-2.0], [0.0], [2.0]]), 4.0,
                              log_weights=np.array([-8.0, 0.0, -8.0]))  # fmt: skip
    found = network.fixed_points()
    graph = found.connections()
    places = np.sort(np.take(found.states[:, 0], graph.attractors), axis=1)
    np.testing.assert_allclose(np.sort(places, axis=0), [[-2, 0], [0, 2]], atol=0.05)


@pytest.mark.parametrize(
    ("options", "scale"),
    [({"similarity": "neg_sq_l2"}, 6.0), ({"similarity": 2 * np.eye(4)}, 3.0)],
    ids=["distance", "kernel"],
)
def test_networks_with_an_image(options, scale):
    found = hopfix.Hopfield(np.eye(4), scale, **options).fixed_points()
    graph = found.connections()
    assert set(joined(found, graph)) == {(i, j) for j in range(4) for i in range(j)}
    assert all(saddle == ends for saddle, ends in joined(found, graph).items())


def test_single_precision():
    found = hopfix.Hopfield(np.eye(3, dtype=np.float32), 10.0).fixed_points()
    pairs = joined(found, found.connections())
    assert len(pairs) == 3
    assert all(saddle == ends for saddle, ends in pairs.items())


def test_attractors_that_are_missing_from_the_list(orthonormal):
    missing = orthonormal.support.index((0,))
    part = orthonormal[[k for k in range(len(orthonormal)) if k != missing]]
    graph = part.connections()
    lost = [0 in part.support[s] for s in graph.saddles]
    assert ((graph.attractors[:, 1] == -1) == lost).all()
    assert (graph.attractors[:, 0] >= 0).all()
    assert (np.isnan(graph.barriers) == (graph.attractors < 0)).all()
    assert "3 with a side that reached none" in repr(graph)
    answer = json.dumps(graph.to_dict(), allow_nan=False)
    assert json.loads(answer)["barriers"][lost.index(True)][1] is None


def test_too_few_steps_reach_nothing(orthonormal):
    graph = orthonormal.connections(max_steps=1)
    assert (graph.attractors == -1).all()


def test_no_saddles():
    found = hopfix.Hopfield(np.eye(3), 1.0).fixed_points()
    graph = found.connections()
    assert len(graph) == 0
    assert graph.attractors.shape == graph.barriers.shape == (0, 2)


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 5), (100, 80), (300, 100), (1, 3)])
def test_leading_directions_against_lapack(n, d):
    """By rows, by columns, dense and by Lanczos."""
    rng = np.random.default_rng(n)
    network = hopfix.Hopfield(rng.normal(size=(n, d)) / np.sqrt(d), 3.0)
    states = rng.normal(size=(9, d)) / d
    directions = _core.leading_directions(network._core64, states, 2)
    for state, direction in zip(states, directions, strict=True):
        jacobian = network.jacobian(state)
        values, vectors = np.linalg.eigh(jacobian)
        if n == 1:
            np.testing.assert_array_equal(direction, 0)
            continue
        assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-14)
        assert direction @ jacobian @ direction == pytest.approx(values[-1], rel=1e-9)
        gap = (values[-1] - values[-2]) / values[-1]
        assert abs(direction @ vectors[:, -1]) > 1 - 1e-8 / gap
    for threads in (1, 3):
        again = _core.leading_directions(network._core64, states, threads)
        np.testing.assert_array_equal(again, directions)
        alone = _core.leading_directions(network._core64, states[4:5], threads)
        np.testing.assert_array_equal(alone, directions[4:5])


@pytest.mark.parametrize("d", [1, 7, 16, 40])
def test_the_nearest_within_reach(d):
    rng = np.random.default_rng(d)
    places, states = rng.normal(size=(50, d)), rng.normal(size=(200, d))
    states[:50] = places[::-1] + 1e-3 * rng.normal(size=(50, d))
    reach = rng.uniform(0, 2e-3 * np.sqrt(d), 50)
    distances = np.linalg.norm(states[:, None] - places, axis=2)
    nearest = distances.argmin(axis=1)
    expected = np.where(distances.min(axis=1) <= reach[nearest], nearest, -1)
    assert 0 < np.count_nonzero(expected >= 0) < 60
    for threads in (1, 2):
        np.testing.assert_array_equal(
            _core.nearest_within(states, places, reach, threads), expected
        )
    twice = np.concatenate([places, places])
    found = _core.nearest_within(places, twice, np.zeros(100), 1)
    np.testing.assert_array_equal(found, np.arange(50))  # the first of several, at distance 0
    none = _core.nearest_within(states, np.empty((0, d)), np.empty(0), 1)
    np.testing.assert_array_equal(none, -1)
    assert (_core.nearest_within(places, places, np.full(50, np.nan), 1) == -1).all()


def test_no_attractors_in_the_list(orthonormal):
    graph = orthonormal[~orthonormal.stable].connections()
    assert len(graph) == 6
    assert (graph.attractors == -1).all()
    assert np.isnan(graph.barriers).all()


def test_connections_are_the_same_for_every_number_of_threads():
    patterns = np.random.default_rng(3).normal(size=(30, 3))
    graphs = []
    for threads in (1, 2, 3):
        found = hopfix.Hopfield(patterns, 8.0, num_threads=threads).fixed_points("starts")
        graphs.append(found.connections())
    assert len(graphs[0]) > 5
    for graph in graphs[1:]:
        np.testing.assert_array_equal(graph.attractors, graphs[0].attractors)
        np.testing.assert_array_equal(graph.barriers, graphs[0].barriers)


def test_connection_errors(orthonormal):
    with pytest.raises(TypeError, match="fixed_points: got ndarray, need a FixedPoints"):
        hopfix.connections(np.eye(2))
    with pytest.raises(ValueError, match="max_steps"):
        orthonormal.connections(max_steps=0)


# Data frames


def test_fixed_points_as_a_data_frame(orthonormal):
    pytest.importorskip("pandas")
    frame = orthonormal.to_dataframe()
    assert len(frame) == 15
    assert frame["support"].tolist() == orthonormal.support
    assert frame["certified"].dtype == bool
    for name in ("morse_index", "index", "energy", "radius", "spectral_radius", "stable"):
        np.testing.assert_array_equal(frame[name], getattr(orthonormal, name))
    pairs = orthonormal[orthonormal.morse_index == 1].to_dataframe()
    assert pairs["support"].tolist() == orthonormal[orthonormal.morse_index == 1].support
    assert len(orthonormal[:0].to_dataframe()) == 0


def test_branches_as_a_data_frame():
    pytest.importorskip("pandas")
    branches = hopfix.Hopfield(np.eye(3), 12.0).follow(3.0)
    frame = branches.to_dataframe()
    assert len(frame) == sum(map(len, branches.branches))
    for number, branch in enumerate(branches.branches):
        part = frame[frame["branch"] == number]
        np.testing.assert_array_equal(part["beta"], branch.beta)
        kinds = [branches.events[event].kind for event in branch.events]
        assert part["event"].to_numpy()[branch.places].tolist() == kinds
        assert (part["event"] != "").sum() == len(kinds)


# Pictures


def test_graph_picture(orthonormal):
    pytest.importorskip("matplotlib")
    graph = orthonormal.connections()
    ax = graph.plot().axes[0]
    places = plot.Section.of(np.eye(4)).locate(orthonormal.weights)
    assert len(ax.lines) == 6
    for line, (low, high) in zip(ax.lines, graph.attractors, strict=True):
        ends = line.get_xydata()[[0, -1]]
        np.testing.assert_allclose(ends, places[[low, high]], atol=1e-12)
        assert line.get_linestyle() == "-"
    triangles, circles = ax.collections[-2:]
    np.testing.assert_allclose(triangles.get_array(), graph.barriers[:, 0])
    np.testing.assert_allclose(circles.get_offsets(), places[:4])
    marks = triangles.get_offsets()
    assert np.unique(marks.round(6), axis=0).shape == (6, 2)  # diagonals do not cover each other
    numbers = [text.get_text() for text in ax.texts[-4:]]
    assert numbers == [str(k) for k in orthonormal.weights[:4].argmax(axis=1)]


def test_graph_picture_with_unknown_sides(orthonormal):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    graph = orthonormal.connections(max_steps=1)
    ax = figure.add_subplot()
    assert plot.atlas_graph(graph, ax=ax) is figure
    assert figure.axes == [ax]  # no barrier is known: no colour bar
    part = orthonormal[1:].connections()
    dashed = [line.get_linestyle() != "-" for line in part.plot().axes[0].lines]
    assert dashed == (part.attractors[:, 1] < 0).tolist()


def test_basins_in_the_plane():
    pytest.importorskip("matplotlib")
    patterns = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.5]])
    network = hopfix.Hopfield(patterns, 8.0)
    found = network.fixed_points()
    for given in (found, None):
        ax = plot.basins(network, given, resolution=31).axes[0]
        image = ax.images[0].get_array()
        low, high, bottom, top = ax.images[0].get_extent()
        x, y = np.meshgrid(np.linspace(low, high, 31), np.linspace(bottom, top, 31))
        states = plot.Section.of(patterns, "plane").embed(np.column_stack([x.ravel(), y.ravel()]))
        end = network.weights(network.retrieve(states).states).argmax(axis=1)
        colours = image.reshape(-1, 3)
        shades = {tuple(colours[end == k][0]) for k in range(3)}
        assert len(shades) == 3
        for k in range(3):
            assert (colours[end == k] == colours[end == k][0]).all()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == 4
    shares = [float(label.split(": ")[1][:-1]) for label in labels[1:]]
    assert sum(shares) == pytest.approx(100, abs=0.2)


def test_basins_without_an_energy_and_without_attractors():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    network = hopfix.Hopfield(
        np.random.default_rng(0).normal(size=(5, 6)), 2.0, similarity="neg_l1",
        separation="sparsemax",
    )  # fmt: skip
    assert plot.basins(network, resolution=11, ax=figure.add_subplot()) is figure
    network = hopfix.Hopfield(np.eye(3), 9.0)
    part = network.fixed_points()[:0]
    figure = plot.basins(network, part, resolution=11, section="surface")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels[1:] == ["no attractor known: 100.0%"]
    with pytest.raises(ValueError, match="resolution"):
        plot.basins(network, resolution=1)


def test_sweep_picture():
    pytest.importorskip("matplotlib")
    model = AttentionMeanField.paper(1.3)
    start = model.random_state(1)
    found = model.bifurcation([1.3, 1.4], 50, 40, start=start)
    ax = found.plot(1).axes[0]
    drawn = ax.lines[0].get_xydata()
    np.testing.assert_array_equal(drawn[:, 0], np.repeat([1.3, 1.4], 10))
    np.testing.assert_array_equal(drawn[:, 1], found.values[:, :, 1].ravel())
    assert ax.get_xlabel() == "β"
    other = model.bifurcation([1.3, 1.3], 50, 40, start=start, gammas=[100.0, 220.0])
    assert other.plot(ax=ax).axes[0].get_xlabel() == "γ"
    with pytest.raises(ValueError, match="feature"):
        found.plot(99)
