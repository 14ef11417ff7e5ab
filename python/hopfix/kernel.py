"""Learned similarities: kernels K(u, v) = (Wu)·(Wv) that spread the patterns out (U-Hop, stage I).

A retrieval step with a kernel is T_K(ξ) = X softmax(β K(X, ξ)). Memories interfere less the further
their features φ_i = W x_i are apart, so W is learned by making a separation loss of the features
small, over all pairs i < j, with t > 0::

    average   L = log mean exp(−t ‖φ_i − φ_j‖²)
    maximum   L = max −t ‖φ_i − φ_j‖²
    layer     L = log mean exp(2t ((φ_i·φ_j)² − 1))

with features scaled to unit length first (`normalize=True`). Then φ_i/‖φ_i‖ in place of φ_i has
the gradient dL/dφ_i = (I − u_i u_iᵀ) dL/du_i / ‖φ_i‖, and the loss does not depend on the scale of
W. Without normalisation "average" and "maximum" have no minimum (scale W up), and that of "layer"
is at W = 0.

    kernel = hopfix.kernel.SeparationKernel(seed=0).fit(patterns)
    kernel.matrix               # W, (D, d)
    kernel.loss_history         # (steps + 1,)
    kernel.convergence          # why it stopped

Gradients are closed forms, through the Gram matrix of the features: never M²d numbers. Results are
bitwise the same for every number of threads.

Source: Wu, Hu, Hsiao and Liu, "Uniform Memory Retrieval with Larger Capacity for Modern Hopfield
Models" (2024): Algorithm 1 and Definition 3.1; Wang and Isola, "Understanding contrastive
representation learning through alignment and uniformity on the hypersphere" (2020): average loss.
"""

from __future__ import annotations

import math
import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core, _kernel_files
from hopfix._arrays import (
    FloatArray,
    as_bool,
    as_integer,
    as_nonnegative,
    as_positive,
    as_states,
    read_only,
)
from hopfix._config import resolve_threads
from hopfix._interchange import interchange
from hopfix._kernel_arguments import Kind, as_kind, as_matrix, as_pattern_pairs, no_feature
from hopfix._kernel_training import batches, step_lengths, tolerance, training_start
from hopfix._progress import Progress, as_progress

__all__ = ["SeparationKernel", "separation_gradient", "separation_loss"]


