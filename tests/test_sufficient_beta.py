"""Sufficient β of faces, beside closed forms, SciPy, and the fixed points that really exist."""

from __future__ import annotations

import dataclasses
import functools
import json
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog, minimize

import hopfix
from hopfix.faces import BetaCertificate, cips_margin, sampled_margin, sufficient_beta


def unit(seed, n, d):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def closed_form(k, alpha):
    """Of k orthonormal patterns alone."""
    return (k - 1) / alpha * math.log1p(k * alpha / ((1 - alpha) * (k - 1)))


class Twin:
    """The conditions of hopfix/sufficient_beta.hpp at one shrinkage, by SciPy and plain NumPy."""

    def __init__(self, x, face, alpha):
        self.x, self.face = x, list(face)
        k = len(self.face)
        corners = x[self.face]
        self.theta = (1 - alpha) / k
        self.vertices = self.theta * corners.sum(0) + alpha * corners
        self.outside = [j for j in range(len(x)) if j not in self.face]
        along = np.linalg.lstsq((corners[1:] - corners[0]).T, (x - corners[0]).T, rcond=None)[0].T
        self.distance = np.linalg.norm(x - corners[0] - along @ (corners[1:] - corners[0]), axis=1)
        self.coordinates = np.column_stack([1 - along.sum(1), along])

    @functools.cache  # noqa: B019 (a twin lives as long as its test)
    def margin(self, j, facet=None):
        vertices = self.vertices if facet is None else np.delete(self.vertices, facet, 0)
        payoffs = (self.x[self.face] - self.x[j]) @ vertices.T
        m, n = payoffs.shape
        answer = linprog(
            np.r_[np.zeros(n), 1.0],
            A_ub=np.c_[payoffs, -np.ones(m)],
            b_ub=np.zeros(m),
            A_eq=[np.r_[np.ones(n), 0.0]],
            b_eq=[1.0],
            bounds=[(0, None)] * n + [(None, None)],
        )
        return answer.fun

    def least_log_sum(self, i, beta):
        """min over facet i of log sum exp beta (x_m - x_i) . xi."""
        return self.least(self.face[i], beta, i)

    @functools.cache  # noqa: B019 (a twin lives as long as its test)
    def least(self, j, beta, facet=None):
        """min over the face or a facet of log sum exp beta (x_m - x_j) . xi, by SLSQP."""
        vertices = self.vertices if facet is None else np.delete(self.vertices, facet, 0)
        matrix = (self.x[self.face] - self.x[j]) @ vertices.T
        n = matrix.shape[1]
        if n == 1:
            return float(np.logaddexp.reduce(beta * matrix[:, 0]))
        best = math.inf
        for start in [np.full(n, 1 / n), *np.random.default_rng(0).dirichlet(np.ones(n), 3)]:
            answer = minimize(
                lambda nu: np.logaddexp.reduce(beta * matrix @ nu),
                start,
                bounds=[(0, 1)] * n,
                constraints={"type": "eq", "fun": lambda nu: nu.sum() - 1},
                method="SLSQP",
                options={"ftol": 1e-14, "maxiter": 500},
            )
            nu = np.clip(answer.x, 0, None)
            best = min(best, float(np.logaddexp.reduce(beta * matrix @ (nu / nu.sum()))))
        return best

    def ratio(self, j, beta, eps, facet=None):
        """At most the weight of pattern j over that of the face."""
        hard = beta * (self.margin(j, facet) - eps * self.distance[j])
        soft = self.least(j, beta, facet) - beta * eps * self.distance[j]
        return math.exp(-(soft if soft >= math.log(len(self.face)) else hard))

    def hold(self, beta, eps):
        pulled = sum(self.distance[j] * self.ratio(j, beta, eps) for j in self.outside)
        if pulled > eps:
            return False
        for i in range(len(self.face)):
            rest = self.theta - sum(
                max(0.0, self.coordinates[j, i] - self.theta) * self.ratio(j, beta, eps, i)
                for j in self.outside
            )
            if rest <= 0 or self.least_log_sum(i, beta) < -math.log(rest):
                return False
        return True


