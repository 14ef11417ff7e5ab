"""The command line: output, strict JSON, one-line errors, interruption, pipes."""

import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

import hopfix
from hopfix import datasets, demo
from hopfix.cli import main
from hopfix.cli.reading import InputError, read_patterns

for name in ("click", "rich", "tqdm", "sklearn", "matplotlib"):
    pytest.importorskip(name)

ORTHONORMAL_COUNTS = {"0": 4, "1": 6, "2": 4, "3": 1}


@pytest.fixture
def npy(tmp_path):
    path = tmp_path / "patterns.npy"
    np.save(path, np.eye(4))
    return path


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def one_line_error(capsys, arguments):
    """Run a command that must fail with code 2 and one line on stderr; return the line."""
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hopfix: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


# Running


def test_module_runs():
    command = [sys.executable, "-m", "hopfix", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"hopfix {hopfix.__version__}\n", "")


@pytest.mark.parametrize("command", [[], ["demo"], ["atlas"], ["show-config"]])
def test_help_has_an_example(command, capsys):
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: hopfix")
    assert "\n  Example:\n" in out  # on lines of its own: not wrapped
    assert "\n    " + " ".join(["hopfix", *command]) in out


def test_no_command_prints_help(capsys):
    assert main([]) == 0
    assert "Usage: hopfix" in capsys.readouterr().out


def test_show_config(capsys):
    assert main(["show-config"]) == 0
    assert hopfix.__version__ in capsys.readouterr().out


# Atlas


