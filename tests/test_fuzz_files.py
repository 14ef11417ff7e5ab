"""Files as nobody should write them: read right, or refused in one line that names the file."""

import contextlib
import csv
import io
import json
import os
import socket
import stat
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hostile import SECONDS, fuzz
from hypothesis import given
from hypothesis import strategies as st

import hopfix
from hopfix.branches import Branches
from hopfix.cli import main
from hopfix.cli.reading import InputError, read_patterns
from hopfix.faces import CriticalFaces, critical_faces
from hopfix.fixed_points import FixedPoints
from hopfix.kernel import SeparationKernel
from hopfix.sharded import FileShard, ShardedHopfield

for name in ("click", "rich", "tqdm"):
    pytest.importorskip(name)

MOST_MEMORY = 32 << 20  # all files here are small

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")

ARRAY = np.random.default_rng(0).normal(size=(4, 3))


# What may come out


@contextlib.contextmanager
def bounded():
    """Neither a long time nor memory as a file claims it."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < MOST_MEMORY


def command(path):
    """Exit code, output and errors of a command that reads the file twice."""
    arguments = ["retrieve", str(path), str(path), "--queries-key", "patterns", "--beta", "1"]
    arguments += ["--max-steps", "2", "--json"]
    out, err = io.StringIO(), io.StringIO()
    with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def read_or_refused(path):
    """The array; None where the command ends with code 2 and one line that names the file."""
    code, out, err = command(path)
    if code == 2:
        assert out == ""
        assert err.startswith("hopfix: ")
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert str(path) in err
        assert len(err) < 600
        assert "Traceback" not in err
        return None
    assert code in (0, 1)
    assert err == ""
    array = read_patterns(path)
    assert array.ndim == 2
    assert array.size
    assert np.isfinite(array).all()
    return array


def by_numpy(content, suffix):
    """What NumPy reads of it."""
    if suffix == ".npz":
        content = zipfile.ZipFile(io.BytesIO(content)).read("patterns.npy")
    return np.load(io.BytesIO(content), allow_pickle=False)


def check(folder, content, suffix):
    path = folder / f"a{suffix}"
    path.write_bytes(content)
    array = read_or_refused(path)
    if array is not None:
        np.testing.assert_array_equal(array, by_numpy(content, suffix))
    return array


# Files that were good once


def saved(array, save=np.save, **options):
    stream = io.BytesIO()
    if save is np.save:
        np.save(stream, array)
    else:
        save(stream, patterns=array, **options)
    return stream.getvalue()


GOOD = {
    ".npy": [
        saved(ARRAY),
        saved(np.asfortranarray(ARRAY)),
        saved(ARRAY.astype(">f4")),
        saved(np.arange(6).reshape(2, 3)),
        saved(np.eye(2, dtype=bool)),
    ],
    ".npz": [
        saved(ARRAY, np.savez),
        saved(ARRAY, np.savez_compressed, other=np.zeros(3), word=np.array("x")),
        saved(np.zeros((200, 50)), np.savez_compressed),
    ],
    ".csv": [
        b"0.5,1\n2,3\n4,5\n",
        "\ufeffx, y\r\n0,1\r\n2,3\r\n".encode(),
        b'"a","b"\n"1","2"\n3,4e-3 # note\n\n# a comment\n',
    ],
}


@st.composite
def spoilt(draw, contents):
    """One of the contents after cuts, flips, insertions, repetitions."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        size = len(content)
        start = draw(st.integers(0, size))
        end = draw(st.integers(start, min(size, start + 40)))
        change = draw(
            st.sampled_from(["cut", "flip", "flip", "byte", "insert", "drop", "repeat", "join"])
        )
        if change == "cut":
            del content[start:]
        elif change == "flip" and start < size:
            content[start] ^= 1 << draw(st.integers(0, 7))
        elif change == "byte" and start < size:
            content[start] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, *b"0129,\"'(){}\n"]))
        elif change == "insert":
            content[start:start] = draw(st.binary(max_size=12))
        elif change == "drop":
            del content[start:end]
        elif change == "repeat":
            content[start:start] = content[start:end]
        elif change == "join":
            content += draw(st.sampled_from(contents))
    return bytes(content)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@fuzz
