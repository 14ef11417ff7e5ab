"""The mean-field map of a self-attention network."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core
from hopfix._arrays import (
    as_bool,
    as_float_array,
    as_integer,
    as_nonnegative,
    as_positive,
    require_finite,
    require_squares,
)
from hopfix._config import resolve_threads
from hopfix._executor import as_executor
from hopfix._progress import Progress, as_progress
from hopfix.mean_field._columns import (
    as_class_weights,
    as_matrices,
    as_parameters,
    as_position_weight,
    as_steps,
    position_fields,
)
from hopfix.mean_field._correlations import classes_of
from hopfix.mean_field._network import AttentionNetwork
from hopfix.mean_field._published import POSITIONS, SEGMENTS
from hopfix.mean_field._results import (
    Array,
    Bifurcation,
    LyapunovExponents,
    Sensitivities,
    Simulation,
    State,
)
from hopfix.mean_field._sweep import SweepOptions, bifurcation
from hopfix.mean_field._system import System, sensitivities
from hopfix.mean_field._trajectories import lyapunov_exponents, simulate


class AttentionMeanField:
    """The map A_t = F(A_{t−1}, …, A_{t−L}) of attention in the limit of many units.

    m^x_a = (1−ε) Σ_c π_c W^x_ac tanh(β Σ_b W^o_bc A_b,t−1) + ε n⁻¹ Σ_j P^x_aj p_j(t),
    A_a,t = Σ_τ m^v_a,τ softmax_τ((γ/√M) Σ_b m^q_b,t m^k_b,τ), over the last L tokens τ.

    p(t) are the n bits of t mod L, most significant first, 0 as −1. Only the first term of m^o acts
    on the next token. Float64; a trajectory is bitwise the same alone or in any batch, on any
    number of threads, and continued from a saved state.

    Args:
        output, value, query, key: (M, K) the columns W_c of classes of units, usually ±1. Columns
            that are equal in all four, or equal but for one sign, are merged.
        beta: inverse temperature β > 0.
        gamma: γ ≥ 0 of the softmax.
        context: the number L of tokens attended to.
        position_weight: ε in [0, 1].
        positions: (P_o, P_v, P_q, P_k), each (M, n) with 2ⁿ ≥ L; needed if ε > 0.
        class_weights: (K,) π_c, the shares of the classes, with sum 1; default 1/K.
        num_threads: as in `Hopfield`.

    A step costs O(MK + LM); L exponentials and a hyperbolic tangent for each class.
    Source: "Dynamical Mean-Field Theory of Self-Attention Neural Networks", Eqs. 12 to 15.

    Example:
        >>> model = hopfix.mean_field.AttentionMeanField.paper(beta=1.27)
        >>> run = model.simulate(2000, discard=1000)
        >>> run.attention.shape
        (1000, 3)
        >>> round(float(model.lyapunov(10_000).exponents[0]), 3)  # a cycle
        -0.048
    """

    # Whether the classes are not sets of units but what correlations are written as.
    _from_correlations = False

    def __init__(
        self,
        output: npt.ArrayLike,
        value: npt.ArrayLike,
        query: npt.ArrayLike,
        key: npt.ArrayLike,
        *,
        beta: float,
        gamma: float,
        context: int,
        position_weight: float = 0.0,
        positions: Sequence[npt.ArrayLike] | None = None,
        class_weights: npt.ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> None:
        matrices = as_matrices((output, value, query, key))
        weights = as_class_weights(class_weights, matrices[0].shape[1])
        self._set(
            matrices[0].T,
            np.stack(matrices) * weights,
            weights,
            beta=beta,
            gamma=gamma,
            context=context,
            position_weight=position_weight,
            positions=positions,
            num_threads=num_threads,
        )

    def _set(
        self,
        projection: Array,
        readouts: Array,
        shares: Array,
        *,
        beta: float,
        gamma: float,
        context: int,
        position_weight: float,
        positions: Sequence[npt.ArrayLike] | None,
        num_threads: int | None,
    ) -> None:
        """Take classes with any projection (K, M), weighted readouts (4, M, K), shares (K,)."""
        self._beta = as_positive("beta", beta)
        self._gamma = as_nonnegative("gamma", gamma)
        self._context = as_integer("context", context, 1)
        self._weight = as_position_weight(position_weight)
        if positions is None and self._weight > 0:
            raise ValueError(f"positions: needed for position_weight {self._weight:g} > 0")
        fields = position_fields(positions, projection.shape[1], self._context)
        self._threads = resolve_threads(num_threads)
        self._system = System(projection, readouts, shares, fields)

    @classmethod
    def from_correlations(
        cls,
        output: npt.ArrayLike,
        value: npt.ArrayLike,
        query: npt.ArrayLike,
        key: npt.ArrayLike,
        *,
        beta: float,
        gamma: float,
        context: int,
        position_weight: float = 0.0,
        positions: Sequence[npt.ArrayLike] | None = None,
        num_threads: int | None = None,
    ) -> AttentionMeanField:
        """Make the map of ±1 weights that are known by their correlations alone (Eq. 29).

        Args:
            output: (2^(M−1), M) ⟨W^o_a Π_{b∈S} W^o_b⟩ over the units, a row for every set S of an
                odd number of features, by size, then lexicographically: {1}, …, {M}, {1,2,3},
                {1,2,4}, …
            value: the same of W^v_a.
            query: the same of W^q_a.
            key: the same of W^k_a.
            beta: as in the class.
            gamma: as in the class.
            context: as in the class.
            position_weight: as in the class.
            positions: as in the class.
            num_threads: as in the class.

        The columns of the result, for a first token, are the 2^(M−1) signs σ of the output weights
        with σ_1 = 1.
        """
        signs, readouts, shares = classes_of(as_matrices((output, value, query, key)))
        model = cls.__new__(cls)
        model._set(
            signs,
            readouts,
            shares,
            beta=beta,
            gamma=gamma,
            context=context,
            position_weight=position_weight,
            positions=positions,
            num_threads=num_threads,
        )
        model._from_correlations = True
        return model

    @classmethod
    def paper(cls, beta: float, *, num_threads: int | None = None) -> AttentionMeanField:
        """Make the network of the published figures: M = 3, L = 4, ε = 0.02, γ = 220, n = 2."""
        return cls(
            *SEGMENTS,
            beta=beta,
            gamma=220.0,
            context=4,
            position_weight=0.02,
            positions=POSITIONS,
            num_threads=num_threads,
        )

    @property
    def features(self) -> int:
        """M."""
        return self._system.features

    @property
    def context(self) -> int:
        """L."""
        return self._context

    @property
    def beta(self) -> float:
        """β."""
        return self._beta

    @property
    def gamma(self) -> float:
        """γ."""
        return self._gamma

    @property
    def position_weight(self) -> float:
        """ε."""
        return self._weight

    def __repr__(self) -> str:
        return (
            f"AttentionMeanField({self.features} features, context {self._context}, "
            f"{self._system.classes} classes, beta={self._beta:g}, gamma={self._gamma:g}, "
            f"position_weight={self._weight:g})"
        )

    def with_parameters(
        self,
        *,
        beta: float | None = None,
        gamma: float | None = None,
        position_weight: float | None = None,
    ) -> AttentionMeanField:
        """Return the same network with other parameters, checked likewise; None keeps one."""
        model = type(self).__new__(type(self))
        model.__dict__.update(self.__dict__)
        if beta is not None:
            model._beta = as_positive("beta", beta)
        if gamma is not None:
            model._gamma = as_nonnegative("gamma", gamma)
        if position_weight is not None:
            model._weight = as_position_weight(position_weight)
            if model._weight > 0 and not self._system.has_positions:
                raise ValueError(
                    f"position_weight: got {model._weight:g}, need 0: the network has no "
                    "position units, make one with positions"
                )
        return model

    def _with_shares(self, shares: Array) -> AttentionMeanField:
        """The same classes of units with other shares, 0 where they had none."""
        system = self._system
        factors = np.divide(
            shares, system.shares, where=system.shares > 0, out=np.zeros(len(shares))
        )
        model = self.with_parameters()
        model._system = System(
            system.projection, system.readouts * factors, shares, system.positions, distinct=True
        )
        return model

    def network(self, n_spins: int, seed: int = 0) -> AttentionNetwork:
        """Return the finite network of `n_spins` units; see `AttentionNetwork`."""
        return AttentionNetwork(self, n_spins, seed)

    def field_covariance(self, attention: npt.ArrayLike) -> Array:
        """Return N times the covariance (4 M, 4 M) of the fields after an attention (M,).

        (1−ε)² Σ_c π_c W_c W_cᵀ (1 − tanh²(β W^o_c·A)), W_c the stacked columns o, v, q, k: what the
        units of a finite network, drawn independently, make of the fields. Not for networks made
        from correlations.
        """
        if self._from_correlations:
            raise ValueError(
                "field_covariance: correlations do not tell it, need a model of weight matrices"
            )
        values = as_float_array("attention", attention).astype(np.float64)
        if values.shape != (self.features,):
            raise ValueError(f"attention: got shape {values.shape}, need ({self.features},)")
        require_finite("attention", values)
        require_squares("attention", values)
        system = self._system
        stacked = system.readouts.reshape(4 * self.features, -1)
        shares = np.where(system.shares > 0, system.shares, 1)
        spread = 1 - np.tanh(self._beta * (system.projection @ values)) ** 2
        # Unlike @ with a small result, np.dot releases the GIL.
        scaled = (1 - self._weight) ** 2 * (stacked * (spread / shares))
        answer: Array = np.dot(scaled, stacked.T)
        return answer

    def first_token(self, token: npt.ArrayLike | None = None) -> State:
        """Return the state before the first step, of one token (K,) in [−1, 1]; default all +1."""
        values = self._system.as_token(np.ones(self._system.columns) if token is None else token)
        return State(np.empty((0, self.features)), 0, values)

    def random_state(self, seed: int | np.random.Generator) -> State:
        """Return a full window of independent attentions, uniform in [−1, 1], at position 0."""
        if not isinstance(seed, np.random.Generator):
            seed = np.random.default_rng(as_integer("seed", seed, 0))
        return State(seed.uniform(-1, 1, (self._context, self.features)))

    def step(self, state: State) -> State:
        """Return the `State` one step later, for any state that can be continued."""
        return simulate(self, [state], 1, 1, _core.AttentionOutput.nothing, None)[1][0]

    def simulate(
        self,
        steps: int,
        start: State | None = None,
        discard: int = 0,
        *,
        progress: Progress | None = None,
    ) -> Simulation:
        """Follow one trajectory.

        Args:
            steps: steps to make, those discarded included.
            start: where from; default `first_token()`.
            discard: first steps that are not kept.
            progress: called with (steps done, steps in all), in units of blocks.

        Returns:
            Simulation of steps − discard steps, float64. The cost is that of the class a step.

        Raises:
            TypeError, ValueError: naming the argument.
            KeyboardInterrupt: on Ctrl-C; nothing is kept.
        """
        count, dropped = as_steps(steps, discard)
        begin = self.first_token() if start is None else start
        everything = _core.AttentionOutput.everything
        rows, ends = simulate(self, [begin], count, dropped, everything, as_progress(progress))
        return Simulation.from_columns(rows[0], ends[0])

    def jacobian(self, state: State) -> Array:
        """Return the Jacobian (L M, L M) of the map on (A_t, …, A_{t−L+1}) at a full window.

        Rows and columns by age, newest first, then feature. Analytic, O(L M² (K + M)).
        """
        attention = self._system.full_window(state)
        blocks = _core.attention_jacobian(
            self._system.core, self._parameters(1), attention, state.position, self._threads
        )[0]
        m, size = self.features, self._context * self.features
        matrix = np.eye(size, k=-m)
        matrix[:m] = blocks.transpose(1, 0, 2).reshape(m, size)
        return matrix

    def sensitivities(self, state: State) -> Sensitivities:
        """Return the derivatives of the next attention by β, γ and ε, at a fixed full window."""
        window = self._system.full_window(state)
        found = self._sensitivities(window, [state.position])
        return Sensitivities(*(rows[0] for rows in found))

    def _sensitivities(self, windows: Array, positions: Any) -> Sensitivities:
        """Of windows (n, L, M) at positions (n,)."""
        return sensitivities(
            self._system, self._beta, self._gamma, self._weight, windows, positions
        )

    def lyapunov(
        self,
        steps: int,
        start: State | None = None,
        discard: int | None = None,
        *,
        count: int | None = None,
        progress: Progress | None = None,
    ) -> LyapunovExponents:
        """Return Lyapunov exponents of one trajectory, by QR of the Jacobian at every step.

        Args:
            steps: steps to make, those discarded included.
            start: where from; default `first_token()`.
            discard: first steps that do not count; default a fifth. Of the others a tenth lets the
                tangents turn into their directions and does not count either.
            count: exponents wanted, the largest ones; default all L·M.
            progress: as in `simulate`.

        O(steps · L M n²) for n exponents. Source: Benettin et al. (1980). The errors are those of
        the means of 32 batches and hold where batches are longer than correlations.
        """
        total, dropped = as_steps(steps, steps // 5 if discard is None else discard)
        begin = self.first_token() if start is None else start
        wanted = self._exponents_wanted(count)
        return lyapunov_exponents(self, begin, total, dropped, wanted, as_progress(progress))

    def bifurcation(
        self,
        betas: npt.ArrayLike,
        steps: int,
        discard: int,
        lyapunov: bool = False,
        start: State | None = None,
        *,
        count: int | None = None,
        gammas: npt.ArrayLike | None = None,
        position_weights: npt.ArrayLike | None = None,
        progress: Progress | None = None,
        executor: Executor | None = None,
    ) -> Bifurcation:
        """Follow trajectories at many parameters, in the lanes of vectors and in threads.

        Args:
            betas: (n,) β.
            steps: steps of each, those discarded included.
            discard: first steps that are not kept.
            lyapunov: also Lyapunov exponents over the steps kept (see `lyapunov`), which costs
                these steps once more.
            start: where all trajectories start; default as published: the one with the largest β
                (the first of them) is followed for `steps` from `first_token()`, and all start
                where it ends.
            count: exponents wanted, the largest ones; default all L·M.
            gammas: (n,) γ; default the network's.
            position_weights: (n,) ε; default the network's.
            progress: as in `simulate`; with an executor (parameters done, parameters in all).
            executor: any `concurrent.futures.Executor`, which is given up to 64 parts of the
                parameters, each with this network; the result is the same to the bit.

        Returns:
            Bifurcation; its trajectories are those of `simulate`, to the bit.

        Raises:
            TypeError, ValueError: naming the argument.
            KeyboardInterrupt: on Ctrl-C; nothing is kept, but see `hopfix.mean_field.sweep`.
        """
        worker = as_executor(executor)
        options = SweepOptions(*as_steps(steps, discard), self._exponents_wanted(count, lyapunov))
        parameters = as_parameters(self, betas, gammas, position_weights)
        return bifurcation(self, parameters, options, start, as_progress(progress), worker)

    def _parameters(self, count: int) -> Array:
        return np.repeat([[self._beta], [self._gamma], [self._weight]], count, axis=1)

    def _exponents_wanted(self, count: int | None, lyapunov: bool = True) -> int:
        size = self._context * self.features
        wanted = size if count is None else as_integer("count", count, 1, size)
        return wanted if as_bool("lyapunov", lyapunov) else 0
