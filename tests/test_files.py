"""Files of results: replaced whole, checked when read, refused by name where they are damaged."""

import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import hopfix
from hopfix import _files
from hopfix.branches import Branches
from hopfix.faces import CriticalFaces, critical_faces
from hopfix.fixed_points import FixedPoints
from hopfix.kernel import SeparationKernel

PATTERNS = np.random.default_rng(0).standard_normal((5, 3))


def results():
    net = hopfix.Hopfield(PATTERNS, 3.0)
    return {
        "points": (net.fixed_points("starts"), FixedPoints.load, len),
        "branches": (net.follow(2.0), Branches.load, lambda b: len(b.branches)),
        "faces": (critical_faces(PATTERNS), CriticalFaces.load, lambda f: len(f.faces)),
        "kernel": (
            SeparationKernel(steps=3, seed=0).fit(PATTERNS),
            SeparationKernel.load,
            lambda k: k.matrix.tolist(),
        ),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{name: (path, load, what to compare, its value)}, one file of every kind."""
    folder, kinds = tmp_path_factory.mktemp("files"), {}
    for name, (result, load, look) in results().items():
        result.save(folder / f"{name}.npz")
        kinds[name] = (folder / f"{name}.npz", load, look, look(result))
    return kinds


KINDS = ("points", "branches", "faces", "kernel")


def rewritten(path, target, change):
    """The archive with its arrays changed, its own checksums of entries right."""
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    change(arrays)
    np.savez(target, **arrays)
    return target


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_is_loaded(files, kind):
    path, load, look, value = files[kind]
    assert look(load(path)) == value


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_checksum_is_loaded(files, kind, tmp_path):
    path, load, look, value = files[kind]
    old = rewritten(path, tmp_path / "old.npz", lambda arrays: arrays.pop("checksum"))
    assert look(load(old)) == value


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_missing_or_additional_entry_is_found(files, kind, tmp_path):
    path, load, _, _ = files[kind]
    with np.load(path) as data:
        names = [n for n in data.files if n not in ("checksum", "format", "separation_kernel")]

    def nudge(arrays, name):
        array = arrays[name]
        arrays[name] = array.astype("U40") if array.dtype.kind == "U" else array[..., None]

    for name in names:
        for change in (lambda a, n=name: nudge(a, n), lambda a, n=name: a.pop(n)):
            with pytest.raises(ValueError, match=r"path: .*is damaged: its checksum"):
                load(rewritten(path, tmp_path / "bad.npz", change))
    with pytest.raises(ValueError, match="is damaged"):
        load(rewritten(path, tmp_path / "bad.npz", lambda a: a.update(more=np.zeros(1))))


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_entry_is_named_in_files_without_checksum(files, kind, tmp_path):
    path, load, _, _ = files[kind]
    entry = "matrix" if kind == "kernel" else "patterns"

    def change(arrays):
        del arrays["checksum"], arrays[entry]

    with pytest.raises(ValueError, match=rf"path: .*damaged: .*{entry}"):
        load(rewritten(path, tmp_path / "bad.npz", change))


@pytest.mark.parametrize("kind", KINDS)
def test_another_version_is_named(files, kind, tmp_path):
    path, load, _, _ = files[kind]

    def change(arrays):
        key = "separation_kernel" if kind == "kernel" else "format"
        arrays[key] = np.array("hopfix 99")

    with pytest.raises(ValueError, match="of this version of hopfix: got format 'hopfix 99'"):
        load(rewritten(path, tmp_path / "new.npz", change))


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_and_flipped_files_are_refused(files, kind, tmp_path):
    """At every length and with any byte changed: ValueError, or the very same content."""
    path, load, look, value = files[kind]
    whole, target = path.read_bytes(), tmp_path / "bad.npz"
    rng = np.random.default_rng(1)
    lengths = [0, 1, 4, 30, len(whole) // 2, len(whole) - 1, *rng.integers(len(whole), size=20)]
    for length in lengths:
        target.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="path: "):
            load(target)
    refused = []
    for place in rng.integers(len(whole), size=60):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << rng.integers(8)
        target.write_bytes(spoilt)
        try:
            assert look(load(target)) == value  # a byte that says nothing, as a time
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert all("path: " in message for message in refused)


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_files_are_refused_and_nothing_is_unpickled(files, kind, tmp_path):
    _, load, _, _ = files[kind]
    others = [path for name, (path, *_) in files.items() if name != kind]
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("patterns")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme", "hello")
    np.savez(tmp_path / "pickled.npz", format=np.array([{"a": 1}], dtype=object))
    for path in [*others, *tmp_path.iterdir()]:
        with pytest.raises(ValueError, match=r"path: .*not a file written by"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.npz")


def test_a_header_that_promises_too_much_is_refused(files, tmp_path):
    path, load, _, _ = files["points"]
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "big.npz", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "states.npy":
                old = content[: content.index(b"\n")]
                new = old.replace(b"'shape': (", b"'shape': (99999999999, ").rstrip()
                content = new.ljust(len(old))[: len(old)] + content[len(old) :]
            target.writestr(name, content)
    with pytest.raises(ValueError, match="path: "):
        load(tmp_path / "big.npz")


def test_a_write_that_fails_keeps_the_old_file(files, tmp_path, monkeypatch):
    path = tmp_path / "kept.npz"
    _files.replace_archive(path, {"a": np.arange(3)})
    before = path.read_bytes()

    def fails(file, arrays, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files, "write_archive", fails)
    with pytest.raises(OSError, match="No space"):
        _files.replace_archive(path, {"a": np.arange(4)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["kept.npz"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_files_have_the_mode_of_new_files(tmp_path):
    _files.replace_archive(tmp_path / "a.npz", {"a": np.arange(3)})
    (tmp_path / "b").touch()
    assert (tmp_path / "a.npz").stat().st_mode == (tmp_path / "b").stat().st_mode


WRITER = """
import sys
import numpy as np
from hopfix._files import replace_archive
print("ready", flush=True)
while True:
    for value in (1, 2):
        replace_archive(sys.argv[1], {"format": np.array("test"), "a": np.full(50_000, value)})
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_process_killed_at_any_moment_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.npz"
    rng = np.random.default_rng(2)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as run:
            assert run.stdout.readline() == b"ready\n"
            while not path.exists():
                time.sleep(0.001)
            time.sleep(rng.uniform(0.0, 0.05))
            run.send_signal(signal.SIGKILL)
        with _files.open_archive(path, "test", "nobody") as data:
            assert len(set(data["a"].tolist())) == 1