@given(data=st.data())
def test_spoilt_arrays(tmp_path, suffix, data):
    check(tmp_path, data.draw(spoilt(GOOD[suffix])), suffix)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
@fuzz
@given(content=st.binary(max_size=200))
def test_bytes(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    read_or_refused(path)


def test_the_contents_are_good(tmp_path):
    for suffix, contents in GOOD.items():
        for content in contents:
            path = tmp_path / f"a{suffix}"
            path.write_bytes(content)
            assert read_or_refused(path) is not None


# Headers


DESCRIPTIONS = [
    *("'<f8'", "'<f8'", "'<f4'", "'>f8'", "'<i4'", "'|b1'", "'|u1'", "'<u8'", "'<f2'", "'<f16'"),
    *("'|O'", "'<c16'", "'<M8[s]'", "'<m8[ns]'", "'<U3'", "'<U0'", "'|S5'", "'|V8'", "'|V0'"),
    *("[('a', '<f8')]", "[('a', '|O')]", "('<f8', (2, 3))", "'<f8,<f8'", "'nonsense'", "''"),
    *("None", "3", "'<f99999999999'", "[('a', '<f8', (1000000000,))]", "[[[[['<f8']]]]]"),
    *("'<f8' + '<f8'", "__import__('os').abort()", "'datetime64'", "('O', {'a': 1})"),
    "'<V2147483647'",
]  # fmt: skip
SHAPES = [
    *("(4, 3)", "(2, 6)", "(12,)", "()", "(0, 3)", "(3, 0)", "(2, 2, 3)", "(1, 12)", "(12, 1)"),
    *("(-4, -3)", "(-1, 3)", "(4.0, 3)", "(True, 12)", "[4, 3]", "4", "None", "(4L, 3L)"),
    *("(99999999999, 3)", "(9223372036854775807, 2)", "(4294967296, 4294967296)", f"({10**40}, 1)"),
    *("(0, 99999999999)", "(4, 3" + ", 1" * 70 + ")", "(" * 90 + "4, 3" + ")" * 90, "('4', 3)"),
]
ORDERS = ["False", "False", "True", "None", "0", "'C'"]
HEADERS = [
    "{{'descr': {0}, 'fortran_order': {1}, 'shape': {2}, }}",
    "{{'descr': {0}, 'fortran_order': {1}, 'shape': {2}, 'more': 1}}",
    "{{'descr': {0}, 'fortran_order': {1}}}",
    "{{'descr': {0}, 'fortran_order': {1}, 'shape': {2}",
    "[{0}, {1}, {2}]",
    "{0}",
    "",
    "\x00",
    "é{0}{1}{2}",
]
VERSIONS = [(1, 0), (1, 0), (1, 0), (2, 0), (3, 0), (0, 0), (9, 9), (255, 255)]


@st.composite
def headed(draw):
    """A .npy file with a header of any kind, and a body of about the size that fits (4, 3)."""
    text = draw(st.sampled_from(HEADERS[:1] * 6 + HEADERS)).format(
        draw(st.sampled_from(DESCRIPTIONS)),
        draw(st.sampled_from(ORDERS)),
        draw(st.sampled_from(SHAPES)),
    )
    major, minor = draw(st.sampled_from(VERSIONS))
    header = text.encode("utf-8" if major == 3 else "latin1")
    header += b" " * draw(st.sampled_from([0, 7, 64, 9000, 70_000])) + b"\n"
    length = draw(st.sampled_from([len(header)] * 6 + [0, 1, 65535, 2**31, 2**32 - 1]))
    size = struct.pack("<H", length % 65536) if major == 1 else struct.pack("<I", length)
    body = draw(st.sampled_from([96, 96, 96, 48, 12, 24, 0, 95, 97, 192]))
    return b"\x93NUMPY" + bytes([major, minor]) + size + header + bytes(range(body))


@fuzz
@given(content=headed())
def test_headers(tmp_path, content):
    check(tmp_path, content, ".npy")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("patterns.npy", content)
    check(tmp_path, stream.getvalue(), ".npz")


@pytest.mark.parametrize("description", DESCRIPTIONS)
@pytest.mark.parametrize("shape", ["(99999999999, 3)", "(4294967296, 4294967296)", f"({10**40},)"])
def test_a_claim_is_not_believed(tmp_path, description, shape):
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(96)
    assert check(tmp_path, content, ".npy") is None


@pytest.mark.parametrize("shape", ["(True, 12)", "(-4, -3)", "(4, 3" + ", 1" * 70 + ")"])
def test_shapes_that_fit_and_are_none(tmp_path, shape):
    header = f"{{'descr': '|b1', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(12)
    assert check(tmp_path, content, ".npy") is None


@posix
def test_a_claim_that_a_hole_fills_is_not_believed(tmp_path):
    """A file of 2^42 bytes that takes no place on the disk."""
    path = tmp_path / "a.npy"
    shape = (2**22, 2**17)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": shape}
        )
        try:
            file.truncate(file.tell() + 2**42)
        except OSError:
            pytest.skip("the file system has no such files")
    assert read_or_refused(path) is None
    path.rename(tmp_path / "a.csv")
    assert read_or_refused(tmp_path / "a.csv") is None


