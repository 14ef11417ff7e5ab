"""The commands retrieve, follow, bench and show-config, and files of patterns beyond .npy."""

import csv
import json

import numpy as np
import pytest

import hopfix
from hopfix.cli import main
from hopfix.cli.reading import InputError, read_patterns

for name in ("click", "rich", "tqdm", "sklearn", "matplotlib"):
    pytest.importorskip(name)

bench_module = pytest.importorskip("hopfix.cli.bench")
retrieve_module = pytest.importorskip("hopfix.cli.retrieve")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A directory with patterns.npy (4 orthonormal) and queries.csv (3 beside them)."""
    monkeypatch.chdir(tmp_path)
    np.save("patterns.npy", np.eye(4))
    np.savetxt("queries.csv", np.eye(4)[[2, 0, 1]] + 0.1, delimiter=",")
    return tmp_path


def run(capsys, *arguments, code=0):
    assert main([str(argument) for argument in arguments]) == code
    return capsys.readouterr()


def error(capsys, *arguments):
    out, err = run(capsys, *arguments, code=2)
    assert out == ""
    assert err.startswith("hopfix: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", ["retrieve", "follow", "bench", "reproduce", "show-config"])
def test_help_has_an_example(command, capsys):
    out = run(capsys, command, "--help").out
    assert "\n  Example:\n" in out  # on lines of its own: not wrapped
    assert f"\n    hopfix {command}" in out


# retrieve


def test_retrieve(files, capsys):
    out, err = run(capsys, "retrieve", "patterns.npy", "queries.csv", "--beta", 12)
    assert err == ""
    assert "3 of 3 queries converged" in out


@pytest.mark.parametrize("name", ["s.npy", "s.npz", "s.csv"])
def test_retrieve_writes_states(files, capsys, name):
    arguments = ["retrieve", "patterns.npy", "queries.csv", "--beta", 12, "--output", name]
    assert f"Wrote {name}." in run(capsys, *arguments).out
    expected = hopfix.Hopfield(np.eye(4), 12.0).retrieve(np.eye(4)[[2, 0, 1]] + 0.1)
    np.testing.assert_array_equal(read_patterns(files / name, "states"), expected.states)
    if name == "s.npz":
        with np.load(name) as data:
            np.testing.assert_array_equal(data["steps"], expected.steps)
            assert data["pattern"].tolist() == [2, 0, 1]


def test_retrieve_as_json(files, capsys):
    out = run(capsys, "retrieve", "patterns.npy", "queries.csv", "--beta", 12, "--json").out
    result = json.loads(out)
    assert result["pattern"] == [2, 0, 1]
    assert result["converged"] == [True] * 3
    assert np.shape(result["states"]) == (3, 4)


def test_retrieve_without_convergence_is_code_1(files, capsys):
    arguments = ["retrieve", "patterns.npy", "queries.csv", "--beta", 12, "--max-steps", 1]
    assert "0 of 3 queries converged" in run(capsys, *arguments, code=1).out


def test_retrieve_interrupted_writes_what_is_done(files, capsys, monkeypatch):
    monkeypatch.setattr(retrieve_module, "_CHUNK", 2)
    real, calls = hopfix.Hopfield.retrieve, []

    def broken(network, *arguments, **options):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(network, *arguments, **options)

    monkeypatch.setattr(hopfix.Hopfield, "retrieve", broken)
    out, err = run(
        capsys, "retrieve", "patterns.npy", "queries.csv", "--beta", 12, "--output", "s.npy",
        "--json", code=130,
    )  # fmt: skip
    assert json.loads(out)["pattern"] == [2, 0]
    assert err == "hopfix: interrupted, 2 of 3 queries finished\n"
    assert np.load("s.npy").shape == (2, 4)


def test_retrieve_errors(files, capsys):
    np.save("wide.npy", np.eye(5))
    line = error(capsys, "retrieve", "patterns.npy", "wide.npy", "--beta", 1)
    assert "wide.npy: queries have 5 columns" in line
    assert "none.npy" in error(capsys, "retrieve", "patterns.npy", "none.npy", "--beta", 1)
    error(capsys, "retrieve", "patterns.npy", "--beta", 1)
    error(capsys, "retrieve", "patterns.npy", "queries.csv")
    given = ["retrieve", "patterns.npy", "queries.csv", "--beta", 1, "--output"]
    assert ".npz" in error(capsys, *given, "states.txt")
    assert "no such directory" in error(capsys, *given, "no/such/states.npy")


# follow


def test_follow(files, capsys):
    out, err = run(capsys, "follow", "patterns.npy", "--beta", 12, "--to", 3)
    assert err == ""
    assert "Branches(" in out
    assert "multiple" in out


def test_follow_shows_the_first_of_many(files, capsys):
    np.save("many.npy", np.eye(7))
    out = run(capsys, "follow", "many.npy", "--beta", 20, "--to", 10).out
    assert "Branches(127 branches" in out
    assert "… and 67 more" in out


def test_follow_as_json_and_to_a_file(files, capsys):
    arguments = ["follow", "patterns.npy", "--beta", 12, "--to", 3]
    out = run(capsys, *arguments, "--json", "--output", "b.npz", "--progress").out
    result = json.loads(out)
    expected = hopfix.Hopfield(np.eye(4), 12.0).follow(3.0)
    np.testing.assert_allclose(result["folds"], expected.folds)
    assert len(hopfix.Branches.load("b.npz")) == len(result["branches"]) == len(expected)
    assert "Wrote b.png." in run(capsys, *arguments, "--output", "b.png").out
    assert (files / "b.png").read_bytes().startswith(b"\x89PNG")


def test_follow_that_is_cut_short_is_code_1(files, capsys, monkeypatch):
    real = hopfix.Hopfield.follow

    def short(network, *arguments, **options):
        return real(network, *arguments, **options, max_steps=1)

    monkeypatch.setattr(hopfix.Hopfield, "follow", short)
    run(capsys, "follow", "patterns.npy", "--beta", 12, "--to", 3, code=1)


def test_follow_interrupted_writes_what_was_followed(files, capsys, monkeypatch):
    real = hopfix.Hopfield.follow

    def broken(network, *arguments, **options):
        interruption = KeyboardInterrupt()
        interruption.partial = real(network, *arguments, **options)
        raise interruption

    monkeypatch.setattr(hopfix.Hopfield, "follow", broken)
    arguments = ["follow", "patterns.npy", "--beta", 12, "--to", 3, "--output", "b.npz"]
    out, err = run(capsys, *arguments, "--json", code=130)
    assert json.loads(out)["beta_to"] == 3
    assert "branches followed to their ends" in err
    assert len(hopfix.Branches.load("b.npz")) > 0


def test_follow_interrupted_during_the_search(files, capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", broken)
    out, err = run(capsys, "follow", "patterns.npy", "--beta", 12, "--to", 3, code=130)
    assert (out, err) == ("", "hopfix: interrupted, no branch followed yet\n")


def test_follow_errors(files, capsys):
    assert "beta_to" in error(capsys, "follow", "patterns.npy", "--beta", 3, "--to", 3)
    assert "--to" in error(capsys, "follow", "patterns.npy", "--beta", 3, "--to", "nan")
    error(capsys, "follow", "patterns.npy", "--beta", 3)


def interrupted_search(monkeypatch, count):
    """Make every search find `count` points and end by Ctrl-C."""
    search = hopfix.Hopfield.fixed_points

    def broken(network, *arguments, **options):
        interruption = KeyboardInterrupt()
        interruption.partial = search(network, *arguments, **options)[:count]
        raise interruption

    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", broken)


@pytest.mark.parametrize("name", ["b.npz", "b.png"])
def test_follow_interrupted_in_its_search_writes_what_was_found(files, capsys, monkeypatch, name):
    interrupted_search(monkeypatch, 5)
    given = ["follow", "patterns.npy", "--beta", 12, "--to", 3, "--output", name]
    out, err = run(capsys, *given, code=130)
    assert "5 branches from beta=12 to 3" in out
    assert out.count("interrupted … interrupted") == 5
    assert err == "hopfix: interrupted, 0 branches followed to their ends\n"
    assert (files / name).exists()
    if name == "b.npz":
        assert len(hopfix.Branches.load(name)) == 5


# atlas, bench, show-config


def test_a_proof_that_fails_is_code_1(files, capsys, monkeypatch):
    real = hopfix.Hopfield.fixed_points
    given = ["atlas", "patterns.npy", "--beta", 12, "--prove", "--json"]
    assert json.loads(run(capsys, *given).out)["completeness"] == "proved"

    def short(network, *arguments, **options):
        return real(network, *arguments, **options, max_boxes=1)

    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", short)
    assert json.loads(run(capsys, *given, code=1).out)["completeness"] == "unknown"


def atlas(*more):
    return ["atlas", "patterns.npy", *(x for pair in more for x in pair)]


def test_atlas_writes_what_it_prints_as_json(files, capsys):
    for betas in ([12], [3, 12]):
        given = atlas(*(("--beta", beta) for beta in betas), ("--output", "a.json"))
        out = run(capsys, *given, "--json").out
        written = json.loads((files / "a.json").read_text())
        assert written == json.loads(out)
        assert "Wrote a.json." in run(capsys, *given).out


def test_atlas_writes_a_list_that_loads(files, capsys):
    out = run(capsys, *atlas(("--beta", 12), ("--output", "a.npz"))).out
    assert "Wrote a.npz." in out
    expected = hopfix.Hopfield(np.eye(4), 12.0).fixed_points()
    found = hopfix.FixedPoints.load("a.npz")
    np.testing.assert_array_equal(found.states, expected.states)
    assert found.completeness == expected.completeness


def test_atlas_writes_the_columns_of_the_data_frame(files, capsys):
    given = atlas(("--beta", 3), ("--beta", 12), ("--output", "A.CSV"))
    assert "Wrote A.CSV." in run(capsys, *given).out
    with open("A.CSV", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lists = [hopfix.Hopfield(np.eye(4), beta).fixed_points() for beta in (3.0, 12.0)]
    assert [float(row["beta"]) for row in rows] == [3.0] * len(lists[0]) + [12.0] * len(lists[1])
    for name in ("energy", "radius", "uniqueness_radius", "spectral_radius", "morse_index"):
        values = [value for found in lists for value in getattr(found, name)]
        np.testing.assert_array_equal([float(row[name]) for row in rows], values)
    for name in ("certified", "stable"):
        values = [str(bool(value)) for found in lists for value in getattr(found, name)]
        assert [row[name] for row in rows] == values
    support = [tuple(map(int, row["support"].split())) for row in rows]
    assert support == [face for found in lists for face in found.support]
    pytest.importorskip("pandas")
    assert list(rows[0]) == ["beta", *lists[0].to_dataframe().columns]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.npy", ".json", "no/such/a.json", "folder.json"])
def test_atlas_refuses_to_write_other_files_before_any_work(files, capsys, monkeypatch, name):
    (files / "folder.json").mkdir()
    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", None)
    assert name in error(capsys, *atlas(("--beta", 3), ("--output", name)))


def test_atlas_writes_one_list_to_an_archive(files, capsys):
    line = error(capsys, *atlas(("--beta", 3), ("--beta", 4), ("--output", "a.npz")))
    assert "--output: .npz holds the list at one β, got 2 --beta" in line
    assert not (files / "a.npz").exists()


@pytest.mark.parametrize("name", ["a.json", "a.npz", "a.csv", "a.png"])
@pytest.mark.parametrize("count", [0, 5])
def test_atlas_interrupted_writes_what_was_found(files, capsys, monkeypatch, name, count):
    interrupted_search(monkeypatch, count)
    out, err = run(capsys, *atlas(("--beta", 12), ("--output", name)), code=130)
    assert f"Wrote {name}." in out
    assert err == "hopfix: interrupted, 0 of 1 values of β finished\n"
    if name == "a.json":
        assert json.loads((files / name).read_text())["finished"] is False
    if name == "a.npz":
        assert len(hopfix.FixedPoints.load(name)) == count
    if name == "a.csv":
        assert (files / name).read_text().count("\n") == count + 1


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(bench_module, "_PROBLEMS", ((40, 16, 10, 8.0), (30, 8, 1, 8.0)))
    monkeypatch.setattr(bench_module, "_REPEATS", 1)


def test_bench(small, files, capsys):
    out = run(capsys, "bench", "--json", "--output", "bench.json").out
    result = json.loads(out)
    assert result == json.loads((files / "bench.json").read_text())
    assert result["config"]["version"] == hopfix.__version__
    assert [row["dtype"] for row in result["results"]] == ["float32"] * 2 + ["float64"] * 2
    for row in result["results"]:
        assert row["ratio"] == pytest.approx(row["numpy_ms"] / row["hopfix_ms"])
    assert "NumPy ms" in run(capsys, "bench").out


def test_bench_with_wrong_states_is_code_1(small, capsys, monkeypatch):
    monkeypatch.setattr(bench_module, "_in_numpy", lambda _p, _b, queries, _t: queries)
    run(capsys, "bench", code=1)


def test_interrupted_bench_keeps_its_rows(small, files, capsys, monkeypatch):
    real, calls = bench_module._measured, []

    def broken(*case):
        calls.append(case)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*case)

    monkeypatch.setattr(bench_module, "_measured", broken)
    out, err = run(capsys, "bench", "--json", "--output", "bench.json", code=130)
    assert len(json.loads(out)["results"]) == 2
    assert err == "hopfix: interrupted, 2 of 4 problems finished\n"
    assert (files / "bench.json").exists()


def test_show_config_as_json(files, capsys):
    out = run(capsys, "show-config", "--json", "--output", "config.json").out
    assert json.loads(out) == hopfix.get_config()
    assert json.loads((files / "config.json").read_text()) == hopfix.get_config()


# Files


def test_key(files, capsys):
    np.savez("a.npz", keys=np.eye(3), queries=np.eye(3)[:1])
    given = ["retrieve", "a.npz", "a.npz", "--beta", 9, "--json"]
    assert json.loads(run(capsys, *given, "--key", "keys").out)["pattern"] == [0]
    assert "needs the key 'patterns', has ['keys', 'queries']" in error(capsys, *given)
    assert "needs the key 'x'" in error(capsys, "atlas", "a.npz", "--beta", 1, "--key", "x")


def write_parquet(path, columns):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path)


def test_read_parquet(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"x": [0, 2, 4], "y": [1.0, 3.0, 5.0]})
    np.testing.assert_array_equal(read_patterns(tmp_path / "a.parquet"), [[0, 1], [2, 3], [4, 5]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, 2.0], "name": ["a", "b"]}, "column 'name' must be numbers"),
        ({"x": [1.0, None]}, "column 'x' has 1 missing values"),
        ({"x": [[1.0], [2.0]]}, "column 'x' must be numbers"),
        ({"x": [1.0, float("nan")]}, "must be finite, got nan in row 1, column 0"),
        ({}, "holds no columns"),
    ],
    ids=["text", "null", "list", "nan", "empty"],
)
def test_bad_parquet(tmp_path, columns, message):
    write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(InputError, match=message) as caught:
        read_patterns(tmp_path / "a.parquet")
    assert str(tmp_path / "a.parquet") in str(caught.value)


def test_damaged_parquet(tmp_path, capsys):
    path = tmp_path / "a.parquet"
    write_parquet(path, {"x": np.arange(1000.0)})
    whole = path.read_bytes()
    for damaged in (whole[:500], b"", b"PAR1noise", whole[:100] + bytes(200) + whole[300:]):
        path.write_bytes(damaged)
        assert str(path) in error(capsys, "atlas", path, "--beta", 1)


def test_truncated_compressed_archive(tmp_path, capsys):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, patterns=np.random.default_rng(0).normal(size=(50, 50)))
    whole = path.read_bytes()
    for damaged in (whole[:5000], whole[:2000] + bytes(500) + whole[2500:]):
        path.write_bytes(damaged)
        assert str(path) in error(capsys, "atlas", path, "--beta", 1)
