"""Every public class and function shows an example, and every example prints what it says.

The examples take for granted `import numpy as np`, `import hopfix` and, in hopfix.torch, torch.
"""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import hopfix

# Imported only where an extra is, and the extra's package.
NEEDS = {"hopfix.torch": "torch", "hopfix.datasets": "sklearn", "hopfix.plot": "matplotlib"}

# What the library computes. Classes of results are shown by what makes them.
SHOWN = {
    "hopfix": ["Hopfield", "FixedPoints", "compare", "connections"],
    "hopfix.branches": ["from_infinity", "from_zero"],
    "hopfix.classical": ["BinaryHopfield", "ContinuousHopfield"],
    "hopfix.datasets": ["digits"],
    "hopfix.degree": ["audit", "brouwer_degree"],
    "hopfix.faces": ["cips_margin", "critical_faces", "is_cips", "sufficient_beta"],
    "hopfix.heads": ["analyse", "operating_class", "tokens_of_share"],
    "hopfix.kernel": ["SeparationKernel", "separation_gradient", "separation_loss"],
    "hopfix.mean_field": ["AttentionMeanField", "classify"],
    "hopfix.performer": ["Performer", "RandomFeatures", "features_needed", "predicted_error"],
    "hopfix.plot": ["atlas_graph", "basins", "landscape"],
    "hopfix.queries": ["gaussian_noise", "lower_half_erased", "noise_of_norm", "random_mask"],
    "hopfix.separation": ["entmax", "polynomial", "softmax", "sparsemax", "topk"],
    "hopfix.sharded": ["ShardedHopfield"],
    "hopfix.softmax_map": ["count", "fixed_points", "threshold"],
    "hopfix.torch": [
        "Hopfield",
        "HopfieldDecoderLayer",
        "HopfieldEncoderLayer",
        "HopfieldLayer",
        "HopfieldPooling",
    ],
}
# Functions that need more set-up than an example should have.
EXEMPT = {
    "hopfix.datasets": {"images"},
    "hopfix.faces": {"sampled_margin"},
    "hopfix.mean_field": {"attractors", "certify_orbit", "follow_orbit", "periodic_orbit", "sweep"},
    "hopfix.plot": {"basin_colours", "require_matplotlib"},
    "hopfix.torch": {"kernel_parameters", "separation_loss", "separation_step"},
}
METHODS = ["certify", "energy", "fixed_points", "follow", "jacobian", "retrieve", "spectral_radius"]

MODULES = [
    name
    for _, name, is_package in pkgutil.walk_packages(hopfix.__path__, "hopfix.")
    if not name.startswith(("hopfix.cli", "hopfix.reproduce", "hopfix.__main__", "hopfix._core"))
]


def load(name):
    """The module, or a skip where its extra is missing."""
    for prefix, package in NEEDS.items():
        if name == prefix or name.startswith(prefix + "."):
            pytest.importorskip(package)
    return importlib.import_module(name)


def examples(module):
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    module = load(name)
    known = {"np": np, "hopfix": hopfix}
    if name.startswith("hopfix.torch"):
        known["torch"] = importlib.import_module("torch")
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = []
    for test in examples(module):
        test.globs = dict(known)
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize(("name", "public"), [(m, n) for m, ns in SHOWN.items() for n in ns])
def test_public_names_have_examples(name, public):
    shown = getattr(load(name), public)
    if not (inspect.isclass(shown) or inspect.isfunction(shown)):
        shown = type(shown)  # the functions of hopfix.separation
    assert ">>> " in inspect.getdoc(shown)


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_the_network_have_examples(method):
    assert ">>> " in inspect.getdoc(getattr(hopfix.Hopfield, method))


@pytest.mark.parametrize("name", sorted(set(SHOWN) - {"hopfix"}))
def test_functions_of_the_public_modules_are_listed(name):
    module = load(name)
    functions = {public for public in module.__all__ if inspect.isfunction(getattr(module, public))}
    assert functions <= set(SHOWN[name]) | EXEMPT.get(name, set())