# Archives

NAMES = [
    *("patterns.npy", "patterns.npy", "patterns.npy", "patterns", "PATTERNS.npy", "a/patterns.npy"),
    *("../patterns.npy", "/patterns.npy", "patterns.npy/", "..\\patterns.npy", "patterns.npy.npy"),
    *("", ".npy", "\n.npy", "\x1b[31m.npy", "ü.npy", "x" * 3000 + ".npy"),
]
KINDS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@st.composite
def zipped(draw):
    """An archive of entries with any names, some packed in unusual ways, with changed fields."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=0, max_size=4, unique=True)):
            content = draw(st.one_of(st.sampled_from(GOOD[".npy"]), headed(), st.binary()))
            archive.writestr(zipfile.ZipInfo(name), content, draw(st.sampled_from(KINDS)))
    content = bytearray(stream.getvalue())
    if draw(st.booleans()):  # central directory: flags, method, CRC, sizes, lengths, offset
        place = content.find(b"PK\x01\x02")
        if place >= 0:
            offset = draw(st.sampled_from([4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 36, 42]))
            value = draw(st.sampled_from([0, 1, 2, 8, 99, 2**16 - 1, 2**31, 2**32 - 1, 10**9]))
            form = "<I" if offset in (16, 20, 24, 42) else "<H"
            struct.pack_into(form, content, place + offset, value % 256 ** struct.calcsize(form))
    return bytes(content)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@fuzz
@given(content=zipped())
def test_archives(tmp_path, content):
    check(tmp_path, content, ".npz")
    inside = {path.name for path in tmp_path.iterdir()}
    assert inside == {"a.npz"}  # nothing is extracted


def bomb(size, name="patterns.npy", claim=None):
    """An archive of zeros, a thousandth of the size they claim."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    header = io.BytesIO()
    shape = ((size if claim is None else claim) // 8, 1)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    zeros = bytes(1 << 20)
    packed = packer.compress(header.getvalue())
    packed += b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()
    return packed, len(header.getvalue()) + size


def archive_of(packed, claimed, copies=1):
    """A .npz whose directory claims so many bytes for its entries, which share theirs."""

    def entry(signature, number, extra=b""):
        name = f"patterns{number or ''}.npy".encode()
        fields = struct.pack(
            "<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(packed), min(claimed, 2**32 - 2), len(name), 0
        )
        version = struct.pack("<H", 20) if signature == b"PK\x01\x02" else b""
        return signature + version + fields + extra + name

    local = entry(b"PK\x03\x04", 0)
    directory = b"".join(
        entry(b"PK\x01\x02", k, struct.pack("<HHHII", 0, 0, 0, 0, 0)) for k in range(copies)
    )
    end = struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, copies, copies, len(directory), len(local) + len(packed), 0
    )
    return local + packed + directory + end


def test_bombs(tmp_path):
    packed, claimed = bomb(1 << 20)
    path = tmp_path / "a.npz"
    # Claims more than such a file can hold, in its directory and in its header; shares its bytes.
    for content in (
        archive_of(packed, 1 << 31),
        archive_of(bomb(1 << 20, claim=1 << 40)[0], claimed),
        archive_of(bomb(1 << 20, claim=1 << 31)[0], 1 << 31),
        archive_of(packed, claimed, copies=500),
    ):
        path.write_bytes(content)
        assert read_or_refused(path) is None
        for load in (FixedPoints.load, Branches.load, CriticalFaces.load, SeparationKernel.load):
            with bounded(), pytest.raises(ValueError, match="path: "):
                load(path)


