"""Arrays of other libraries on the CPU: in and out without copies, in the kind of the caller."""

import subprocess
import sys

import array_api_strict as strict
import numpy as np
import pytest

import hopfix
from hopfix._interchange import as_host_view

RNG = np.random.default_rng(3)
PATTERNS = RNG.normal(size=(6, 4))
PATTERNS /= np.linalg.norm(PATTERNS, axis=1, keepdims=True)
STATES = RNG.normal(size=(2, 3, 4))
TANGENTS = RNG.normal(size=(2, 3, 4))
NUMPY = hopfix.Hopfield(PATTERNS, 4.0)
UNITS = np.sign(PATTERNS)
FEATURES = hopfix.performer.RandomFeatures(4, 64, seed=0)
PERFORMER = hopfix.performer.Performer(PATTERNS, 0.25, FEATURES)


def torch_kind():
    torch = pytest.importorskip("torch")
    return torch.from_numpy, torch.Tensor, lambda tensor: tensor.data_ptr()


def strict_kind():
    address = lambda array: np.asarray(array).ctypes.data  # noqa: E731
    return strict.asarray, type(strict.asarray(1.0)), address


@pytest.fixture(params=[torch_kind, strict_kind], ids=["torch", "array_api_strict"])
def kind(request):
    """Of one library: make an array from NumPy's, the type, and the address of its numbers."""
    return request.param()


def check(result, expected, of_type):
    """The same numbers, dtypes and shapes, as arrays of the caller's kind."""
    if isinstance(expected, tuple):
        assert isinstance(result, tuple)
        for one, other in zip(result, expected, strict=True):
            check(one, other, of_type)
        return
    assert isinstance(result, of_type)
    seen = np.asarray(result)
    assert seen.dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(seen, expected)


ONE_ARGUMENT = {
    "update": NUMPY.update,
    "weights": NUMPY.weights,
    "energy": NUMPY.energy,
    "jacobian": NUMPY.jacobian,
    "spectral_radius": NUMPY.spectral_radius,
    "softmax": hopfix.separation.softmax,
    "sparsemax": hopfix.separation.sparsemax,
    "entmax": lambda z: hopfix.separation.entmax(z, 1.5),
    "topk": lambda z: hopfix.separation.topk(z, 2),
    "polynomial": lambda z: hopfix.separation.polynomial(z, n=2),
    "conjugate": hopfix.separation.softmax.conjugate,
    "continuous": hopfix.classical.ContinuousHopfield(PATTERNS).update,
    "continuous jacobian": hopfix.classical.ContinuousHopfield(PATTERNS).jacobian,
    "features": lambda z: hopfix.performer.RandomFeatures(4, 8, seed=0).transform(z),
    "mask": lambda images: hopfix.queries.random_mask(images, seed=2),
    "noise": lambda images: hopfix.queries.gaussian_noise(images, level=0.1),
}


@pytest.mark.parametrize("call", ONE_ARGUMENT.values(), ids=ONE_ARGUMENT.keys())
def test_calls_answer_in_kind(call, kind):
    make, of_type, _ = kind
    check(call(make(STATES)), call(STATES), of_type)


def test_a_single_state_gives_an_array_without_axes(kind):
    make, of_type, _ = kind
    check(NUMPY.energy(make(STATES[0, 0])), np.asarray(NUMPY.energy(STATES[0, 0])), of_type)


def test_derivatives_answer_in_kind(kind):
    make, of_type, _ = kind
    states, tangents = make(STATES), make(TANGENTS)
    check(NUMPY.jvp(states, t=tangents), NUMPY.jvp(STATES, TANGENTS), of_type)
    wrt = ("states", "patterns", "beta", "log_weights")
    check(NUMPY.vjp(states, tangents, wrt), NUMPY.vjp(STATES, TANGENTS, wrt), of_type)
    ends = NUMPY.retrieve(STATES).states
    check(
        NUMPY.vjp_fixed_point(make(ends), tangents),
        NUMPY.vjp_fixed_point(ends, TANGENTS),
        of_type,
    )