def test_atlas_report(npy, capsys):
    assert main(["atlas", str(npy), "--beta", "12"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "patterns.npy: 4 patterns in 4 dimensions" in out
    assert "15 fixed points, degree sum 1, completeness" in out
    assert "0123" in out


def test_atlas_json(npy, capsys):
    assert main(["atlas", str(npy), "--beta", "12", "--json"]) == 0
    out, err = capsys.readouterr()
    result = strict_json(out)
    assert err == ""
    assert result["counts"] == ORTHONORMAL_COUNTS
    assert result["degree_sum"] == 1
    assert result["completeness"] in ("proved", "consistent")
    assert result["beta"] == 12
    assert np.shape(result["states"]) == (15, 4)
    assert len(result["morse_index"]) == len(result["certified"]) == 15
    assert result["stored"] == [0, 1, 2, 3]


def test_atlas_json_of_several_betas_is_an_array(npy, capsys):
    assert main(["atlas", str(npy), "--beta", "3", "--beta", "12", "--json"]) == 0
    low, high = strict_json(capsys.readouterr().out)
    assert (low["beta"], high["beta"]) == (3, 12)
    assert low["counts"] == {"0": 1}
    assert high["counts"] == ORTHONORMAL_COUNTS


def test_atlas_proves_on_request(npy, capsys):
    assert main(["atlas", str(npy), "--beta", "12", "--json", "--prove"]) == 0
    result = strict_json(capsys.readouterr().out)
    assert (result["method"], result["completeness"]) == ("cells", "proved")
    assert main(["atlas", str(npy), "--beta", "12", "--prove", "--method", "starts"]) == 2
    assert "--prove" in capsys.readouterr().err


def test_json_has_null_for_what_is_not_finite():
    from hopfix._json import plain

    values = {0: np.array([np.nan, 1.0]), "b": (np.inf, np.float32(2)), "c": np.bool_(True)}
    answer = plain(values)
    assert answer == {"0": [None, 1.0], "b": [None, 2.0], "c": True}
    assert strict_json(json.dumps(answer, allow_nan=False)) == answer


def test_atlas_picture(npy, tmp_path, capsys):
    picture = tmp_path / "landscape.png"
    assert main(["atlas", str(npy), "--beta", "12", "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"Wrote {picture}." in capsys.readouterr().out


def test_atlas_picture_beside_json_leaves_stdout_alone(npy, tmp_path, capsys):
    picture = tmp_path / "landscape.svg"
    assert main(["atlas", str(npy), "--beta", "12", "--json", "--output", str(picture)]) == 0
    assert strict_json(capsys.readouterr().out)["beta"] == 12
    assert picture.exists()


def test_progress_goes_to_stderr(npy, capsys):
    assert main(["atlas", str(npy), "--beta", "12", "--json", "--progress"]) == 0
    out, err = capsys.readouterr()
    strict_json(out)
    assert "%" in err


# Reading patterns


def write_npy(path):
    with path.open("wb") as file:  # given a path, np.save would add .npy to .NPY
        np.save(file, np.arange(6).reshape(3, 2))


def write_npz(path):
    np.savez(path, patterns=np.arange(6.0).reshape(3, 2), other=np.ones(3))


def write_csv(path):
    path.write_text("0,1\n2,3\n\n# a comment\n4,5\n")


def write_csv_with_header(path):
    path.write_text("x, y\n0,1\n2,3\n4,5", encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", write_npy),
        ("A.NPY", write_npy),
        ("a.npz", write_npz),
        ("a.csv", write_csv),
        ("a.csv", write_csv_with_header),
    ],
)
def test_read_patterns(tmp_path, name, write):
    write(tmp_path / name)
    np.testing.assert_array_equal(read_patterns(tmp_path / name), [[0, 1], [2, 3], [4, 5]])


def test_single_precision_is_kept(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3, dtype=np.float32))
    assert read_patterns(tmp_path / "a.npy").dtype == np.float32


BAD_ARRAYS = {
    "vector": (np.ones(3), r"must have shape \(N, d\), got \(3,\)"),
    "cube": (np.ones((2, 2, 2)), r"must have shape \(N, d\)"),
    "empty": (np.ones((0, 3)), r"must have shape \(N, d\)"),
    "nan": (np.array([[1.0, 2.0], [3.0, np.nan]]), "must be finite, got nan in row 1, column 1"),
    "inf": (np.array([[np.inf, 2.0]]), "must be finite, got inf in row 0, column 0"),
    "complex": (np.ones((2, 2), dtype=complex), "must be real numbers, got dtype complex128"),
    "text": (np.array([["a", "b"]]), "must be real numbers"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_arrays(tmp_path, kind):
    array, message = BAD_ARRAYS[kind]
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", patterns=array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match=message):
            read_patterns(tmp_path / name)


class Bomb:
    """A pickle that would leave a trace if it were loaded."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_pickles_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("object.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    np.savez("object.npz", patterns=np.array([[Bomb()]], dtype=object))
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Bomb()))
    for name in ("object.npy", "object.npz", "raw.npy"):
        assert name in one_line_error(capsys, ["atlas", name, "--beta", "1"])
    assert not (tmp_path / "exploded").exists()


BAD_FILES = {
    "text.csv": b"1,2\n3,a\n",
    "ragged.csv": b"1,2\n3\n",
    "header.csv": b"x,y\n",
    "nothing.csv": b"",
    "binary.csv": b"\xff\xfe\x00\x01",
    "nothing.npy": b"",
    "noise.npy": b"noise" * 9,
    "nothing.npz": b"",
    "noise.npz": b"PK\x03\x04noise",
    "patterns.txt": b"1,2\n",
    "patterns": b"1,2\n",
}


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.filterwarnings("error")
def test_bad_files(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(BAD_FILES[name])
    line = one_line_error(capsys, ["atlas", tmp_path / name, "--beta", "1"])
    assert str(tmp_path / name) in line


def test_truncated_files(tmp_path, capsys):
    for name, save in (("a.npy", np.save), ("a.npz", np.savez)):
        path = tmp_path / name
        save(path, **{"patterns" if name == "a.npz" else "arr": np.eye(30)})
        path.write_bytes(path.read_bytes()[:1000])
        assert str(path) in one_line_error(capsys, ["atlas", path, "--beta", "1"])


def test_archive_without_the_key(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", weights=np.eye(2))
    line = one_line_error(capsys, ["atlas", tmp_path / "a.npz", "--beta", "1"])
    assert "needs the key 'patterns', has ['weights']" in line


def test_archive_under_the_wrong_name(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", patterns=np.eye(2))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    assert "call it .npz" in one_line_error(capsys, ["atlas", tmp_path / "a.npy", "--beta", "1"])
    np.save(tmp_path / "b.npy", np.eye(2))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    assert "call it .npy" in one_line_error(capsys, ["atlas", tmp_path / "b.npz", "--beta", "1"])


def test_missing_file_and_directory(tmp_path, capsys):
    line = one_line_error(capsys, ["atlas", tmp_path / "none.npy", "--beta", "1"])
    assert "No such file" in line
    (tmp_path / "folder.npy").mkdir()
    one_line_error(capsys, ["atlas", tmp_path / "folder.npy", "--beta", "1"])


# Usage errors


@pytest.mark.parametrize("beta", ["0", "-1", "nan", "inf", "x"])
def test_bad_beta(npy, capsys, beta):
    assert "--beta" in one_line_error(capsys, ["atlas", npy, f"--beta={beta}"])
    assert "--betas" in one_line_error(capsys, ["demo", f"--betas=4,{beta}"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["atlas"],
        ["atlas", "a.npy"],
        ["atlas", "a.npy", "--beta"],
        ["unknown"],
        ["--unknown"],
        ["demo", "--unknown"],
        ["demo", "argument"],
        ["demo", "--betas", ""],
        ["demo", "--output", "picture.doc"],
        ["demo", "--output", "no/such/folder/picture.png"],
        ["demo", "--time-limit", "-1"],
        ["demo", "--seed", "x"],
    ],
    ids=" ".join,
)
def test_usage_errors_are_one_line(capsys, arguments):
    one_line_error(capsys, arguments)


def test_unknown_method(npy, capsys):
    line = one_line_error(capsys, ["atlas", npy, "--beta", "1", "--method", "guess"])
    assert "guess" in line


def test_closed_form_needs_orthonormal_patterns(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(4, 3)))
    one_line_error(capsys, ["atlas", tmp_path / "a.npy", "--beta", "1", "--method", "closed_form"])


# Demo


def test_demo(tmp_path, capsys):
    picture = tmp_path / "demo.png"
    assert main(["demo", "--betas", "4,8", "--output", str(picture)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "··········" in out
    assert "0123456789" in out
    assert f"Wrote {picture}. Total time" in out


def test_demo_without_a_picture_as_json(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--betas", "4,8", "--no-plot", "--json"]) == 0
    low, high = strict_json(capsys.readouterr().out)
    assert low["counts"] == {"0": 1}
    assert low["stored"] == []
    assert high["stored"] == list(range(10))
    assert high["counts"]["0"] == 10
    assert high["degree_sum"] == 1
    assert 0 < low["recalled"] < high["recalled"] <= 1
    assert list(tmp_path.iterdir()) == []


def test_demo_writes_to_the_current_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--betas", "8"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["hopfix-demo.png"]


def test_a_mixture_stores_nothing():
    digits = datasets.digits()
    (row,) = demo.run([4.0], digits.patterns)
    assert row.stored == ()
    assert row.recalled is None
    assert len(row.fixed_points) == 1


def test_run_reports_progress_for_each_beta():
    calls = []
    rows = demo.run([2.0, 12.0], np.eye(4), progress=lambda *call: calls.append(call))
    assert [row.beta for row in rows] == [2.0, 12.0]
    assert {beta for beta, _, _ in calls} <= {2.0, 12.0}
    assert all(0 <= done <= total for _, done, total in calls)


# Interruption and pipes


def interrupted_after(count, monkeypatch):
    """Make `demo.run` raise KeyboardInterrupt after so many rows."""
    run = demo.run

    def broken(betas, *arguments, **options):
        for done, row in enumerate(run(betas, *arguments, **options)):
            if done == count:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(demo, "run", broken)


def test_interrupted_atlas_prints_what_is_done(npy, monkeypatch, capsys):
    interrupted_after(1, monkeypatch)
    assert main(["atlas", str(npy), "--beta", "3", "--beta", "12"]) == 130
    out, err = capsys.readouterr()
    assert "β = 3: 1 fixed point, " in out
    assert "β = 12" not in out
    assert err == "hopfix: interrupted, 1 of 2 values of β finished\n"


def test_interrupted_json_is_still_json(npy, monkeypatch, capsys):
    interrupted_after(1, monkeypatch)
    assert main(["atlas", str(npy), "--beta", "3", "--beta", "12", "--json"]) == 130
    assert [result["beta"] for result in strict_json(capsys.readouterr().out)] == [3]


def test_interrupted_at_once(npy, monkeypatch, capsys):
    interrupted_after(0, monkeypatch)
    assert main(["atlas", str(npy), "--beta", "3", "--json"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "hopfix: interrupted, 0 of 1 values of β finished\n"


def test_interrupted_search_prints_what_was_found(npy, monkeypatch, capsys):
    search = hopfix.Hopfield.fixed_points

    def broken(network, *arguments, **options):
        interruption = KeyboardInterrupt()
        interruption.partial = search(network, *arguments, **options)[:5]
        raise interruption

    monkeypatch.setattr(hopfix.Hopfield, "fixed_points", broken)
    assert main(["atlas", str(npy), "--beta", "12", "--json"]) == 130
    out, err = capsys.readouterr()
    result = strict_json(out)
    assert err == "hopfix: interrupted, 0 of 1 values of β finished\n"
    assert result["finished"] is False
    assert result["completeness"] == "unknown"
    assert len(result["states"]) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to one process")
def test_ctrl_c(tmp_path):
    # 2^40 - 1 fixed points: this search does not end by itself.
    np.save(tmp_path / "a.npy", np.eye(40))
    command = [sys.executable, "-m", "hopfix", "atlas", "a.npy", "--beta", "50", "--json"]
    process = subprocess.Popen(
        [*command, "--method", "starts", "--progress"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    progress = iter(lambda: process.stderr.read(1), "")
    started = ""
    while "β = 50" not in started:
        started += next(progress)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.endswith("hopfix: interrupted, 0 of 1 values of β finished\n")
    assert "Traceback" not in err
    assert strict_json(out)["finished"] is False


def test_interrupted_demo_writes_no_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    interrupted_after(1, monkeypatch)
    assert main(["demo", "--betas", "4,8"]) == 130
    assert "··········" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be_encoded_is_replaced(npy):
    done = subprocess.run(
        [sys.executable, "-m", "hopfix", "atlas", str(npy), "--beta", "12"],
        capture_output=True, timeout=60, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"15 fixed points" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE")
def test_broken_pipe_is_silent(npy):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "hopfix", "atlas", str(npy), "--beta", "12", "--json"]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
