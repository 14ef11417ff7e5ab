"""What every list of branches must satisfy, and what it holds."""

import naive
import numpy as np
import pytest


def branch_arrays(branches):
    """Everything numeric a Branches holds, for bitwise comparison."""
    out = []
    for b in branches.branches:
        out += [b.beta, b.states, b.energy, b.morse_index, b.arclength, b.places]
    for e in branches.events:
        out += [np.array([e.beta, e.radius, e.beta_radius, e.multiplicity]), e.state]
    return out


def log_weights(branches, beta):
    given = branches.terms.at(beta)
    return np.zeros(len(branches.network.patterns)) if given is None else given


def assert_sound(branches):
    """What every Branches must satisfy, by the extended-precision twin."""
    __tracebackhide__ = True
    net = branches.network
    low, high = sorted((net.beta, branches.beta_to))
    for number, branch in enumerate(branches.branches):
        assert branch.whole, branch
        assert np.all(np.diff(branch.arclength) > 0)
        assert branch.beta.min() >= low
        assert branch.beta.max() <= high
        for i in range(0, len(branch), 5):
            data = (
                net.patterns,
                branch.beta[i],
                log_weights(branches, branch.beta[i]),
                branch.states[i],
            )
            # Logits of size beta are rounded, and so is what they are softmaxed to.
            assert naive.residual(*data) < 1e-11 * max(1, branch.beta[i] / 100)
            eigenvalues = np.linalg.eigvalsh(naive.jacobian(*data).astype(float))
            if i not in branch.places:
                assert branch.morse_index[i] == (eigenvalues > 1).sum()
            assert branch.energy[i] == pytest.approx(float(naive.energy(*data)), abs=1e-12)
        for event, place in zip(branch.events, branch.places, strict=True):
            assert number in branches.events[event].branches
            assert branch.beta[place] == pytest.approx(branches.events[event].beta, rel=1e-10)
    for event in branches.events:
        data = (net.patterns, event.beta, log_weights(branches, event.beta), event.state)
        assert naive.residual(*data) < 1e-10
        eigenvalues = np.linalg.eigvalsh(naive.jacobian(*data).astype(float))
        assert (abs(eigenvalues - 1) < 1e-6).sum() == event.multiplicity
        assert np.isnan(event.radius) != event.certified
