"""The Hopfield layer: association of state patterns with stored patterns, as hflayers has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hopfix._arrays import as_integer, as_nonnegative
from hopfix.torch._arguments import (
    as_activation,
    as_bool,
    as_probability,
    as_scaling,
    as_steps_eps,
    as_steps_max,
    kernel_rows,
    require_mask,
    sizes_of,
)
from hopfix.torch._association import Association, HopfieldCore, Rules
from hopfix.torch._parameters import Norms
from hopfix.torch._properties import HopfieldProperties
from hopfix.torch._scripting import TracedModule

__all__ = ["Hopfield"]


class Hopfield(HopfieldProperties, TracedModule):
    """A Hopfield association with trained projections (Ramsauer et al. 2020).

    State patterns R, stored patterns Y and pattern projections V are normalised (LayerNorm), and
    projected for every head: q = R W_q, k = Y W_k, v = V W_v. Then q ← softmax(β q kᵀ) k is
    iterated, `update_steps_max` times or until the association weights softmax(β q kᵀ) change by at
    most `update_steps_eps` (2-norm), every query by itself, never dependent on its batch; the last
    weights mix v, and W_o projects what all heads found.

    On the CPU, in float32 and float64, associations and their derivatives are computed by the C++
    core, without the matrix of weights. A finite number of updates is differentiated through all
    that were taken; for `update_steps_max=None` the derivative is that of the fixed point, by the
    implicit function theorem, whatever the number of updates (so that state patterns, where the
    iteration starts, get none). torch's own operations compute the rest: other devices and dtypes,
    dropout in training, separations other than softmax, masks that require a gradient, and the
    association matrix when asked for.

    Parameters have the names and shapes of hflayers 1.0.2: a state_dict goes either way (`bias_v`
    apart, if `pattern_size` is not `hidden_size`: there it has no usable shape). Where hflayers is
    wrong this differs: β per head scales each head; `concat_bias_pattern` concatenates; uint8 masks
    and integer scalings work; static patterns are shared by all heads; a query without any pattern
    left by the masks gets zeros, not NaN.

    Args:
        input_size: size of the state patterns; None if all is static.
        hidden_size: size of the associative space of each head; None: input_size / num_heads.
        output_size: size of the output; None: input_size.
        pattern_size: size of the projected patterns of each head; None: hidden_size.
        num_heads: number of heads.
        scaling: β, a number or a tensor with one per head; a Parameter is trained. None:
            1/√hidden_size.
        update_steps_max: updates at most; None: to convergence (RuntimeError if 10,000 do not do);
            an integer tensor: one per head, negative for None.
        update_steps_eps: threshold of convergence; a tensor: one per head.
        normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps: of
            the LayerNorm of stored patterns.
        normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps: of
            state patterns.
        normalize_pattern_projection, normalize_pattern_projection_affine: of pattern projections.
        normalize_pattern_projection_eps: of pattern projections.
        normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps: of
            the LayerNorm of states and stored patterns of each head in the associative space.
        stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static: these are
            not projected, and have the size hidden_size or pattern_size.
        pattern_projection_as_connected: V is projected by W_k first (Eq. 32 of the blog).
        stored_pattern_size, pattern_projection_size: sizes of Y and V; None: input_size.
        batch_first: (B, L, size) if true, else (L, B, size).
        association_activation: name of a function of torch, applied to the output.
        dropout: of association weights, in training.
        input_bias: whether the projections have biases.
        concat_bias_pattern: append a trained pattern to k and v.
        add_zero_association: append a zero pattern to k and v.
        disable_out_projection: no W_o; the output has the size num_heads · pattern_size.
        separation: instead of softmax "sparsemax", ("entmax", alpha), ("topk", k) or
            ("polynomial", n), as in `hopfix.Hopfield`. On the CPU.
        similarity: "dot", or "kernel" for a trained kernel K(u, v) = (Mu)·(Mv) in the associative
            space (U-Hop, Wu et al. 2024): M, shared by the heads, is the parameter
            `association_core.kernel_weight`, starts as the identity and is to be trained by
            `separation_loss`.
        kernel_size: rows of M; None: hidden_size.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> layer = hopfix.torch.Hopfield(input_size=4, num_heads=2, update_steps_max=3)
        >>> stored, states = torch.ones(1, 5, 4), torch.ones(1, 2, 4)
        >>> layer((stored, states, stored)).shape
        torch.Size([1, 2, 4])
    """

    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: float | Tensor | None = None,
        update_steps_max: int | Tensor | None = 0,
        update_steps_eps: float | Tensor = 1e-4,
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_stored_pattern_eps: float = 1e-5,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_state_pattern_eps: float = 1e-5,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_pattern_projection_eps: float = 1e-5,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
        normalize_hopfield_space_eps: float = 1e-5,
        stored_pattern_as_static: bool = False,
        state_pattern_as_static: bool = False,
        pattern_projection_as_static: bool = False,
        pattern_projection_as_connected: bool = False,
        stored_pattern_size: int | None = None,
        pattern_projection_size: int | None = None,
        batch_first: bool = True,
        association_activation: str | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        separation: str | Sequence[Any] = "softmax",
        similarity: str = "dot",
        kernel_size: int | None = None,
    ) -> None:
        super().__init__()
        sizes = sizes_of(
            input_size=input_size,
            hidden_size=hidden_size,
            output_size=output_size,
            pattern_size=pattern_size,
            stored_pattern_size=stored_pattern_size,
            pattern_projection_size=pattern_projection_size,
            kernel_size=kernel_size,
        )
        heads = as_integer("num_heads", num_heads, 1)
        self.association_core = HopfieldCore(
            embed_dim=sizes["input_size"],
            num_heads=heads,
            dropout=as_probability("dropout", dropout),
            bias=as_bool("input_bias", input_bias),
            add_bias_kv=as_bool("concat_bias_pattern", concat_bias_pattern),
            add_zero_attn=as_bool("add_zero_association", add_zero_association),
            kdim=sizes["stored_pattern_size"],
            vdim=sizes["pattern_projection_size"],
            head_dim=sizes["hidden_size"],
            pattern_dim=sizes["pattern_size"],
            out_dim=sizes["output_size"],
            disable_out_projection=as_bool("disable_out_projection", disable_out_projection),
            key_as_static=as_bool("stored_pattern_as_static", stored_pattern_as_static),
            query_as_static=as_bool("state_pattern_as_static", state_pattern_as_static),
            value_as_static=as_bool("pattern_projection_as_static", pattern_projection_as_static),
            value_as_connected=as_bool(
                "pattern_projection_as_connected", pattern_projection_as_connected
            ),
            normalize_pattern=as_bool("normalize_hopfield_space", normalize_hopfield_space),
            normalize_pattern_affine=as_bool(
                "normalize_hopfield_space_affine", normalize_hopfield_space_affine
            ),
            normalize_pattern_eps=as_nonnegative(
                "normalize_hopfield_space_eps", normalize_hopfield_space_eps
            ),
            separation=separation,
            kernel_dim=kernel_rows(similarity, sizes["kernel_size"]),
        )
        self.association_activation = as_activation(association_activation)
        self.norm_stored_pattern = _normalization(
            "stored_pattern",
            normalize_stored_pattern,
            normalize_stored_pattern_affine,
            normalize_stored_pattern_eps,
            stored_pattern_size or input_size,
        )
        self.norm_state_pattern = _normalization(
            "state_pattern",
            normalize_state_pattern,
            normalize_state_pattern_affine,
            normalize_state_pattern_eps,
            input_size,
        )
        self.norm_pattern_projection = _normalization(
            "pattern_projection",
            normalize_pattern_projection,
            normalize_pattern_projection_affine,
            normalize_pattern_projection_eps,
            pattern_projection_size or input_size,
        )
        self._batch_first = as_bool("batch_first", batch_first)
        self._set_rules(scaling, update_steps_max, update_steps_eps)
        self.reset_parameters()

    def _set_rules(self, scaling: Any, update_steps_max: Any, update_steps_eps: Any) -> None:
        core = self.association_core
        if scaling is None:
            scaling = 1.0 if core.head_dim is None else 1.0 / math.sqrt(core.head_dim)
        # The name of hflayers, in the state_dict of a layer with a trained scaling.
        name, value = "_Hopfield__scaling", as_scaling(scaling, core.num_heads)
        if isinstance(value, nn.Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Tensor):
            self.register_buffer(name, value, persistent=False)
        else:
            setattr(self, name, value)
        self._update_steps_max = update_steps_max
        self._update_steps_eps = update_steps_eps
        self._steps = as_steps_max(update_steps_max, core.num_heads)
        self._eps = as_steps_eps(update_steps_eps, core.num_heads)

    def reset_parameters(self) -> None:
        """Draw all parameters anew (a trained scaling apart)."""
        self.association_core.reset_parameters()
        for norm in (
            self.norm_stored_pattern,
            self.norm_state_pattern,
            self.norm_pattern_projection,
        ):
            if norm is not None:
                norm.reset_parameters()

    def forward(
        self,
        input: Tensor | tuple[Tensor, Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Associate.

        Args:
            input: (stored pattern (B, S, ·), state pattern (B, L, ·), pattern projection
                (B, S, ·)), or one tensor for all three; with the batch second if not `batch_first`.
            stored_pattern_padding_mask: (B, S), patterns to leave out: bool, uint8, or floats that
                are added to the scores.
            association_mask: (L, S) or (B·H, L, S), pairs to leave out, the same.

        Returns:
            (B, L, output_size), with the batch second if not `batch_first`. Time per head and
            update: O(B L S (hidden_size + pattern_size)).

        Raises:
            TypeError, ValueError: naming the argument.
            RuntimeError: with `update_steps_max=None`, a query did not converge in 10,000 updates.
        """
        found = self._associate(_as_triple(input), stored_pattern_padding_mask, association_mask)
        return self._activated(found.output)

    def associate_shared(
        self,
        patterns: tuple[Tensor, Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """The same as `forward`, but patterns with a batch of one are those of every sample.

        They are normalised and projected once.
        """
        found = self._associate(
            patterns, stored_pattern_padding_mask, association_mask, shared=True
        )
        return self._activated(found.output)

    def _activated(self, output: Tensor) -> Tensor:
        return (
            output if self.association_activation is None else self.association_activation(output)
        )

    def _associate(
        self,
        patterns: tuple[Tensor, Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
        *,
        need_weights: bool = False,
        shared: bool = False,
    ) -> Association:
        """Associate; with `shared`, patterns with a batch of one are those of every sample."""
        axis = 0 if self._batch_first else 1
        stored, state, projection = patterns
        if any(p.dim() != 3 for p in patterns):
            raise ValueError(
                f"input: got shapes {', '.join(str(tuple(p.shape)) for p in patterns)}, need three "
                "dimensions"
            )
        if not shared and stored.shape[axis] != state.shape[axis]:
            raise ValueError(
                f"input: got {stored.shape[axis]} samples of stored patterns and "
                f"{state.shape[axis]} of state patterns, need as many"
            )
        require_mask("stored_pattern_padding_mask", stored_pattern_padding_mask)
        require_mask("association_mask", association_mask)
        self.association_core.require_sizes(state, stored, projection)
        return self.association_core.associate(
            state,
            stored,
            projection,
            self._rules(state),
            self._norms(),
            self._batch_first,
            stored_pattern_padding_mask,
            association_mask,
            need_weights,
        )

    def _norms(self) -> Norms:
        return self.norm_state_pattern, self.norm_stored_pattern, self.norm_pattern_projection

    def _rules(self, like: Tensor) -> Rules:
        scaling: float | Tensor = getattr(self, "_Hopfield__scaling")  # noqa: B009 (mangled name)
        if not isinstance(scaling, Tensor):
            heads = self.association_core.num_heads
            scaling = torch.full((heads,), scaling, dtype=like.dtype, device=like.device)
        return Rules(scaling, self._steps, self._eps)

    @torch.no_grad()
    def get_association_matrix(
        self,
        input: Tensor | tuple[Tensor, Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the association weights (B, H, L, S), appended patterns included."""
        weights = self._associate(
            _as_triple(input), stored_pattern_padding_mask, association_mask, need_weights=True
        ).weights
        assert weights is not None
        return weights

    @torch.no_grad()
    def get_projected_pattern_matrix(
        self,
        input: Tensor | tuple[Tensor, Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the projected patterns v (B, H, S, pattern_size), appended ones included."""
        values = self._associate(
            _as_triple(input), stored_pattern_padding_mask, association_mask, need_weights=True
        ).values
        assert values is not None
        return values.clone()

    def separation_loss(
        self,
        input: Tensor | tuple[Tensor, Tensor, Tensor],
        t: float = 2.0,
        kind: str = "layer",
    ) -> Tensor:
        """Return the separation loss of the kernel on the stored patterns of `input`.

        The mean over samples and heads of the loss of `hopfix.kernel.separation_loss` with unit
        features, a function of the kernel alone: nothing else gets a gradient. O(B H S² D).

        Args:
            input: as in `forward`.
            t: sharpness, > 0.
            kind: "layer" (Definition 3.1 of Wu et al. 2024), "average" or "maximum".

        Raises:
            ValueError: the layer has no kernel (similarity="kernel"), fewer than two patterns are
                stored, or naming the argument.
        """
        core = self.association_core
        with torch.no_grad():
            stored = _as_triple(input)[0]
            k = core.project_key(stored, self._norms(), self._batch_first)
        return core.loss_of(k, t, kind)


def _normalization(
    what: str, wanted: Any, affine: Any, eps: float, size: int | None
) -> nn.LayerNorm | None:
    name = f"normalize_{what}"
    if not as_bool(name, wanted):
        if as_bool(f"{name}_affine", affine):
            raise ValueError(f"{name}_affine: got True without {name}, need False")
        return None
    if size is None:
        raise ValueError(f"{name}: needs the size of the patterns, got None")
    eps = as_nonnegative(f"{name}_eps", eps)
    return nn.LayerNorm(size, eps=eps, elementwise_affine=as_bool(f"{name}_affine", affine))


def _as_triple(value: Any) -> tuple[Tensor, Tensor, Tensor]:
    if isinstance(value, Tensor):
        return value, value, value
    if isinstance(value, tuple) and len(value) == 3 and all(isinstance(t, Tensor) for t in value):
        return value
    got = f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
    raise TypeError(
        f"input: got {got}, need a tensor, or a tuple of three tensors: stored pattern, "
        "state pattern, pattern projection"
    )