class SeparationKernel:
    """A linear kernel W of shape (D, d), learned from patterns by descent on a separation loss.

    The default goes along the negative gradient by a line search from the spectral step length
    (Barzilai and Borwein 1988; Zhang and Hager 2004). For "maximum", which has kinks, it makes soft
    maxima (t/s) log Σ exp(−s‖φ_i − φ_j‖²) small, with s from 4t doubled in eight stages;
    `loss_history` shows the maximum itself, and need not fall at every step.

    The losses are not convex: from some starts a feature shrinks towards zero, near which the loss
    of unit features is singular, and the descent creeps ("steps", above the least loss; so for 3 of
    4 seeds with 6 Gaussian patterns in 8 dimensions). Another seed may help.

    Args:
        n_features: D; None: d, as published. Directions beyond d, or beyond the rank of the
            patterns, are of no use to the loss.
        kind: "average", "maximum" or "layer".
        t: the sharpness of the loss, > 0.
        steps: descent steps at most.
        learning_rate: the step length of plain gradient descent instead of line searches; with
            faithful=True the first one.
        faithful: the published training: gradient descent with rate 1 divided by √(i+1) after
            *every* step i = 0, 1, … cumulatively, so that after ten steps it all but stands still
            ("average", and "layer"), or with the constant rate 10 ("maximum", by the subgradient of
            the first closest pair); rows of W are not normalised.
        seed: of the start, W with independent standard normal entries, and of the batches; an int
            or None.
        normalize: whether the loss is that of unit features.
        normalize_rows: scale the rows of W to unit length in the end (Algorithm 1, line 4), which
            changes the loss; None: not faithful.
        batch_size: patterns per step, drawn in random order without repetition until less than a
            batch is left; None: all. The losses are then those of the batches.
        tol: stop where ‖dL/dW‖‖W‖ is at most this (Frobenius norms); None: 1e-6 (float64), 1e-4
            (float32). Not with batches.
        num_threads: as in `Hopfield`.

    Attributes:
        matrix: W (D, d), of the dtype of the patterns; all of these after `fit`.
        loss_history: float64, the loss before the first and after every step; with batches that of
            each batch, before its step.
        convergence: "gradient" (within `tol`), "steps", "stalled" (no step makes the loss smaller,
            or it has not changed beyond rounding in 20 steps), "diverged" (the loss left the range
            of numbers; W is the last with a finite loss), "time_limit" or "interrupted".
        loss: of `matrix` on all patterns, rows normalised or not; NaN if interrupted.

    Example:
        >>> patterns = np.random.default_rng(0).normal(size=(20, 4))
        >>> learned = hopfix.kernel.SeparationKernel(seed=0).fit(patterns)
        >>> learned.matrix.shape
        (4, 4)
        >>> bool(learned.loss_history[-1] < learned.loss_history[0])
        True
        >>> net = hopfix.Hopfield(patterns, beta=10.0, similarity=learned)
    """

    matrix: FloatArray
    loss_history: npt.NDArray[np.float64]
    convergence: str
    loss: float

    def __init__(
        self,
        n_features: int | None = None,
        kind: Kind = "average",
        t: float = 2.0,
        steps: int = 100,
        learning_rate: float | None = None,
        faithful: bool = False,
        seed: int | None = None,
        *,
        normalize: bool = True,
        normalize_rows: bool | None = None,
        batch_size: int | None = None,
        tol: float | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.n_features = None if n_features is None else as_integer("n_features", n_features, 1)
        self.kind: Kind = as_kind(kind)
        self.t = as_positive("t", t)
        self.steps = as_integer("steps", steps, 0, 2**31)
        self.learning_rate = (
            None if learning_rate is None else as_positive("learning_rate", learning_rate)
        )
        self.faithful = as_bool("faithful", faithful)
        self.seed = None if seed is None else as_integer("seed", seed, 0)
        self.normalize = as_bool("normalize", normalize)
        self.normalize_rows = (
            not self.faithful
            if normalize_rows is None
            else as_bool("normalize_rows", normalize_rows)
        )
        self.batch_size = None if batch_size is None else as_integer("batch_size", batch_size, 2)
        self.tol = None if tol is None else as_nonnegative("tol", tol)
        self._threads = resolve_threads(num_threads)

    @interchange
    def fit(
        self,
        patterns: npt.ArrayLike,
        *,
        start: npt.ArrayLike | None = None,
        progress: Progress | None = None,
        time_limit: float | None = None,
    ) -> SeparationKernel:
        """Learn W from patterns (M, d), M >= 2, and return self.

        A step costs 5 M² min(D, M) flops (for M > 2d: 3 M² D + 4 M D d), with a batch of b
        patterns in place of all 3 b² D + 6 b D d. Extra memory: 2 (Dd + DM + M²) numbers, of
        which glibc keeps up to as many again resident.

        Patterns that are equal, or on a line through the origin, keep their distance whatever W is:
        with "average" and "layer" they shift the loss, with "maximum" equal ones make it zero for
        every W, and "gradient" is reported at once.

        Args:
            patterns: (M, d).
            start: (D, d), where to start instead of at random.
            progress: called with (steps done, steps in all).
            time_limit: seconds after which to stop.

        Raises:
            TypeError, ValueError: naming the argument; also for a zero pattern (its feature has no
                direction), unless normalize=False.
            KeyboardInterrupt: Ctrl-C; its attribute ``partial`` is this kernel, with what it has.

        Warns:
            RuntimeWarning: the descent diverged; or the loss, of features of any length, has no
                minimum and fell until the steps were used up ("average", "maximum").
        """
        rows = as_pattern_pairs(patterns)
        limit = math.inf if time_limit is None else as_positive("time_limit", time_limit)
        rng = np.random.default_rng(self.seed)
        found, interruption = _core.fit_separation_kernel(
            rows,
            training_start(self, rows, start, rng),
            self._loss(),
            self.steps,
            step_lengths(self),
            batches(self, len(rows), rng),
            tolerance(self, rows.dtype),
            limit,
            as_progress(progress),
            self._threads,
        )
        if found["fault"] >= 0:
            raise no_feature("start", found["fault"], rows)
        self._set(found, rows, interruption is not None)
        if interruption is not None:
            interruption.partial = self  # type: ignore[attr-defined]
            raise interruption
        if self.convergence == "diverged":
            reason = "" if self.normalize else ": without normalisation it has no minimum"
            warnings.warn(f"the {self.kind} loss diverged{reason}", RuntimeWarning, stacklevel=3)
        elif self._falls_without_end():
            warnings.warn(
                f"the {self.kind} loss has no minimum without normalisation: more steps scale W up",
                RuntimeWarning,
                stacklevel=3,
            )
        return self

    @interchange
    def transform(self, states: npt.ArrayLike) -> FloatArray:
        """Return the features Wξ, shape (..., D), of states (..., d), in the dtype of W.

        O(D d) a state; each feature is one sum, the same for a state alone and in any batch.
        """
        matrix = self._fitted()
        rows, leading = as_states("states", states, matrix.shape[1], matrix.dtype)
        features = _core.linear_features(rows, matrix, self._threads)
        return features.reshape((*leading, len(matrix)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters and results of `fit` to an .npz file, replacing `path` in one step.

        Raises:
            OSError: it cannot be written; a file that was there before is left as it was.
            ValueError: `fit` has not been called.
        """
        self._fitted()
        _kernel_files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SeparationKernel:
        """Read what `save` wrote; nothing is unpickled.

        Raises:
            OSError: the file cannot be opened.
            ValueError: it is of another kind or damaged, naming the path.
        """
        return _kernel_files.load(path, cls)

    def __repr__(self) -> str:
        notes = [f"kind={self.kind!r}", f"t={self.t:g}"]
        if not hasattr(self, "matrix"):
            return f"SeparationKernel({', '.join(notes)}, not fitted)"
        notes += [f"matrix {self.matrix.shape}", f"loss {self.loss:.6g}", self.convergence]
        return f"SeparationKernel({', '.join(notes)})"

    def _fitted(self) -> FloatArray:
        if not hasattr(self, "matrix"):
            raise ValueError("SeparationKernel: has no matrix yet, call fit(patterns) first")
        return self.matrix

    def _falls_without_end(self) -> bool:
        unbounded = not self.normalize and self.kind != "layer" and self.convergence == "steps"
        return unbounded and bool(self.loss_history.min() < self.loss_history[0])

    def _loss(self) -> _core.SeparationLoss:
        return _core.SeparationLoss(self.kind, self.t, self.normalize)

    def _set(self, found: dict[str, Any], rows: FloatArray, interrupted: bool) -> None:
        matrix: FloatArray = found["matrix"]
        if self.normalize_rows:
            norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
            matrix /= np.where(norms > 0, norms, 1).astype(matrix.dtype)[:, None]
        self.matrix = read_only(matrix)
        self.loss_history = read_only(found["losses"])
        self.convergence = found["end"]
        self.loss = math.nan
        if not interrupted:
            self.loss = _core.separation_loss(rows, matrix, self._loss(), False, self._threads)[0]


@interchange
def separation_loss(
    patterns: npt.ArrayLike,
    matrix: npt.ArrayLike,
    t: float = 2.0,
    kind: Kind = "average",
    normalize: bool = True,
    *,
    num_threads: int | None = None,
) -> float:
    """Return the separation loss L of the features W x_i, over pairs i < j of patterns (M, d).

    In the dtype of the patterns, sums over pairs in double precision; M² D + 2 M D d flops.

    Raises TypeError or ValueError, naming the argument; also where a feature to be normalised is
    zero, or overflows.

    Example:
        >>> patterns = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        >>> round(hopfix.kernel.separation_loss(patterns, np.eye(2), kind="maximum"), 6)
        -4.0
    """
    return _evaluate(patterns, matrix, t, kind, normalize, False, num_threads)[0]


@interchange
def separation_gradient(
    patterns: npt.ArrayLike,
    matrix: npt.ArrayLike,
    t: float = 2.0,
    kind: Kind = "average",
    normalize: bool = True,
    *,
    num_threads: int | None = None,
) -> FloatArray:
    """Return dL/dW, shape (D, d), of `separation_loss`, at the cost of 3 M² D + 4 M D d flops.

    For "maximum", which has kinks where several pairs are closest, the subgradient of the first of
    these pairs in lexicographic order (i, j).

    Raises TypeError or ValueError, naming the argument, as `separation_loss` does.

    Example:
        >>> patterns = np.random.default_rng(0).normal(size=(20, 4))
        >>> matrix = np.eye(4)
        >>> down = -hopfix.kernel.separation_gradient(patterns, matrix)
        >>> before, after = (
        ...     hopfix.kernel.separation_loss(patterns, w) for w in (matrix, matrix + 0.1 * down)
        ... )
        >>> after < before
        True
    """
    gradient: FloatArray = _evaluate(patterns, matrix, t, kind, normalize, True, num_threads)[1]
    return gradient


def _evaluate(
    patterns: npt.ArrayLike,
    matrix: npt.ArrayLike,
    t: float,
    kind: Kind,
    normalize: bool,
    wants_gradient: bool,
    num_threads: int | None,
) -> tuple[float, Any]:
    rows = as_pattern_pairs(patterns)
    w = as_matrix("matrix", matrix, rows, None)
    rule = _core.SeparationLoss(as_kind(kind), as_positive("t", t), as_bool("normalize", normalize))
    loss, gradient, fault = _core.separation_loss(
        rows, w, rule, wants_gradient, resolve_threads(num_threads)
    )
    if fault >= 0:
        raise no_feature("matrix", fault, rows)
    return loss, gradient
