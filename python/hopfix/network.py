"""The modern Hopfield network, and the family of models around it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    FloatArray,
    as_integer,
    as_patterns,
    as_positive,
    as_states,
    as_vector,
)
from hopfix._comparable import same
from hopfix._config import resolve_threads
from hopfix._derivatives import jvp, vjp, vjp_fixed_point
from hopfix._executor import as_executor
from hopfix._fixed_point_list import in_network
from hopfix._follow import follow
from hopfix._image import image_of, landscape_of, to_image
from hopfix._interchange import interchange, is_foreign, on_host
from hopfix._limits import require_memory
from hopfix._memory import SquaredDistanceCore
from hopfix._progress import Progress
from hopfix._rebuilding import rebuild
from hopfix._results import Certificates, Retrieval, certificates_from
from hopfix._retrieval import as_tolerance, retrieval_of, retrieve
from hopfix._search import SearchOptions, search
from hopfix._similarity import model_of
from hopfix.branches import Branches
from hopfix.fixed_points import FixedPoints


class Hopfield:
    """An associative memory: f(ξ) = Σ_i p_i v_i, p = separation(β similarity(x_i, ξ) + b_i).

    By default f(ξ) = Σ_i p_i x_i, p = softmax(β x_i·ξ + b_i). Source: Ramsauer et al., "Hopfield
    Networks is All You Need" (2020), Eq. 3; with b_i = log w_i − β‖x_i‖²/2 the update is the
    Gaussian mean-shift step of bandwidth β^(−1/2). The general frame is that of Millidge et al.,
    "Universal Hopfield Networks" (2022).

    Args:
        patterns: (N, d), one pattern per row; copied. float32 and float64 keep their dtype,
            integers and bool become float64. The dtype is the network's: states are converted
            to it and results come in it.
        beta: inverse temperature β > 0, inside the separation.
        log_weights: (N,) b, default 0.
        values: (N, v) the v_i, default the patterns; then results of `update` are (..., v).
        similarity: "dot" x·ξ; a kernel matrix W of shape (D, d), or an object with one as its
            `matrix`: Wx·Wξ (U-Hop); "neg_sq_l2" −‖x − ξ‖₂²; "neg_l2" −‖x − ξ‖₂; "neg_l1"
            −‖x − ξ‖₁. Distances are formed from differences (but "neg_sq_l2" with softmax, which
            is the dot network of 2β and log-weights b − β‖x‖², rounded to the dtype).
        separation: "softmax", "sparsemax", ("entmax", α), ("topk", k), ("polynomial", n) or
            ("polynomial", n, rectified), as in `hopfix.separation`.
        normalize: keys and queries (Wx and Wξ of a kernel) are scaled to unit norm; values are
            not. A zero query stays zero, a zero key is an error.
        sparsify_above: components above this threshold are set to zero in keys and queries (not
            in values), before a kernel applies: the sparse modern network, Eq. 22 of "Looking at
            the Performer from a Hopfield point of view", which uses −0.5.
        num_threads: threads to use; default HOPFIX_NUM_THREADS or the CPUs available. Results
            are bitwise the same for every number, and for a state alone or in any batch.

    Raises:
        TypeError, ValueError: naming the argument, what it got and what it needs; also from
            methods, for what does not exist.

    What exists (all have `update` and `weights`; `retrieve` needs v = d):

    ================================  ======  ==============  =============================
    similarity                        energy  jacobian, jvp,  fixed_points, certify, follow
                                              vjp
    ================================  ======  ==============  =============================
    "dot"                             yes     yes             softmax
    kernel                            yes     yes             softmax, in `image`
    "neg_sq_l2"                       yes     yes             softmax, without `follow`
    "neg_l2", "neg_l1"                no      no              no
    ================================  ======  ==============  =============================

    No energy exists for "polynomial" separation, for values that are not the patterns, nor with
    `normalize` or `sparsify_above`; nor do lists of fixed points. `vjp` in other variables than the
    states, and `vjp_fixed_point`, exist for "dot" and "neg_sq_l2" with softmax.

    Arrays of torch, JAX and others in host memory are read without a copy and answered in kind
    (`hopfix._interchange`); attributes and lists of fixed points are NumPy's. Patterns in the
    memory of a GPU make a `hopfix.gpu.DeviceHopfield`, which computes there.

    A network is immutable and may be used from several Python threads at once; computations
    release the GIL and stop within a second on Ctrl-C. States are (d,) or (..., d), results keep
    the leading shape. Cost per state: O(Nd), with no N × batch array, unless said otherwise.

    Example:
        >>> net = hopfix.Hopfield(np.eye(3), beta=8.0)
        >>> net.update([0.9, 0.1, 0.0]).round(3)
        array([0.998, 0.002, 0.001])
        >>> net.weights([0.9, 0.1, 0.0]).round(3)
        array([0.998, 0.002, 0.001])
        >>> hopfix.Hopfield(np.eye(3), beta=4.0, separation="sparsemax").update([0.9, 0.1, 0.0])
        array([1., 0., 0.])
    """

    def __new__(cls, patterns: Any = None, *_: Any, **__: Any) -> Hopfield:
        """Make a `hopfix.gpu.DeviceHopfield` for patterns outside host memory."""
        if is_foreign(patterns) and not on_host(patterns):
            from hopfix.gpu import DeviceHopfield

            return super().__new__(DeviceHopfield)
        return super().__new__(cls)

    @interchange
    def __init__(
        self,
        patterns: npt.ArrayLike,
        beta: float = 1.0,
        *,
        log_weights: npt.ArrayLike | None = None,
        values: npt.ArrayLike | None = None,
        similarity: Any = "dot",
        separation: str | tuple[Any, ...] = "softmax",
        normalize: bool = False,
        sparsify_above: float | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._patterns = as_patterns("patterns", patterns)
        self._beta = as_positive("beta", beta)
        n = self._patterns.shape[0]
        given = (
            None if log_weights is None else as_vector("log_weights", log_weights, n, self.dtype)
        )
        self._log_weights = given
        self._model = model_of(
            self._patterns,
            values=values,
            similarity=similarity,
            separation=separation,
            normalize=normalize,
            sparsify_above=sparsify_above,
        )
        self._threads = resolve_threads(num_threads)
        self._image_cache: Hopfield | None = None
        self._core: Any = self._core_of(self.dtype)
        self._core64_cache: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        model = self._model
        options = {
            "log_weights": self._log_weights,
            "values": model.values,
            "similarity": model.similarity if model.matrix is None else model.matrix,
            "separation": model.separation,
            "normalize": model.normalize,
            "sparsify_above": model.sparsify_above,
            "num_threads": self._threads,
        }
        return rebuild, (type(self), (self._patterns, self._beta), options)

    def __eq__(self, other: object) -> bool:
        """Whether the other one is made of equal arguments, whatever its threads."""
        if type(self) is not type(other):
            return NotImplemented
        return same(self._arguments(), other._arguments())

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.patterns.shape), self._beta))

    def _arguments(self) -> tuple[Any, ...]:
        """What makes a network equal to this one."""
        _, (_, arguments, options) = self.__reduce__()
        options = {**options, "log_weights": self.log_weights, "num_threads": None}
        return (*arguments, *(options[name] for name in sorted(options)))

    @property
    def patterns(self) -> FloatArray:
        """(N, d), read-only."""
        return self._patterns

    @property
    def beta(self) -> float:
        """The inverse temperature β."""
        return self._beta

    @property
    def log_weights(self) -> FloatArray:
        """(N,) b, read-only."""
        if self._log_weights is not None:
            return self._log_weights
        zeros = np.zeros(self._patterns.shape[0], dtype=self.dtype)
        zeros.flags.writeable = False
        return zeros

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._patterns.dtype

    @property
    def values(self) -> FloatArray:
        """(N, v), read-only: the patterns, unless others were given."""
        return self._patterns if self._model.values is None else self._model.values

    @property
    def image(self) -> Hopfield:
        """The network of dot products and softmax with the same landscape.

        This network itself where it is one; for a kernel the network of patterns Wx_i, whose state
        is Wξ: its fixed points η are those of this one, ξ = Σ p_i(η) x_i, with the same Morse
        indices; for "neg_sq_l2" that of 2β and log-weights b_i − β‖x_i‖². ValueError for others.
        """
        if self._model.is_network and self._model.similarity == "dot":
            return self
        if self._image_cache is None:
            self._image_cache = image_of(self)
        return self._image_cache

    def _core_of(self, dtype: npt.DTypeLike) -> Any:
        """What computes updates, in this precision."""
        wide = self.dtype != dtype
        patterns = self._patterns.astype(dtype, copy=False)
        if self._model.is_network and self._model.similarity == "neg_sq_l2":
            inner = self.image._core64 if wide else self.image._core
            return SquaredDistanceCore(inner, patterns, self._beta)
        given = self._log_weights
        return self._model.core(
            patterns, self._beta, None if given is None else given.astype(dtype, copy=False)
        )

    @property
    def _core64(self) -> Any:
        """The same network in double precision, in which fixed points are found and proved."""
        if self.dtype == np.float64:
            return self._core
        if self._core64_cache is None:
            self._core64_cache = self._core_of(np.float64)
        return self._core64_cache

    def __repr__(self) -> str:
        n, d = self._patterns.shape
        options = self._model.describe()
        extra = f", {options}" if options else ""
        return f"Hopfield({n} patterns of dimension {d}, beta={self._beta:g}, {self.dtype}{extra})"

    def _states(
        self, value: npt.ArrayLike, name: str = "states"
    ) -> tuple[FloatArray, tuple[int, ...]]:
        return as_states(name, value, self._patterns.shape[1], self.dtype)

    def _apply(
        self,
        method: str,
        states: npt.ArrayLike,
        per_state: tuple[int, ...] = (),
        instead: str = "",
    ) -> FloatArray:
        """`instead`: what to do where results of that shape per state are too many."""
        flat, leading = self._states(states)
        require_memory(method, leading + per_state, self.dtype, instead)
        result: FloatArray = getattr(self._core, method)(flat, self._threads)
        return result.reshape(leading + result.shape[1:])[()]

    @interchange
    def update(self, states: npt.ArrayLike) -> FloatArray:
        """Return f(ξ), shape (..., d): one step of retrieval, one head of attention. O(Nd) a state.

        Raises:
            TypeError, ValueError: naming the argument, also where a result overflows the dtype.
        """
        return self._apply("update", states)

    @interchange
    def weights(self, states: npt.ArrayLike) -> FloatArray:
        """Return p, by default softmax(β x_i·ξ + b_i), shape (..., N)."""
        instead = "take fewer states, or update, which never forms weights"
        return self._apply("weights", states, (len(self._patterns),), instead)

    @interchange
    def energy(self, states: npt.ArrayLike) -> FloatArray:
        """Return E(ξ) = ½‖ξ‖² − β⁻¹ log Σ exp(β x_i·ξ + b_i), shape (...).

        This is Eq. 2 of Ramsauer et al. (2020) without its constant. The update never raises it:
        E(f(ξ)) ≤ E(ξ) − ½‖f(ξ) − ξ‖².

        For other separations log Σ exp is the conjugate Ψ*(z) (`hopfix.separation`), for a kernel
        ‖ξ‖ is ‖Wξ‖ and so is the distance in that bound, and for "neg_sq_l2" E is −Ψ*(z)/(2β), z
        the scores. ValueError where there is no energy, as for "neg_l1".

        Example:
            >>> net = hopfix.Hopfield(np.eye(3), beta=8.0)
            >>> state = np.array([0.9, 0.1, 0.0])
            >>> bool(net.energy(net.update(state)) < net.energy(state))  # updates descend
            True
        """
        return self._apply("energy", states)

    @interchange
    def jacobian(self, states: npt.ArrayLike) -> FloatArray:
        """Return J = β Cov_p(x), shape (..., d, d): exactly symmetric, positive semi-definite.

        Formed from patterns centred at f(ξ), so that it does not cancel at sharp memories.
        Patterns with p_i ≤ u² q / N, q = 1 − max p, are left out (u: unit roundoff of the dtype),
        which changes J by at most β u² q max‖x_i − f‖² in norm. O(Nd²/2) a state.

        For other models than softmax of "dot" or "neg_sq_l2": (..., v, d), column by column in
        O(N d (d + v)), symmetric (to rounding) only for those two similarities with their own
        values and not for "polynomial". The one-sided derivative of `hopfix.separation` where p
        has a kink.

        Example:
            >>> net = hopfix.Hopfield([[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
            >>> net.jacobian([0.0, 0.0])  # an eigenvalue above 1: the origin is unstable
            array([[4., 0.],
                   [0., 0.]])
        """
        d = self._patterns.shape[1]
        v = d if self._model.values is None else self._model.values.shape[1]
        instead = "take fewer states, or jvp, vjp and spectral_radius, which never form J"
        return self._apply("jacobian", states, (v, d), instead)

    @interchange
    def spectral_radius(self, states: npt.ArrayLike) -> FloatArray:
        """Return the largest eigenvalue of J, shape (...), in double precision inside.

        For m = min(N, d) ≤ 64 by a dense eigensolver, O(N d m + m³). Else by Lanczos with full
        reorthogonalisation from a fixed pseudo-random start, O(steps·N d), no d × d matrix: a
        value from below, of relative accuracy 1e-6 (float32) or 1e-9 (float64), usually much
        better. Patterns without weight are left out as in `jacobian`.

        For other models: the largest modulus of an eigenvalue, dense, O(d³); needs v = d.

        Example:
            >>> net = hopfix.Hopfield([[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
            >>> round(float(net.spectral_radius([0.0, 0.0])), 12)
            4.0
        """
        return self._apply("spectral_radius", states)

    @interchange
    def jvp(self, states: npt.ArrayLike, t: npt.ArrayLike) -> FloatArray:
        """Return J(ξ) t, shape (..., d), without forming J. `t` is shaped as `states`."""
        return jvp(self, states, t)

    @overload
    def vjp(
        self, states: npt.ArrayLike, cotangents: npt.ArrayLike, wrt: Sequence[str]
    ) -> tuple[FloatArray, ...]: ...

    @overload
    def vjp(
        self, states: npt.ArrayLike, cotangents: npt.ArrayLike, wrt: str = "states"
    ) -> FloatArray: ...

    @interchange
    def vjp(
        self,
        states: npt.ArrayLike,
        cotangents: npt.ArrayLike,
        wrt: str | Sequence[str] = "states",
    ) -> FloatArray | tuple[FloatArray, ...]:
        """Return derivatives of Σ c·f(ξ), summed over the states: reverse-mode differentiation.

        With g_i = p_i (x_i·c − f·c):

        * "states": J(ξ)ᵀ c = β Σ_i g_i x_i, shape (..., d), one for each state;
        * "patterns": Σ_states p_i c + β g_i ξ, shape (N, d);
        * "beta": Σ_states Σ_i g_i x_i·ξ, shape ();
        * "log_weights": Σ_states g_i, shape (N,).

        Args:
            states: (..., d) ξ.
            cotangents: c, shaped as `states`.
            wrt: one of the names above, or a tuple of them.

        Returns:
            One array for a name, a tuple in the order of the names for a tuple.

        Without d × d matrices, O(Nd) a state. Rounding is that of `jvp`; sums over states run in
        their order, so results do not depend on the number of threads. Memory beyond inputs and
        results: a few numbers for every pattern and each of up to 1,024 states at a time, about
        4 MiB or 32 N numbers, whichever is more.
        """
        return vjp(self, states, cotangents, wrt)

    @overload
    def vjp_fixed_point(
        self,
        states: npt.ArrayLike,
        cotangents: npt.ArrayLike,
        wrt: Sequence[str],
        *,
        tol: float | None = None,
    ) -> tuple[FloatArray, ...]: ...

    @overload
    def vjp_fixed_point(
        self,
        states: npt.ArrayLike,
        cotangents: npt.ArrayLike,
        wrt: str = "patterns",
        *,
        tol: float | None = None,
    ) -> FloatArray: ...

    @interchange
    def vjp_fixed_point(
        self,
        states: npt.ArrayLike,
        cotangents: npt.ArrayLike,
        wrt: str | Sequence[str] = "patterns",
        *,
        tol: float | None = None,
    ) -> FloatArray | tuple[FloatArray, ...]:
        """Return derivatives of Σ c·ξ* with respect to what the fixed points ξ* depend on.

        By the implicit function theorem: (I − J) λ = c is solved at ξ*, and `vjp` with cotangents
        λ gives the answer. This is the derivative of a converged retrieval (whatever its start),
        stable or not, without differentiating through its iterations.

        Args:
            states: (..., d) fixed points, as from `retrieve` or `fixed_points`.
            cotangents: c, shaped as `states`.
            wrt: "patterns", "beta" or "log_weights", or a tuple of them; shapes as in `vjp`.
            tol: a state is a fixed point if ‖f(ξ) − ξ‖₂ ≤ tol·max(1, ‖ξ‖₂), in double precision;
                default 1e-5 (float32), 1e-11 (float64).

        Returns:
            One array for a name, a tuple in the order of the names for a tuple.

        Raises:
            ValueError: naming states that are not fixed points, or at which I − J is singular
                to working precision (degenerate fixed points: folds, bifurcations).

        All in double precision. With r the residual of a state, the relative error is of order
        (r + u)/min|1 − λ(J)|². A dense solve for m = min(N, d) ≤ 768, O(Ndm + m³), else Lanczos,
        O(steps·Nd). Source: Bai, Kolter, Koltun, "Deep Equilibrium Models" (2019), Theorem 1.
        """
        return vjp_fixed_point(self, states, cotangents, wrt, tol)

    @interchange
    def retrieve(
        self,
        states: npt.ArrayLike,
        *,
        max_steps: int = 1000,
        tol: float | None = None,
        executor: Executor | None = None,
    ) -> Retrieval:
        """Iterate the update from every state until that state stops moving.

        Args:
            states: (..., d) queries.
            max_steps: most updates per query; without convergence exactly the max_steps-th
                update is returned.
            tol: a query stops at the first ξ with ‖f(ξ) − ξ‖₂ ≤ tol·max(1, ‖ξ‖₂), judged on the
                state returned; default 1e-6 (float32), 1e-12 (float64).
            executor: any `concurrent.futures.Executor`, which is given up to 64 parts of the
                queries, each with this network; the results are the same to the bit.

        Returns:
            Retrieval(states, steps, converged, residual), each query's independent of the batch.

        From 512 patterns on, a query iterates on a short list of patterns wherever a bound on how
        far logits can move proves that the others' weights are below rounding; it goes back to
        all patterns when its state leaves that reach. Where the others are above rounding, first
        updates on the list are used if an update with all patterns proves that they led into a
        ball that plain iteration contracts, and then the sums of the others are frozen as long
        as a bound on their change is below rounding. Inside a ball on which bounds of the
        Jacobian make the update a contraction (in exact arithmetic), the iteration is accelerated
        (Anderson 1965). A few attractors, those of the patterns' mean and of seven patterns, are
        computed when slow queries first ask for them; a query that comes so near to one that
        plain iteration would end there (by a bound from an estimate of the largest eigenvalue,
        with 2 % to spare) takes it as its last step. The fixed point is that of plain iteration;
        what `max_steps` cuts short are plain updates to the bit. With a
        tolerance below the dtype's epsilon all updates are.

        Example:
            >>> net = hopfix.Hopfield([[1.0, 0.0], [-0.6, 0.8]], beta=8.0)
            >>> found = net.retrieve([[0.7, 0.2], [-0.5, 0.5]])
            >>> found.converged
            array([ True,  True])
            >>> net.weights(found.states).argmax(axis=1)
            array([0, 1])
        """
        flat, leading = self._states(states)
        steps = as_integer("max_steps", max_steps, 0)
        if not self._model.is_network:
            self._core.require_square("retrieve")
        tolerance = as_tolerance(tol, self.dtype == np.float32)
        columns = retrieve(self, flat, min(steps, 2**62), tolerance, as_executor(executor))
        return retrieval_of(columns, leading)

    @interchange
    def certify(self, states: npt.ArrayLike) -> Certificates:
        """Prove, where possible, that a unique fixed point lies near each state.

        The map meant is the exact one for the stored numbers; all rounding is bounded. Method:
        Newton–Kantorovich with the self-concordance of log-sum-exp, see
        cpp/include/hopfix/certificate.hpp. O(N d + K d m + m³) a state with K patterns whose
        weights are not lost in the rounding of the others, m = min(K, d): one Gram matrix and,
        from m = 192 on, as a rule one Cholesky factorisation; an eigensystem below.

        For a kernel and "neg_sq_l2" the statement is about `image` with its stored numbers: for a
        kernel the radii are distances of Wξ.

        Raises:
            RuntimeError: a thread does not round to nearest with gradual underflow.

        Example:
            >>> net = hopfix.Hopfield([[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
            >>> sure = net.certify([[0.0, 0.0], [0.5, 0.0]])  # a saddle, and no fixed point
            >>> sure.certified
            array([ True, False])
            >>> int(sure.morse_index[0])
            1
        """
        image = landscape_of(self, "certify")
        flat, leading = self._states(states)
        mapped = to_image(self, flat).astype(np.float64)
        columns = _core.certify(image._core64, mapped, self._threads)
        return certificates_from(columns, leading)

    def fixed_points(
        self,
        method: str = "auto",
        *,
        certify: bool = True,
        form: str = "auto",
        max_boxes: int | None = None,
        max_face: int | None = None,
        max_count: int | None = None,
        time_limit: float | None = None,
        symmetry: bool = True,
        seed: int = 0,
        progress: Progress | None = None,
        executor: Executor | None = None,
    ) -> FixedPoints:
        """Find fixed points of every Morse index.

        Args:
            method: "cells": exhaustive search over boxes, which finds all points and proves that
                there are no others; in practice for up to about 20 patterns of any dimension, or
                for many in few dimensions (1,000 in two, 500 in three, 30 in six); "faces":
                from every critical face of the limit β → ∞ (`hopfix.faces`), and a proof of
                completeness that grows with the number of sets of patterns that can share the
                weight, not with the dimension: for large β; "starts":
                Newton from many starts, which finds most points of small problems and cannot know
                that it has found all; "closed_form": all points, for orthogonal patterns of equal
                norm (ValueError otherwise); "auto": closed form where it applies and N ≤ 16; else
                "cells" where it may end in a few seconds, within as many boxes as take these;
                "starts" where they do not do.
            certify: False skips the certificates of "closed_form". The other methods tell
                points apart by their certificates and always make them.
            form: what the boxes of "cells" are boxes of: "weights", the softmax weights (N ≤ 128);
                "hull", coordinates of the affine hull of the patterns (of at most 8 dimensions);
                "auto": what is faster, as a rule. "faces" with "auto" proves by supports, described
                below, or by boxes where there are so many sets of patterns, or supports leave
                something open; with "supports" by these alone.
            max_boxes: "cells" stops after this many boxes, and "auto" turns to "starts"; the
                proof of "faces" gives up after this many regions (None: 200,000 and 100 a face),
                and after boxes of some two seconds or as many.
            max_face: "faces" starts from faces of at most so many patterns.
            max_count: stop when this many points are known. Needed for "cells" where symmetry
                makes more points than 8 GiB hold: without, it lists one of every orbit.
            time_limit: stop after about this many seconds.
            symmetry: over weights, "cells" looks for exchangeable patterns, searches for one
                point of every orbit under their exchanges, and lists its images with the
                certificates these take over. Patterns i and j are exchangeable if, without any
                rounding, b_i = b_j, ‖x_i‖ = ‖x_j‖ and x_i·x_k = x_j·x_k for every other k: unit
                vectors, regular simplices, ±x orthogonal to all others, duplicates; not what is
                so only to rounding. False: every point is searched for.
            seed: of the random starts; the result depends on nothing else.
            progress: called now and then as progress(done, total) in this thread ("cells":
                boxes examined, and boxes known so far); an exception it raises ends the search.
            executor: any `concurrent.futures.Executor`, which is given portions of the work, each
                with this network: boxes with what is below them, proofs included, Newton from
                starts and faces, sets of patterns. The list is that without one, to the bit where
                the machines have one instruction-set level; what limits cut short may differ.

        "faces" takes the patterns' limit for offsets b/β, so that mean shift is covered. Newton
        from a face runs on its weights and those felt beside them, O(Nd + m³) a step. What is
        proved: let η ≤ 1/N. Every fixed point has exactly one support I = {i : p_i ≥ η} ≠ ∅, and
        there x_i·ξ + b_i/β ≥ C − log(1/η)/β for i in I, C the common value of
        x_i·ξ + b_i/β − log(p_i)/β. All sets that can be part of a support are enumerated, in the
        order of subsets, and left out only by a rigorous dual bound; in each of the others the
        region {p_I ≥ η, p_k ≤ η elsewhere} is shrunk by interval Newton steps on its large weights
        and split, until it is empty or inside a certificate's uniqueness ball. If all are decided
        the list is complete, at this β, in any dimension; points that no face leads to are found
        and added on the way. N ≤ 4096. The proof stops at the first set that stays open. There is
        no β below which it must fail, and for non-degenerate faces it succeeds above some β; it is
        cheap once log(N)/β is small beside the gaps of the faces.

        For a kernel and "neg_sq_l2" the search and its certificates are those of `image`. For a
        kernel the states are mapped back, and radii are distances of Wξ.

        Returns:
            FixedPoints. Completeness is "proved" only by "cells" with nothing left undecided, by
            "faces" with every support or box decided, or where the closed form applies exactly
            (patterns orthogonal without rounding, β away from every threshold) and every point is
            certified. A search that was cut short is "unknown".

        Raises:
            KeyboardInterrupt: on Ctrl-C, with what was found as its attribute `partial`; so does
                what the executor raises, as `BrokenExecutor` where a worker died.
            MemoryError: a closed form of more than 8 GiB.

        Example:
            >>> points = hopfix.Hopfield(np.eye(3), beta=8.0).fixed_points("cells")
            >>> points.counts
            {0: 3, 1: 3, 2: 1}
            >>> points.completeness
            'proved'
            >>> sorted(points[points.stable].support)
            [(0,), (1,), (2,)]
        """
        options = SearchOptions.checked(
            method,
            certify=certify,
            form=form,
            max_boxes=max_boxes,
            max_face=max_face,
            max_count=max_count,
            time_limit=time_limit,
            symmetry=symmetry,
            seed=seed,
            progress=progress,
            executor=executor,
        )
        return in_network(partial(search, landscape_of(self, "fixed_points"), options), self)

    @interchange
    def follow(
        self,
        beta_to: float,
        fixed_points: FixedPoints | npt.ArrayLike | None = None,
        *,
        offsets: npt.ArrayLike | None = None,
        max_steps: int = 10_000,
        time_limit: float | None = None,
        progress: Progress | None = None,
        executor: Executor | None = None,
    ) -> Branches:
        """Follow fixed points from this network's β to another, through folds and crossings.

        Pseudo-arclength continuation in (ξ, log β). Each curve is listed once, whichever of the
        given points it passes through. Between steps, folds and crossings are noticed by the
        change of direction of β and of the space on which I − J is negative, and located to
        rounding; generic folds are then proved (in up to 64 dimensions). At simple crossings the
        other branch is followed, too; at multiple ones, where symmetric branches meet, those that
        can be found (`BranchEvent.may_have_more`). Two folds that are closer than a step, or
        branches closer than Newton's method can tell apart, may be missed: `Branches.compare` with
        the exhaustive search where it matters.

        Args:
            beta_to: where to follow them to, above or below this network's β.
            fixed_points: the points to follow, as a `FixedPoints` or states (K, d), at this
                network's β; default `self.fixed_points()`. Branches that none of them lies on,
                and that no crossing leads to, are not found.
            offsets: (N,) the part a of the log-weights that is proportional to β: those of this
                network are b + βa, and b is kept. With −‖x_i‖²/2 mean shift is followed in its
                bandwidth β^(−1/2). Default: all log-weights are kept.
            max_steps: most steps along a branch in one direction.
            time_limit: stop after about this many seconds.
            progress: called now and then as progress(done, total) in this thread, with the number
                of given points whose branch is known; an exception it raises ends the work.
            executor: any `concurrent.futures.Executor`, which is given the branches to follow, up
                to 32 at a time, and the search for fixed points; the result is that without one,
                as in `fixed_points`.

        Returns:
            Branches, of `image` for a kernel. A step costs O(N r² + r³), r the dimension of the
            patterns' affine hull.

        Raises:
            KeyboardInterrupt: on Ctrl-C, with what was followed as its attribute `partial`; so does
                what the executor raises. During the search for the default `fixed_points` that is
                a branch of one point for each found.

        Example:
            >>> net = hopfix.Hopfield(np.eye(3), beta=8.0)
            >>> branches = net.follow(2.5)
            >>> branches.folds.round(6)
            array([2.745644, 2.745644, 2.745644])
            >>> round(hopfix.softmax_map.threshold(3), 6)  # the same, in closed form
            2.745644
        """
        return follow(
            self,
            beta_to,
            fixed_points,
            offsets=offsets,
            max_steps=max_steps,
            time_limit=time_limit,
            progress=progress,
            executor=executor,
        )
