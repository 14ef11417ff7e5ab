"""Strategies for arguments as nobody should pass them, for some that are fine, and what is claimed.

HOPFIX_FUZZ_EXAMPLES=20000 draws as many per test at random, instead of a few that stay the same.
"""

import os
import time

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("HOPFIX_FUZZ_EXAMPLES", "25"))
# Of a call on a handful of numbers, in CPU time: more is a hang, however busy the machine is.
SECONDS = float(os.environ.get("HOPFIX_FUZZ_SECONDS", "1"))
MEANT = (TypeError, ValueError, MemoryError)

DTYPES = [
    *("?", "i1", "u1", "<i4", ">i8", "u8", "f4", "<f4", ">f4", "f8", ">f8", "f2", "g"),
    *("F", "D", "O", "U3", "S2", "M8[s]", "m8[s]", "V4", [("a", "f8")]),
]
NUMBERS = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 1e-3, 100.0),
    *(5e-324, 1e-310, 2.2e-308, 1e-160, 1e-45, 1e-38, 1e38, 1e150, 1e160, 1.7e308),
    *(np.inf, -np.inf, np.nan),
]
SCALARS = [
    *NUMBERS,
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        7,
        10**30,
        -(10**400),
        1j,
        "",
        "softmax",
        b"x",
        [],
        [1.0],
        {},
    ),
    *(np.float32(2), np.float64(2), np.int8(-3), np.array(2.0), np.array([2.0]), object()),
]

fuzz = settings(
    max_examples=EXAMPLES,
    derandomize="HOPFIX_FUZZ_EXAMPLES" not in os.environ,  # the suite repeats what it has passed
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)


def survives(call):
    """What the call returns; None where it raises what is meant. No crash, no hang, no warning."""
    start, result, message = time.process_time(), None, "none"
    try:
        result = call()
    except MEANT as error:
        message = str(error)
    seconds = time.process_time() - start
    assert message
    assert "bad_alloc" not in message
    assert seconds < SECONDS
    return result


numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(-3, 3))
scalars = st.one_of(st.sampled_from(SCALARS), st.floats(0.1, 10))


def laid_out(array, layout):
    """The same content in memory of another kind."""
    if layout == "Fortran":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[..., ::-1] if array.ndim else array
    if layout == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "broadcast" and array.ndim and array.shape[0]:
        return np.broadcast_to(array[:1], array.shape)
    if layout == "unaligned" and not array.dtype.hasobject:
        raw = np.zeros(array.nbytes + 1, np.uint8)
        raw[1:] = np.frombuffer(array.tobytes(), np.uint8)
        return raw[1:].view(array.dtype).reshape(array.shape) if array.size else array
    if layout == "read-only":
        array.flags.writeable = False
    if layout == "list":
        return array.tolist()
    if layout == "matrix" and array.ndim == 2:
        return array.view(np.matrix)
    if layout == "masked":
        return np.ma.masked_array(array)
    return array


LAYOUTS = [
    *("plain", "plain", "Fortran", "reversed", "strided", "broadcast", "unaligned", "read-only"),
    *("list", "matrix", "masked"),
]


@st.composite
def arrays(draw, shapes, dtypes=DTYPES, elements=numbers):
    """An array of one of the shapes, of any kind."""
    shape = draw(shapes)
    count = int(np.prod(shape))
    values = np.array(draw(st.lists(elements, min_size=count, max_size=count)), float)
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    with np.errstate(all="ignore"):
        try:
            array = values.reshape(shape).astype(dtype)
        except (TypeError, ValueError):
            array = np.zeros(shape, dtype)
    return laid_out(array, draw(st.sampled_from(LAYOUTS)))


any_shape = st.lists(st.integers(0, 4), max_size=3).map(tuple)
hostile = st.one_of(arrays(any_shape), scalars)


def good(*shape):
    """Arrays of numbers that are accepted, of every size of number."""
    return arrays(
        st.just(shape),
        ["f8", "f8", "f4", ">f8", "i4"],
        st.one_of(st.floats(-3, 3), st.sampled_from(NUMBERS[:-3])),
    )