def test_results_of_queries_follow_their_kind(kind):
    make, of_type, _ = kind
    found, expected = NUMPY.retrieve(make(STATES)), NUMPY.retrieve(STATES)
    for name in ("states", "steps", "converged", "residual"):
        check(getattr(found, name), getattr(expected, name), of_type)
    proved, known = NUMPY.certify(found.states), NUMPY.certify(expected.states)
    for name in ("certified", "radius", "uniqueness_radius", "morse_index", "spectral_bounds"):
        check(getattr(proved, name), getattr(known, name), of_type)
    assert proved.reasons == known.reasons


def test_classical_networks_answer_in_kind(kind):
    make, of_type, _ = kind
    binary, same = hopfix.classical.BinaryHopfield(make(UNITS)), UNITS[:2]
    check(binary.energy(make(same)), binary.energy(same), of_type)
    check(binary.retrieve(make(same)).states, binary.retrieve(same).states, of_type)
    check(binary.retrieve(make(same)).converged, binary.retrieve(same).converged, object)


def test_faces_kernels_and_performers_take_every_kind(kind):
    make, of_type, _ = kind
    faces, few = np.array([[0, 1], [2, 3]]), PATTERNS[:4]
    check(
        hopfix.faces.cips_margin(make(PATTERNS), make(faces)).lower,
        hopfix.faces.cips_margin(PATTERNS, faces).lower,
        of_type,
    )
    check(
        hopfix.faces.is_cips(make(PATTERNS), faces), hopfix.faces.is_cips(PATTERNS, faces), of_type
    )
    assert hopfix.faces.critical_faces(make(PATTERNS)).counts == (
        hopfix.faces.critical_faces(PATTERNS).counts
    )
    gradient = hopfix.kernel.separation_gradient
    check(gradient(make(PATTERNS), make(few)), gradient(PATTERNS, few), of_type)
    learned = hopfix.kernel.SeparationKernel(4, seed=0, steps=3).fit(make(PATTERNS))
    known = hopfix.kernel.SeparationKernel(4, seed=0, steps=3).fit(PATTERNS)
    assert np.array_equal(learned.matrix, known.matrix)
    features = hopfix.performer.RandomFeatures(4, 64, seed=0)
    performer = hopfix.performer.Performer(make(PATTERNS), 0.25, features)
    check(performer.update(make(few)), performer.update(few), of_type)
    check(performer.error_estimate(make(few)), performer.error_estimate(few), of_type)


def test_networks_are_made_of_every_kind_and_dtype(kind, dtype):
    make, of_type, _ = kind
    rows, b = PATTERNS.astype(dtype), np.arange(6).astype(dtype) / 9
    net = hopfix.Hopfield(
        make(rows), 4.0, log_weights=make(b), similarity=make(np.eye(4, dtype=dtype))
    )
    same = hopfix.Hopfield(rows, 4.0, log_weights=b, similarity=np.eye(4, dtype=dtype))
    assert type(net) is hopfix.Hopfield
    assert isinstance(net.patterns, np.ndarray)
    states = STATES.astype(dtype)
    check(net.update(make(states)), same.update(states), of_type)
    assert isinstance(net.update(states), np.ndarray)
    assert isinstance(net.fixed_points().states, np.ndarray)


def test_arrays_go_in_and_out_without_a_copy(kind, monkeypatch):
    make, _, address = kind
    array = make(STATES)
    view = as_host_view("states", array, "a test")
    assert view.ctypes.data == address(array) == STATES.ctypes.data
    assert not view.flags.writeable
    made = []
    core = NUMPY._core
    monkeypatch.setattr(NUMPY, "_core", Recorder(core, made))
    assert address(NUMPY.update(array)) == made[0].ctypes.data


class Recorder:
    """The core, with a note of what its `update` has made."""

    def __init__(self, core, made):
        self.core, self.made = core, made

    def update(self, states, threads):
        self.made.append(self.core.update(states, threads))
        return self.made[-1]


def test_numpy_stands_beside_any_library(kind):
    make, of_type, _ = kind
    check(NUMPY.jvp(STATES, make(TANGENTS)), NUMPY.jvp(STATES, TANGENTS), of_type)
    check(NUMPY.jvp(make(STATES), TANGENTS.tolist()), NUMPY.jvp(STATES, TANGENTS), of_type)


def test_two_libraries_in_one_call():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"^t: .*beside states.*one library"):
        NUMPY.jvp(strict.asarray(STATES), torch.from_numpy(TANGENTS))