@pytest.mark.parametrize("k", [2, 3, 4, 6, 9])
def test_orthonormal_patterns_alone(k):
    for alpha in (0.9, 0.5, 0.1, 1e-3):
        answer = sufficient_beta(np.eye(k), range(k), isolated=True, shrink=alpha)
        assert answer.beta == pytest.approx(closed_form(k, alpha), rel=1e-9)
        assert answer.beta >= closed_form(k, alpha) * (1 - 1e-12)
    best = sufficient_beta(np.eye(k + 3), range(k), isolated=True)
    assert k <= best.beta < k * (1 + 1e-6 * k)


@pytest.mark.parametrize("seed", range(6))
def test_isolated_face_beside_scipy(seed):
    k = 2 + seed % 4
    x = unit(seed, k, k + 2)
    alpha = 0.6
    twin = Twin(x, range(k), alpha)
    target = math.log(1 / twin.theta)
    answer = sufficient_beta(x, range(k), shrink=alpha)
    roots = []
    for i in range(k):
        if twin.least_log_sum(i, 1e4) <= target:
            roots.append(math.inf)
        else:
            roots.append(brentq(lambda b, i=i: twin.least_log_sum(i, b) - target, 1e-3, 1e4))
    assert answer.beta == pytest.approx(max(roots), rel=1e-6)


@pytest.mark.parametrize(("seed", "n", "d", "k"), [(1, 7, 9, 2), (1, 8, 12, 3), (2, 9, 20, 4)])
def test_conditions_beside_scipy(seed, n, d, k):
    x = unit(seed, n, d)
    answer = sufficient_beta(x, range(k))
    twin = Twin(x, range(k), answer.shrink)
    eps = answer.region.thickness
    assert twin.hold(1.0001 * answer.beta, eps)
    assert twin.hold(3 * answer.beta, eps)
    grid = np.linspace(0, 2 * eps, 40)
    assert not any(twin.hold(0.999 * answer.beta, other) for other in grid)