def test_a_bomb_inside_a_header(tmp_path):
    """Megabytes of blanks where a header should end."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1)" + b" " * (1 << 27)
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("patterns.npy", content)
    assert read_or_refused(tmp_path / "a.npz") is None


def test_an_encrypted_entry(tmp_path):
    content = bytearray(GOOD[".npz"][0])
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    assert check(tmp_path, bytes(content), ".npz") is None


def test_many_names_are_not_all_told(tmp_path, capsys):
    path = tmp_path / "a.npz"
    np.savez(path, **{f"array{k}": np.zeros(1) for k in range(300)})
    assert main(["retrieve", str(path), str(path), "--beta", "1"]) == 2
    line = capsys.readouterr().err
    assert "needs the key 'patterns', has ['array0'," in line
    assert len(line) < 500


# Text

FIELDS = [
    *("0", "1", "-2.5", "1e3", " 4 ", "+7", ".5", "6.", "007", '"8"', '" 9"', "1e-400"),
    *("nan", "inf", "-Infinity", "1e400", "", " ", "x", "1 2", "1;2", "0x10", "1_0", "1d3", "1+2j"),
    *('"', '""', '"1', '1"', '"1,2"', "'3'", "١", "½", "−1", "\t5", "\x0c", "1#2", "#", "\\N"),
    *("9" * 400, "0." + "3" * 5000, "\ufeff1", "\u20281", "1e99999999999"),
]  # fmt: skip
PLAIN = ["0", "1", "-2.5", "1e3", "4", '"8"', "6."]


@st.composite
def tables(draw):
    """Lines of fields, mostly of one length and mostly numbers."""
    width = draw(st.integers(1, 4))
    field = st.one_of(*[st.sampled_from(PLAIN)] * 6, st.sampled_from(FIELDS))
    row = st.lists(field, min_size=width, max_size=width)
    rows = draw(st.lists(st.one_of(*[row] * 6, st.lists(field, max_size=5)), max_size=6))
    if draw(st.booleans()):
        rows.insert(0, draw(st.lists(st.sampled_from(["x", '"y"', "z 1", ""]), max_size=width)))
    lines = [",".join(row) for row in rows]
    at = draw(st.integers(0, len(lines)))
    lines[at:at] = draw(st.lists(st.sampled_from(["", "  ", "# note", " #", ",", '"']), max_size=2))
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines)
    encoding = draw(st.sampled_from(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "latin1", "cp1252"]))
    return text.encode(encoding, errors="replace")


def by_hand(content):
    """The rows of numbers, by the csv module and float."""
    lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    lines = [line.partition("#")[0] for line in lines if line and not line.startswith("#")]
    with contextlib.suppress(ValueError):
        return [[float(field) for field in row] for row in csv.reader(lines)]
    return [[float(field) for field in row] for row in csv.reader(lines[1:])]  # after a header


@fuzz
@given(content=st.one_of(tables(), spoilt(GOOD[".csv"])))
def test_tables(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    array = read_or_refused(path)
    if array is not None:
        np.testing.assert_array_equal(array, by_hand(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2\n3\n", "line 2: got 1 numbers, need 2 as in line 1"),
        (b"x,y\n\n1,2\n3,4,5\n", "line 4: got 3 numbers, need 2 as in line 3"),
        (b"1,2\n3,a\n", "line 2: got 'a', need a number"),
        (b"1,,2\n3,4,5\n", "line 1: got nothing between commas, need a number"),
        (b",0,1\n0,2,3\n", "line 1: got nothing between commas"),
        (b"1,nan\n", "must be finite, got nan in row 0, column 1"),
        (b"1,1e999\n", "must be finite, got inf in row 0, column 1"),
        (b"x,y\n", "holds no numbers, need rows of them with commas between"),
        (b"1;2\n3;4\n", "line 2: got '3;4', need a number"),
        (b"", "holds no numbers"),
        (b"\n\r\n# x\n", "holds no numbers"),
        (b"\xef\xbb\xbf", "holds no numbers"),
        ("1,2\n".encode("utf-16"), "must be text, has bytes 0"),
        (b"1,2\n\xff\n", "must be text in UTF-8, has byte 4 that is not"),
        (b"1," + b"z" * 9999, "holds no numbers"),
        (b"1,1\n1," + b"z" * 9999, "line 2: got 'zzz"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert read_or_refused(path) is None
    with pytest.raises(InputError) as caught:
        read_patterns(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"5\n6\n", [[5], [6]]),
        (b"1,2", [[1, 2]]),
        (b'"1","2"\n"3","4"', [[1, 2], [3, 4]]),
        ("\ufeff1,2\r\n3,4\r\n".encode(), [[1, 2], [3, 4]]),
        (b"a,b\r1,2\r", [[1, 2]]),
        (b"1,2 # note\n 3 , 4 \n", [[1, 2], [3, 4]]),
        (b"1e-400,2\n", [[0, 2]]),
    ],
)
def test_tables_that_are_read(tmp_path, content, rows):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    assert read_or_refused(path).tolist() == rows


# What is not a file


LOADERS = [FixedPoints.load, Branches.load, CriticalFaces.load, SeparationKernel.load]


def refused_by_all(path):
    assert read_or_refused(path) is None
    for load in LOADERS:
        with bounded(), pytest.raises((ValueError, OSError)) as caught:
            load(path)
        assert str(path) in str(caught.value)


@posix
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
def test_pipes_devices_and_sockets(tmp_path, suffix, monkeypatch):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    os.mkfifo(tmp_path / f"fifo{suffix}")
    for device in ("zero", "null", "random"):
        (tmp_path / f"{device}{suffix}").symlink_to(f"/dev/{device}")
    (tmp_path / f"loop{suffix}").symlink_to(f"loop{suffix}")
    (tmp_path / f"nothing{suffix}").symlink_to("nowhere")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"empty{suffix}").touch()
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"socket{suffix}")
        for path in sorted(tmp_path.iterdir()):
            refused_by_all(path)


@posix
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root reads everything")
def test_files_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(GOOD[".npz"][0])
    path.chmod(stat.S_IWUSR)
    refused_by_all(path)


@pytest.mark.parametrize("value", [1e308, 1e160, 1e-310, 5e-324])
def test_huge_and_tiny_numbers(tmp_path, value):
    for suffix, save in ((".npy", np.save), (".csv", np.savetxt)):
        path = tmp_path / f"a{suffix}"
        save(path, value * np.eye(3), **({"delimiter": ","} if suffix == ".csv" else {}))
        array = read_or_refused(path)
        assert (array is None) == (value > 1)


# Results


def results():
    patterns = np.random.default_rng(0).standard_normal((5, 3))
    net = hopfix.Hopfield(patterns, 3.0)
    return [
        (net.fixed_points("starts"), FixedPoints.load),
        (net.follow(2.0), Branches.load),
        (critical_faces(patterns), CriticalFaces.load),
        (SeparationKernel(steps=3, seed=0).fit(patterns), SeparationKernel.load),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of every kind, with what loads it."""
    folder, kinds = tmp_path_factory.mktemp("files"), []
    for number, (result, load) in enumerate(results()):
        path = folder / f"{number}.npz"
        result.save(path)
        kinds.append((path.read_bytes(), load))
    return kinds