def test_tensors_that_require_gradients():
    torch = pytest.importorskip("torch")
    states = torch.from_numpy(STATES.copy()).requires_grad_()
    with pytest.raises(TypeError, match=r"^states: requires gradients.*hopfix\.torch"):
        NUMPY.update(states)
    check(NUMPY.update(states.detach()), NUMPY.update(STATES), torch.Tensor)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "complex64"])
def test_dtypes_that_networks_do_not_have(dtype):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=rf"^states: got dtype .*{dtype}"):
        NUMPY.update(torch.zeros(4, dtype=getattr(torch, dtype)))


AWAY = strict.asarray(PATTERNS, device=strict.Device("device1"))
HOST_ONLY = {
    "a host network": ("states", lambda: NUMPY.update(AWAY)),
    "derivatives": ("z", lambda: hopfix.separation.softmax.jvp(AWAY, AWAY)),
    "binary": ("patterns", lambda: hopfix.classical.BinaryHopfield(AWAY)),
    "fit": ("patterns", lambda: hopfix.kernel.SeparationKernel(4, seed=0).fit(AWAY)),
    "loss": ("patterns", lambda: hopfix.kernel.separation_loss(AWAY, PATTERNS)),
    "faces": ("patterns", lambda: hopfix.faces.critical_faces(AWAY)),
    "variance": ("a", lambda: FEATURES.relative_variance(AWAY, AWAY)),
    "a host performer": ("states", lambda: PERFORMER.update(AWAY)),
    "queries": ("images", lambda: hopfix.queries.random_mask(AWAY, seed=2)),
}


@pytest.mark.parametrize(("name", "call"), HOST_ONLY.values(), ids=HOST_ONLY)
def test_device_arrays_for_what_the_host_computes(name, call):
    with pytest.raises(TypeError) as caught:
        call()
    words = str(caught.value)
    assert words.startswith(f"{name}: got a array_api_strict Array on ")
    assert "device1" in words
    assert ", need an array in host memory, where " in words


def test_wrong_arguments_are_named_as_for_numpy(kind):
    make, _, _ = kind
    with pytest.raises(ValueError, match=r"^states: got shape"):
        NUMPY.update(make(STATES[..., :2].copy()))
    with pytest.raises(ValueError, match=r"^states: got nan at index \(0, 1\)"):
        NUMPY.update(make(np.array([[0, np.nan, 0, 0]])))
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        NUMPY.update(make(STATES), speed=1)


JAX = """
import os
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
import jax, numpy as np, hopfix
import jax.numpy as jnp
patterns = np.eye(4, dtype=np.float32)
net = hopfix.Hopfield(jnp.asarray(patterns), 3.0)
states = jnp.asarray(patterns + np.float32(0.1))
out = net.update(states)
assert isinstance(out, jax.Array) and out.dtype == np.float32
assert np.array_equal(np.asarray(out), net.update(np.asarray(states)))
found = net.retrieve(states)
assert isinstance(found.converged, jax.Array) and bool(found.converged.all())
try:
    net.update(states.astype(jnp.bfloat16))
except TypeError as error:
    assert str(error).startswith("states: got dtype bfloat16"), error
else:
    raise AssertionError
try:
    jax.jit(net.update)(states)
except TypeError:
    pass
else:
    raise AssertionError
try:
    jax.jit(hopfix.separation.softmax)(states)
except TypeError as error:
    assert "that a transformation traces" in str(error), error
else:
    raise AssertionError
from hopfix.gpu import DeviceHopfield, _separation
scores = np.asarray(states)
for alpha in (1, 1.5, 3):
    seen = _separation.entmax(None, states, alpha)
    assert isinstance(seen, jax.Array)
    np.testing.assert_allclose(seen, hopfix.separation.entmax(scores, alpha), atol=1e-6)
device = DeviceHopfield(jnp.asarray(patterns), 3.0)
seen = device.update(states)
assert isinstance(seen, jax.Array)
np.testing.assert_allclose(seen, net.update(np.asarray(states)), atol=1e-6)
"""


def test_jax():
    """In a process of its own: its threads slow down others."""
    pytest.importorskip("jax")
    done = subprocess.run(
        [sys.executable, "-c", JAX], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
