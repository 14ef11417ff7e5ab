"""Arrays beyond all memory, and arrays that another thread changes during the call."""

import threading

import numpy as np
import pytest
from hostile import MEANT, survives

import hopfix
from hopfix import (
    branches,
    classical,
    degree,
    faces,
    heads,
    kernel,
    mean_field,
    performer,
    queries,
    separation,
    sharded,
)

ROWS, DIM = 60, 6
RNG = np.random.default_rng(0)
STORE = RNG.normal(size=(ROWS, DIM))
SIGNS = np.where(STORE > 0, 1.0, -1.0)
NET = hopfix.Hopfield(STORE, 1.0)
SMALL = hopfix.Hopfield(STORE[:3], 1.0)
GENERAL = hopfix.Hopfield(STORE, 1.0, similarity="neg_l1", separation=("entmax", 1.5))
SHARDS = sharded.ShardedHopfield([STORE[:9], STORE[9:]], 1.0)
CONTINUOUS = classical.ContinuousHopfield(STORE)
BINARY = classical.BinaryHopfield(SIGNS)
FEATURES = performer.RandomFeatures(DIM, 16, seed=0)
PERFORMER = performer.Performer(STORE, 0.1, FEATURES)
KERNEL = kernel.SeparationKernel(seed=0, steps=1).fit(STORE)
MODEL = mean_field.AttentionMeanField.paper(1.0)


def of_methods(label, thing, *names):
    return {f"{label}.{name}": getattr(thing, name) for name in names}


CALLS = {
    "Hopfield": lambda a: hopfix.Hopfield(a, 1.0),
    "Hopfield, normalised": lambda a: hopfix.Hopfield(a, 1.0, normalize=True),
    "values": lambda a: hopfix.Hopfield(STORE, 1.0, values=a).update(STORE),
    **of_methods("Hopfield", NET, "update", "weights", "energy", "jacobian", "spectral_radius"),
    **of_methods("Hopfield", NET, "certify", "retrieve"),
    **of_methods("entmax", GENERAL, "update", "weights", "jacobian", "retrieve"),
    "jvp": lambda a: NET.jvp(a, a),
    "vjp": lambda a: NET.vjp(a, a, ("states", "patterns")),
    "vjp_fixed_point": lambda a: NET.vjp_fixed_point(a, a),
    "follow": lambda a: SMALL.follow(2.0, a, max_steps=50),
    "from_zero": lambda a: branches.from_zero(a, 1.0, max_steps=50),
    "fixed_points": lambda a: hopfix.Hopfield(a, 1.0).fixed_points("starts", max_count=3),
    "ContinuousHopfield": lambda a: classical.ContinuousHopfield(a).retrieve(a, max_steps=5),
    "sparse": lambda a: classical.ContinuousHopfield(a, sparsify_above=0.1).update(a),
    **of_methods("continuous", CONTINUOUS, "update", "energy", "jacobian", "newton", "certify"),
    "BinaryHopfield": classical.BinaryHopfield,
    **of_methods("binary", BINARY, "update", "energy", "retrieve"),
    "transform": FEATURES.transform,
    "kernel": lambda a: FEATURES.kernel(a, a),
    "relative_variance": lambda a: FEATURES.relative_variance(a, a),
    "Performer": lambda a: performer.Performer(a, 0.1, FEATURES),
    **of_methods("performer", PERFORMER, "add", "remove", "update", "retrieve", "error_estimate"),
    "predicted_error": lambda a: performer.predicted_error(a, 0.1, a, 3),
    "fit": lambda a: kernel.SeparationKernel(seed=0, steps=3).fit(a),
    "features": KERNEL.transform,
    "separation_loss": lambda a: kernel.separation_loss(a, np.eye(DIM)),
    "separation_gradient": lambda a: kernel.separation_gradient(STORE, a),
    "analyse": lambda a: heads.analyse(a, a, 1.0, prove_up_to=1),
    "tokens_of_share": heads.tokens_of_share,
    "gaussian_noise": lambda a: queries.gaussian_noise(a, 0.1),
    "noise_of_norm": lambda a: queries.noise_of_norm(a, 0.1),
    "random_mask": queries.random_mask,
    "lower_half_erased": lambda a: queries.lower_half_erased(a, (2, 3)),
    "ShardedHopfield": lambda a: sharded.ShardedHopfield([a, STORE], 1.0),
    **of_methods("sharded", SHARDS, "update", "energy", "retrieve"),
    "critical_faces": lambda a: faces.critical_faces(a, max_size=2),
    "cips_margin": lambda a: faces.cips_margin(a, (0, 1)),
    "sampled_margin": lambda a: faces.sampled_margin(a, (0, 1), n_samples=9),
    "sufficient_beta": lambda a: faces.sufficient_beta(a, (0, 1)),
    "brouwer_degree": lambda a: degree.brouwer_degree(SMALL, a, a),
    "softmax": separation.softmax,
    "sparsemax": separation.sparsemax,
    "entmax": lambda a: separation.entmax(a, 1.5),
    "topk": lambda a: separation.topk(a, 2),
    "polynomial": lambda a: separation.polynomial(a, 2),
    "softmax.jvp": lambda a: separation.softmax.jvp(a, a),
    "entmax.jvp": lambda a: separation.entmax.jvp(a, a, 1.3),
    "sparsemax.conjugate": separation.sparsemax.conjugate,
    "compare": lambda a: hopfix.compare(a, a, ["modern", "binary"], max_steps=5),
    "bifurcation": lambda a: MODEL.bifurcation(a, 10, 5),
    "field_covariance": MODEL.field_covariance,
    "AttentionMeanField": lambda a: mean_field.AttentionMeanField(
        a, a, a, a, beta=1.0, gamma=1.0, context=2
    ),
    "autocorrelation": lambda a: mean_field.series.autocorrelation(a, 3),
    "power_spectrum": mean_field.series.power_spectrum,
    "poincare_section": lambda a: mean_field.series.poincare_section(a, 0),
}

BEYOND = [(2**40,), (2**40, DIM), (2, 2**40), (2**28, 2**29), (0, 2**57), (2**57, 0), (2**40, 2, 2)]


@pytest.mark.parametrize("name", CALLS)
def test_sizes_beyond_all_memory(name):
    """Views of one number as large arrays: refused, by what they are or by the memory."""
    for dtype in (np.float64, np.int8):
        for shape in BEYOND:
            array = np.broadcast_to(np.ones((), dtype), shape)
            result = survives(lambda array=array: CALLS[name](array))
            assert result is None or array.size == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", CALLS)
def test_arrays_that_another_thread_changes(name):
    """Checks see other numbers than the work: any result, or an error that is meant; no crash."""
    array, done = STORE.copy(), threading.Event()

    def change():
        hostile = [np.nan, np.inf, -1e308, 5e-324, 0.0]
        while not done.is_set():
            for number in hostile:
                array[::2] = number
                array[:] = STORE

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(15):
            try:
                CALLS[name](array)
            except MEANT as error:
                assert str(error)  # noqa: PT017 -- most calls raise nothing
    finally:
        done.set()
        thread.join()