@pytest.mark.parametrize(("seed", "n", "d", "k"), [(0, 5, 6, 2), (3, 6, 8, 2), (1, 6, 10, 3)])
def test_fixed_point_is_there(seed, n, d, k):
    """At beta and above, exhaustive search finds one of index k - 1 in the region."""
    x = unit(seed, n, d)
    answer = sufficient_beta(x, range(k))
    assert math.isfinite(answer.beta)
    for factor in (1, 1.5, 4):
        points = hopfix.Hopfield(x, factor * answer.beta).fixed_points("cells")
        assert points.completeness == "proved"
        inside = answer.region.contains(points.states)
        assert (points.morse_index[inside] == k - 1).any()
        assert sum((-1) ** points.morse_index[inside]) == (-1) ** (k - 1)


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_is_not_below_where_the_fixed_point_appears(seed):
    x = unit(seed, 5, 7)
    face = (0, 1)
    answer = sufficient_beta(x, face)
    high = 2 * answer.beta
    net = hopfix.Hopfield(x, high)
    points = net.fixed_points()
    chosen = [s for s, i in zip(points.states, points.support, strict=True) if i == face]
    branch = net.follow(1.0, np.array(chosen[:1])).branches[0]
    assert branch.beta.min() < answer.beta


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(2, 8), st.integers(0, 3))
def test_proofs_hold_at_samples(seed, k, d, more):
    """The exact map obeys the theorem's conditions at points of the region's boundary."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(k + more, d)) * 10.0 ** rng.integers(-2, 3)
    answer = sufficient_beta(x, range(k), certify=True)
    if not math.isfinite(answer.beta):
        assert answer.reason
        return
    assert answer.certificate.check()
    beta = (answer.beta or 1.0) * rng.choice([1, 1.3, 10])
    vertices, eps = answer.region.vertices, answer.region.thickness
    theta = (1 - answer.shrink) / k
    twin = Twin(x, range(k), answer.shrink)
    edges = x[1:k] - x[0]
    tilt = rng.normal(size=(200, d))
    tilt -= tilt @ np.linalg.pinv(edges) @ edges if k > 1 else 0
    tilt *= eps / np.maximum(np.linalg.norm(tilt, axis=1, keepdims=True), 1e-300)
    net = hopfix.Hopfield(x, beta)
    scale = np.abs(x).max()
    body = rng.dirichlet(np.full(k, 0.5), 200) @ vertices + tilt
    moved = net.update(body)
    across = moved - x[0]
    across -= across @ np.linalg.pinv(edges) @ edges if k > 1 else 0
    assert (np.linalg.norm(across, axis=1) <= eps + 1e-9 * scale).all()
    for i in range(k if k > 1 else 0):
        weights = rng.dirichlet(np.full(k - 1, 0.5), 200)
        facet = weights @ np.delete(vertices, i, 0) + tilt
        pushed = net.weights(facet) @ twin.coordinates[:, i]
        assert (pushed < theta * (1 + 1e-9) + 1e-9).all()


def test_certificate():
    x = unit(5, 8, 12)
    answer = sufficient_beta(x, [6, 1, 3], certify=True)
    proof = answer.certificate
    assert proof.check()
    assert dataclasses.replace(proof, beta=10 * answer.beta).check()
    assert dataclasses.replace(proof, facet_weights=7 * proof.facet_weights).check()
    document = json.loads(json.dumps(proof.to_dict(), allow_nan=False))
    assert BetaCertificate(**document).check()
    negative = proof.facet_weights.copy()
    negative[0, 0] = -1e-300
    faults = [
        {"beta": 0.999999 * proof.beta},
        {"beta": math.inf},
        {"beta": math.nan},
        {"shrink": 0.01 * proof.shrink},
        {"shrink": 1.0},
        {"shrink": math.nan},
        {"thickness": 0.9 * proof.thickness},
        {"thickness": 100 * proof.thickness},
        {"thickness": -proof.thickness},
        {"face": proof.face[::-1]},
        {"facet_weights": negative},
        {"facet_weights": 0 * proof.facet_weights},
        {"facet_weights": np.roll(proof.facet_weights, 1, axis=0)},
        {"margin_strategies": np.roll(proof.margin_strategies, 1, axis=1)},
        {"margin_strategies": np.full_like(proof.margin_strategies, 1e308)},
        {"facet_strategies": -np.ones_like(proof.facet_strategies)},
        {"patterns": np.vstack([x[:7], x[6:7] + 1e-9])},
    ]
    for fault in faults:
        assert not dataclasses.replace(proof, **fault).check(), fault
    for face in ([6, 1, 4], [6, 2, 3], [0, 1, 3]):  # what passes for another face must be true
        other = dataclasses.replace(proof, face=np.array(face))
        own = sufficient_beta(x, face, shrink=proof.shrink).beta
        assert not other.check() or own <= proof.beta
    with pytest.raises(ValueError, match=r"margin_strategies: got shape \(4, 3\), need \(5, 3\)"):
        dataclasses.replace(proof, margin_strategies=proof.margin_strategies[1:]).check()


def high_precision_slack(proof):
    """The least slack of the conditions that a certificate proves, in 60 digits, and as a twin."""
    with mpmath.workdps(60):
        x = [[mpmath.mpf(float(c)) for c in row] for row in proof.patterns]
        face = [int(i) for i in proof.face]
        outside = [] if proof.isolated else [j for j in range(len(x)) if j not in face]
        k, beta, eps = len(face), mpmath.mpf(proof.beta), mpmath.mpf(proof.thickness)
        theta = (1 - mpmath.mpf(proof.shrink)) / k

        def dot(a, b):
            return mpmath.fdot(zip(a, b, strict=True))

        def minus(a, b):
            return [p - q for p, q in zip(a, b, strict=True)]

        corners = [x[i] for i in face]
        edges = [minus(c, corners[0]) for c in corners[1:]]
        gram = mpmath.matrix([[dot(a, b) for b in edges] for a in edges])
        vertices = [
            [theta * sum(c[t] for c in corners) + proof.shrink * v[t] for t in range(len(v))]
            for v in corners
        ]

        def least(weights, pattern, left_out=None):
            total = sum(mpmath.mpf(float(w)) for w in weights)
            return min(
                sum(
                    mpmath.mpf(float(w)) * dot(minus(c, x[pattern]), v)
                    for w, c in zip(weights, corners, strict=True)
                )
                / total
                for place, v in enumerate(vertices)
                if place != left_out
            )

        def entropy(weights):
            p = [mpmath.mpf(float(w)) for w in weights]
            return -sum(w / sum(p) * mpmath.log(w / sum(p)) for w in p if w > 0)

        def ratio(exponent, strategy):
            soft = beta * exponent + entropy(strategy)
            return mpmath.exp(-(soft if soft >= mpmath.log(k) else beta * exponent))

        coordinates, distances = {}, {}
        for j in outside:
            rest = minus(x[j], corners[0])
            along = mpmath.lu_solve(gram, mpmath.matrix([dot(e, rest) for e in edges]))
            coordinates[j] = [1 - sum(along), *along]
            for a, e in zip(along, edges, strict=True):
                rest = minus(rest, [a * c for c in e])
            distances[j] = mpmath.sqrt(dot(rest, rest))
        slacks = [eps] if eps else []
        for place, j in enumerate(outside):
            exponent = least(proof.margin_strategies[place], j) - eps * distances[j]
            assert exponent >= 0
            slacks[0] -= distances[j] * ratio(exponent, proof.margin_strategies[place])
        for i in range(k):
            spare = theta
            for place, j in enumerate(outside):
                excess = coordinates[j][i] - theta
                if excess > 0:
                    exponent = least(proof.facet_strategies[i][place], j, i) - eps * distances[j]
                    assert exponent >= 0
                    spare -= excess * ratio(exponent, proof.facet_strategies[i][place])
            weights = proof.facet_weights[i]
            value = entropy(weights) + beta * least(weights, face[i], i)
            slacks.append(value + mpmath.log(spare))
        return float(min(slacks))


@pytest.mark.parametrize("method", ["exact", "lemma"])
@pytest.mark.parametrize(("seed", "n", "d", "k"), [(1, 7, 9, 2), (1, 8, 12, 3), (5, 4, 6, 4)])
def test_certificates_in_high_precision(seed, n, d, k, method):
    answer = sufficient_beta(unit(seed, n, d), range(k), method=method, certify=True)
    proof = answer.certificate
    slack = high_precision_slack(proof)
    assert slack >= 0
    worse = dataclasses.replace(proof, beta=0.9 * proof.beta)
    if method == "exact":  # there is next to nothing to spare
        assert slack < 1e-9
        assert not worse.check()
    assert not worse.check() or high_precision_slack(worse) > 0
    alone = sufficient_beta(unit(seed, n, d), range(k), method=method, isolated=True, certify=True)
    assert high_precision_slack(alone.certificate) > 0


def test_methods_are_ordered():
    x = unit(4, 10, 20)
    for face in ([0, 1], [2, 3, 4]):
        for isolated in (True, False):
            exact = sufficient_beta(x, face, isolated=isolated, shrink=0.8)
            lemma = sufficient_beta(x, face, isolated=isolated, shrink=0.8, method="lemma")
            grid = np.geomspace(0.5, 2 * lemma.beta, 200)
            sampled = sufficient_beta(
                x, face, isolated=isolated, shrink=0.8, method="sampled", betas=grid
            )
            assert sampled.beta <= exact.beta * 1.04 < 1.04 * lemma.beta < math.inf
            assert sampled.certificate is None


def test_patterns_outside_need_more():
    x = unit(4, 10, 20)
    alone = sufficient_beta(x, [0, 1, 2], isolated=True)
    assert sufficient_beta(x[:3], [0, 1, 2]).beta == alone.beta
    assert alone.beta < sufficient_beta(x, [0, 1, 2]).beta < math.inf
    assert alone.region.thickness == 0


def test_cips_faces_with_cips_facets_have_one():
    x = unit(7, 12, 40)
    face = [0, 1, 2, 3]
    parts = [face, *(face[:i] + face[i + 1 :] for i in range(4))]
    assert all(cips_margin(x, part).lower > 0 for part in parts)
    assert math.isfinite(sufficient_beta(x, face).beta)
    assert math.isfinite(sufficient_beta(x, face, method="lemma").beta)


def test_singletons():
    x = np.eye(4)
    answer = sufficient_beta(x, [2], certify=True)
    assert answer.certificate.check()
    eps = answer.region.thickness
    for factor in (1, 5):
        state = hopfix.Hopfield(x, factor * answer.beta).retrieve(x[2]).states
        assert np.linalg.norm(state - x[2]) <= eps
    assert sufficient_beta(x, [2], isolated=True).beta == 0
    assert sufficient_beta(np.vstack([x, 2 * x[:1]]), [0]).beta == math.inf


def test_faces_without_a_sufficient_beta():
    flat = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    answer = sufficient_beta(flat, [0, 1, 2])
    assert answer.beta == math.inf
    assert "affinely dependent" in answer.reason
    assert answer.region is None
    distorted = np.array([[3.0, 0.0], [1.0, 0.1]])  # the second is never on top along the edge
    assert sufficient_beta(distorted, [0, 1]).beta == math.inf
    hidden = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # on top of the whole edge
    assert sufficient_beta(hidden, [0, 1]).beta == math.inf
    assert sufficient_beta(hidden, [0, 1], isolated=True).beta < 2.1
    twins = np.vstack([np.eye(3), np.eye(3)[:1]])
    assert sufficient_beta(twins, [0, 3]).beta == math.inf
    assert sufficient_beta(twins, [0, 1]).beta == math.inf
    huge = sufficient_beta(1e200 * np.eye(3), [0, 1], certify=True)
    assert (huge.beta, huge.certificate) == (math.inf, None)
    assert "overflow" in huge.reason
    for method in ("lemma", "sampled"):
        assert sufficient_beta(hidden, [0, 1], method=method).beta == math.inf


def test_patterns_outside_in_the_affine_hull():
    """Nothing can leave the plane: thickness does not matter."""
    x = np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8], [0.05, 0.0]])
    answer = sufficient_beta(x, [0, 1, 2], certify=True)
    assert answer.certificate.check()
    flat = sufficient_beta(np.c_[x, np.ones(4)] @ np.diag([1, 1, 0.3]), [0, 1, 2])
    assert flat.beta == pytest.approx(answer.beta, rel=1e-9)
    assert flat.region.thickness < 1e-12
    assert flat.region.contains(flat.region.vertices.mean(0))


def test_scaling():
    x = unit(9, 6, 9)
    one = sufficient_beta(x, [0, 1, 2])
    for scale in (1e-3, 1e3):
        other = sufficient_beta(scale * x, [0, 1, 2])
        assert other.beta * scale**2 == pytest.approx(one.beta, rel=1e-6)
    single = sufficient_beta(x.astype(np.float32), [0, 1, 2])
    assert single.beta == pytest.approx(one.beta, rel=1e-4)


def test_batches_and_threads():
    x = unit(2, 14, 20)
    faces = np.array([np.random.default_rng(s).permutation(14)[:3] for s in range(6)])
    one, two = (sufficient_beta(x, faces, certify=True, num_threads=t) for t in (1, 2))
    for a, b, face in zip(one, two, faces, strict=True):
        assert (a.beta, a.shrink) == (b.beta, b.shrink)
        assert a.face == tuple(face.tolist())
        assert sufficient_beta(x, face).beta == a.beta
        if math.isfinite(a.beta):
            np.testing.assert_array_equal(a.certificate.facet_weights, b.certificate.facet_weights)
    assert "beta=" in repr(one[0])


def test_sampled_margin_is_above_the_exact_one():
    x = unit(0, 20, 20) @ np.diag(np.geomspace(1, 10, 20))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    faces = np.array([np.random.default_rng(s).permutation(20)[:6] for s in range(30)])
    exact, sampled = cips_margin(x, faces), sampled_margin(x, faces)
    assert (sampled >= exact.lower - 1e-12).all()
    assert (sampled > exact.margin + 1e-3).any()
    assert sampled_margin(x, faces[0]) == sampled[0]
    assert sampled_margin(np.eye(3), [0, 1, 2]) == math.inf


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "best"}, ValueError, "method: got 'best', need one of 'exact'"),
        ({"shrink": 0}, ValueError, "shrink: got 0"),
        ({"shrink": 1.0}, ValueError, "shrink: got 1.0, need a number between 0 and 1"),
        ({"shrink": "x"}, TypeError, "shrink: got str"),
        ({"face": [0, 9]}, ValueError, "face: got index 9"),
        ({"face": [0.5]}, TypeError, "face: got dtype float64"),
        ({"method": "sampled", "certify": True}, ValueError, "certify: got True"),
        ({"method": "sampled", "betas": []}, ValueError, r"betas: got shape \(0,\)"),
        ({"method": "sampled", "betas": [2, 1]}, ValueError, "betas: got .*, need finite"),
        ({"method": "sampled", "n_samples": 0}, ValueError, "n_samples: got 0"),
        ({"method": "sampled", "seed": -1}, ValueError, "seed: got -1"),
        ({"num_threads": 0}, ValueError, "num_threads: got 0"),
    ],
)
def test_errors(arguments, error, message):
    face = arguments.pop("face", [0, 1])
    with pytest.raises(error, match=message):
        sufficient_beta(np.eye(3), face, **arguments)