def loaded_or_refused(path, load):
    """What was loaded, None where it is refused by name."""
    message, result = None, None
    with bounded():
        try:
            result = load(path)
        except (ValueError, MemoryError) as error:
            message = str(error)
    assert message is None or f"path: {path}" in message
    return result


@pytest.mark.parametrize("kind", range(4))
@fuzz
@given(data=st.data())
def test_spoilt_results(tmp_path, files, kind, data):
    content, load = files[kind]
    path = tmp_path / "a.npz"
    path.write_bytes(data.draw(spoilt([content])))
    loaded_or_refused(path, load)


HOSTILE = [
    *(np.float64(0), np.empty(0), np.empty((0, 3)), np.zeros(3), np.full((5, 3), np.nan)),
    *(np.array(""), np.array("nonsense"), np.array(["a", "b"]), np.array("[" * 5000)),
    *(np.array("{}"), np.array("null"), np.array('{"form": 1}'), np.array(10**18), np.array(-1)),
    *(np.array([1e308, -1e308]), np.array([[10**12]]), np.array([-5, 10**18]), np.array(b"x")),
    *(np.array("2020", "M8[Y]"), np.array([True, False]), np.zeros((2, 2, 2), np.complex128)),
    *(np.full((5, 3), np.inf), np.array([2**62, 2**62]), np.frombuffer(b"\xff" * 8, "<U2")),
]


