"""A naive NumPy twin of every member of the family that `Hopfield` describes; the tests' oracle."""

import numpy as np

SIMILARITIES = ("dot", "kernel", "neg_sq_l2", "neg_l2", "neg_l1")
DIFFERENTIABLE = SIMILARITIES[:3]
SEPARATIONS = (
    "softmax",
    "sparsemax",
    ("entmax", 1.5),
    ("entmax", 1.2),
    ("topk", 3),
    ("polynomial", 4),
    ("polynomial", 3, True),
)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def entmax(z, alpha):
    """Bisection for the threshold tau, Peters et al. (2019), Eq. 10."""
    y = (alpha - 1) * z
    low, high = y.max() - 1, y.max()
    for _ in range(64):
        tau = (low + high) / 2
        if (np.maximum(y - tau, 0) ** (1 / (alpha - 1))).sum() > 1:
            low = tau
        else:
            high = tau
    p = np.maximum(y - low, 0) ** (1 / (alpha - 1))
    return p / p.sum()


def topk(z, k):
    p = np.zeros_like(z)
    chosen = np.argsort(-z, kind="stable")[:k]
    p[chosen] = softmax(z[chosen])
    return p


def polynomial(z, n, rectified=False):
    y = np.maximum(z, 0) if rectified else z
    y = y / np.abs(y).max()
    return y**n / (y**n).sum()


def separate(z, separation):
    if separation == "softmax":
        return softmax(z)
    if separation == "sparsemax":
        return entmax(z, 2.0)
    return {"entmax": entmax, "topk": topk, "polynomial": polynomial}[separation[0]](
        z, *separation[1:]
    )


def conjugate(z, separation):
    """Psi*(z) = p.z + H(p); for topk the logarithm of the sum over the k largest."""
    p = separate(z, separation)
    if separation == "softmax" or separation[0] == "topk":
        kept = p > 0
        return float((p[kept] * (z[kept] - np.log(p[kept]))).sum())
    alpha = 2.0 if separation == "sparsemax" else separation[1]
    return float(p @ z + (p - p**alpha).sum() / (alpha * (alpha - 1)))


class Twin:
    def __init__(
        self,
        patterns,
        beta,
        *,
        log_weights=None,
        values=None,
        similarity="dot",
        separation="softmax",
        normalize=False,
        sparsify_above=None,
    ):
        self.patterns = np.asarray(patterns, float)
        self.beta, self.separation, self.similarity = beta, separation, similarity
        self.log_weights = np.zeros(len(patterns)) if log_weights is None else log_weights
        self.values = self.patterns if values is None else np.asarray(values, float)
        self.normalize, self.sparsify_above = normalize, sparsify_above
        self.keys = np.array([self.map(x) for x in self.patterns])

    def map(self, x):
        if self.sparsify_above is not None:
            x = np.where(x > self.sparsify_above, 0, x)
        if not isinstance(self.similarity, str):
            x = np.asarray(self.similarity, float) @ x
        if self.normalize and x.any():
            x = x / np.linalg.norm(x)
        return x

    def scores(self, state):
        query = self.map(np.asarray(state, float))
        off = self.keys - query
        s = {
            "neg_sq_l2": lambda: -(off**2).sum(axis=1),
            "neg_l2": lambda: -np.sqrt((off**2).sum(axis=1)),
            "neg_l1": lambda: -np.abs(off).sum(axis=1),
        }.get(
            self.similarity if isinstance(self.similarity, str) else "dot",
            lambda: self.keys @ query,
        )()
        return self.beta * s + self.log_weights

    def weights(self, states):
        return np.array([separate(self.scores(x), self.separation) for x in states])

    def update(self, states):
        return self.weights(states) @ self.values

    def energy(self, states):
        out = []
        for state in states:
            query = self.map(np.asarray(state, float))
            gain = conjugate(self.scores(state), self.separation) / self.beta
            is_distance = isinstance(self.similarity, str) and self.similarity == "neg_sq_l2"
            out.append(-gain / 2 if is_distance else query @ query / 2 - gain)
        return np.array(out)