CHANGES = ["other", "other", "drop", "short", "long", "flat", "kind"]


@pytest.mark.parametrize("kind", range(4))
@fuzz
@given(data=st.data())
def test_results_with_other_arrays(tmp_path, files, kind, data):
    """Without checksum, as old files, or as whoever computes it anew writes them."""
    content, load = files[kind]
    with np.load(io.BytesIO(content)) as given_arrays:
        arrays = {name: given_arrays[name] for name in given_arrays.files}
    del arrays["checksum"]
    names = st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=2, unique=True)
    for name in data.draw(names):
        array, change = arrays[name], data.draw(st.sampled_from(CHANGES))
        other = data.draw(st.sampled_from(HOSTILE))
        if change == "drop":
            del arrays[name]
        elif change == "other" or not array.ndim:
            arrays[name] = other
        else:
            arrays[name] = {
                "short": array[:-1],
                "long": np.concatenate([array, array[:1]]),
                "flat": array.ravel(),
                "kind": array.astype("f4" if array.dtype.kind in "fi" else "U1"),
            }[change]
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    result = loaded_or_refused(path, load)
    if result is not None:
        repr(result)
        if kind == 3:
            assert (
                result.transform(np.zeros(result.matrix.shape[1])).shape == result.matrix.shape[:1]
            )
        else:
            json.dumps(result.to_dict(), allow_nan=False)
            list(result.branches if kind == 1 else result)


@pytest.mark.parametrize("kind", range(4))
def test_no_entry_of_another_shape_or_kind_is_loaded(tmp_path, files, kind):
    content, load = files[kind]
    with np.load(io.BytesIO(content)) as given_arrays:
        arrays = {name: given_arrays[name] for name in given_arrays.files}
    del arrays["checksum"]
    free = ("loss_history", "log_weights", "terms_log_weights", "terms_offsets", "undecided")
    path, tried = tmp_path / "a.npz", 0
    for name, array in arrays.items():
        if array.size < 2 or name.startswith(free):
            continue
        flat = array.ravel() if array.ndim > 1 else array[:, None]
        wrong = np.array(["x"] * len(array)) if array.dtype.kind != "U" else np.zeros(len(array))
        shorter = [array[:-1]] if name != "matrix" and (kind, name) != (1, "patterns") else []
        for other in (flat, np.array(1.5), wrong, np.array("x"), *shorter):
            np.savez(path, **{**arrays, name: other})
            with pytest.raises(ValueError, match=r"path: .*a\.npz is damaged: "):
                load(path)
            tried += 1
    assert tried > (3 if kind == 3 else 20)


@fuzz
@given(content=st.one_of(headed(), spoilt(GOOD[".npy"]), spoilt(GOOD[".npz"])))
def test_shards_of_any_file(tmp_path, content):
    """Read as NumPy reads it, or refused by name."""
    path = str(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(content)
    message, store = "", None
    with bounded():
        try:
            store = ShardedHopfield([FileShard(path)], 1.0)
            store.update(np.zeros(store.update(ARRAY[:1, : store._dim]).shape))
        except (ValueError, TypeError) as error:
            message = str(error)
    assert store is not None or path in message


@posix
def test_shards_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "fifo.npy")
    (tmp_path / "zero.npy").symlink_to("/dev/zero")
    np.savez(tmp_path / "archive.npz", np.eye(2))
    np.save(tmp_path / "number.npy", np.float64(1))
    np.save(tmp_path / "object.npy", np.array([[{}]]), allow_pickle=True)
    for path in sorted(tmp_path.iterdir()):
        with bounded(), pytest.raises(ValueError, match=r"shards: .*is not an \.npy file of rows"):
            ShardedHopfield([FileShard(str(path))], 1.0)
