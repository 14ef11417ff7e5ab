"""The parameters of an association: sizes, projections, appended patterns, kernel.

They have the names and shapes of those of `HopfieldCore` of hflayers 1.0.2, of which it also takes
the arguments.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parameter import Parameter

from hopfix.torch._matrix import Separation
from hopfix.torch._projection import Projection

__all__ = ["AssociationParameters", "Norms"]

Norms: TypeAlias = tuple[nn.Module | None, nn.Module | None, nn.Module | None]


class AssociationParameters(nn.Module):
    """What an association is made of, see `Hopfield`."""

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    out_proj: nn.Linear | None
    p_norm_weight: Parameter | None
    p_norm_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None
    kernel_weight: Parameter | None

    def __init__(
        self,
        embed_dim: int | None = None,
        num_heads: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        head_dim: int | None = None,
        pattern_dim: int | None = None,
        out_dim: int | None = None,
        disable_out_projection: bool = False,
        key_as_static: bool = False,
        query_as_static: bool = False,
        value_as_static: bool = False,
        value_as_connected: bool = False,
        normalize_pattern: bool = False,
        normalize_pattern_affine: bool = False,
        normalize_pattern_eps: float = 1e-5,
        separation: Any = "softmax",
        kernel_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.key_as_static = key_as_static
        self.query_as_static = query_as_static
        self.value_as_static = value_as_static
        self.value_as_connected = value_as_connected
        self.normalize_pattern = normalize_pattern
        self.normalize_pattern_affine = normalize_pattern_affine
        self.normalize_pattern_eps = normalize_pattern_eps
        self.disable_out_projection = disable_out_projection
        self.num_heads = num_heads
        self.dropout = dropout
        self.add_zero_attn = add_zero_attn
        self.separation = Separation(separation)
        self.static_execution = (
            key_as_static
            and query_as_static
            and value_as_static
            and disable_out_projection
            and not (value_as_connected or normalize_pattern or normalize_pattern_affine)
        )
        self._set_dimensions(embed_dim, kdim, vdim, head_dim, pattern_dim, out_dim)
        self._add_projections(bias)
        self._add_normalization()
        self._add_bias_patterns(add_bias_kv)
        self._add_kernel(kernel_dim)
        self.separation_losses: list[Tensor] | None = None
        self.reset_parameters()

    def _set_dimensions(
        self,
        embed_dim: int | None,
        kdim: int | None,
        vdim: int | None,
        head_dim: int | None,
        pattern_dim: int | None,
        out_dim: int | None,
    ) -> None:
        if self.static_execution:
            embed_dim, kdim, vdim = None, None, None
        elif embed_dim is None:
            raise ValueError(
                "input_size: got None, need a size unless all of stored_pattern_as_static, "
                "state_pattern_as_static, pattern_projection_as_static and disable_out_projection "
                "are set"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.out_dim = embed_dim if out_dim is None else out_dim
        self.head_dim: int | None = None
        self.pattern_dim = pattern_dim
        self._same_embed_dim = (
            self.kdim == embed_dim
            and self.vdim == embed_dim
            and pattern_dim is None
            and not self.value_as_connected
        )
        if embed_dim is None:
            return
        if head_dim is None:
            head_dim = embed_dim // self.num_heads
            if head_dim * self.num_heads != embed_dim:
                raise ValueError(
                    f"num_heads: got {self.num_heads}, need a divisor of input_size={embed_dim}, "
                    "or a hidden_size"
                )
        self.head_dim = head_dim
        if self.pattern_dim is None:
            self.pattern_dim = head_dim
        if self.value_as_connected and (self.kdim != self.vdim or self.pattern_dim != head_dim):
            raise ValueError(
                "pattern_projection_as_connected: needs stored_pattern_size = "
                f"pattern_projection_size and pattern_size = hidden_size, got {self.kdim}, "
                f"{self.vdim}, {self.pattern_dim} and {head_dim}"
            )

    def _add_projections(self, bias: bool) -> None:
        projected = [not self.query_as_static, not self.key_as_static, not self.value_as_static]
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            self.register_parameter(name, None)
        self.register_parameter("in_proj_bias", None)
        if self.head_dim is None or self.pattern_dim is None or self.embed_dim is None:
            self.register_module("out_proj", None)
            return
        hidden, pattern = self.num_heads * self.head_dim, self.num_heads * self.pattern_dim
        rows = [hidden, hidden, pattern]
        columns = [self.embed_dim, self.kdim, self.vdim]
        if self.value_as_connected and not self.key_as_static:
            columns[2] = hidden
        if not self._same_embed_dim:
            names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
            for name, wanted, out, inner in zip(names, projected, rows, columns, strict=True):
                if wanted:
                    setattr(self, name, Parameter(torch.empty(out, inner or 0)))
        elif any(projected):
            total = sum(out for out, wanted in zip(rows, projected, strict=True) if wanted)
            self.in_proj_weight = Parameter(torch.empty(total, self.embed_dim))
        if bias and any(projected):
            # With a static projection its part is there, too, and not used: so are the shapes.
            total = hidden * projected[0] + hidden * projected[1] + pattern
            self.in_proj_bias = Parameter(torch.empty(total))
        if self.disable_out_projection:
            self.register_module("out_proj", None)
        else:
            self.out_proj = nn.Linear(pattern, self.out_dim or 0, bias=bias)

    def _add_normalization(self) -> None:
        self.register_parameter("p_norm_weight", None)
        self.register_parameter("p_norm_bias", None)
        if not self.normalize_pattern_affine:
            return
        if not self.normalize_pattern:
            raise ValueError(
                "normalize_hopfield_space_affine: got True without normalize_hopfield_space, need "
                "False"
            )
        self.p_norm_weight = Parameter(torch.empty(self.head_dim or 0))
        self.p_norm_bias = Parameter(torch.empty(self.head_dim or 0))

    def _add_bias_patterns(self, wanted: bool) -> None:
        self.register_parameter("bias_k", None)
        self.register_parameter("bias_v", None)
        if not wanted:
            return
        if self.key_as_static or self.value_as_static:
            raise ValueError(
                "concat_bias_pattern: got True, which needs stored_pattern_as_static=False and "
                "pattern_projection_as_static=False"
            )
        heads, hidden, pattern = self.num_heads, self.head_dim or 0, self.pattern_dim or 0
        self.bias_k = Parameter(torch.empty(1, 1, heads * hidden))
        self.bias_v = Parameter(torch.empty(1, 1, heads * pattern))

    def _add_kernel(self, kernel_dim: int | None) -> None:
        self.register_parameter("kernel_weight", None)
        if kernel_dim is None:
            return
        if self.head_dim is None:
            raise ValueError('similarity: got "kernel" without an input_size, need one')
        self.kernel_weight = Parameter(torch.empty(kernel_dim or self.head_dim, self.head_dim))

    def reset_parameters(self) -> None:
        """Draw the projections from a normal distribution of deviation 0.02; kernels start at I."""
        for weight in (self.p_norm_weight, self.kernel_weight):
            if weight is not None and weight.dim() == 1:
                nn.init.ones_(weight)
            elif weight is not None:
                nn.init.eye_(weight)
        normal: list[Tensor | None] = [
            self.in_proj_weight,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ]
        zero: list[Tensor | None] = [self.p_norm_bias, self.in_proj_bias]
        if self.out_proj is not None:
            normal.append(self.out_proj.weight)
            zero.append(self.out_proj.bias)
        for parameter in (*normal, self.bias_k, self.bias_v):
            if parameter is not None:
                nn.init.normal_(parameter, mean=0.0, std=0.02)
        for parameter in zero:
            if parameter is not None:
                nn.init.zeros_(parameter)

    def require_sizes(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Raise ValueError for patterns of the wrong size or number."""
        head = self.head_dim
        if self.query_as_static and self.key_as_static:
            needed = [(query, None), (key, query.shape[2])]
        else:
            needed = [
                (query, head if self.query_as_static else self.embed_dim),
                (key, head if self.key_as_static else self.kdim),
            ]
        size = self.vdim
        if self.value_as_static and (self.key_as_static or not self.value_as_connected):
            size = None if self.disable_out_projection else self.pattern_dim
        needed.append((value, size))
        names = ("state pattern", "stored pattern", "pattern projection")
        for name, (tensor, size) in zip(names, needed, strict=True):
            if size is not None and tensor.shape[2] != size:
                raise ValueError(f"input: the {name} has size {tensor.shape[2]}, need {size}")
        if key.shape[:2] != value.shape[:2]:
            raise ValueError(
                f"input: stored pattern and pattern projection have shapes {tuple(key.shape)} and "
                f"{tuple(value.shape)}, need as many patterns"
            )

    def projections(self, norms: Norms) -> list[Projection]:
        """Return those of query, key and value; without weights where they are static."""
        static = (self.query_as_static, self.key_as_static, self.value_as_static)
        weights: list[Tensor | None] = [
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
        ]
        biases: list[Tensor | None] = [None] * 3
        if self.head_dim is not None and self.pattern_dim is not None:
            hidden, pattern = self.num_heads * self.head_dim, self.num_heads * self.pattern_dim
            needed = (hidden, hidden, pattern)
            sizes = [0 if s else size for s, size in zip(static, needed, strict=True)]
            if self.in_proj_weight is not None:
                weights = _parts(self.in_proj_weight, sizes)
            if self.in_proj_bias is not None:
                biases = _parts(self.in_proj_bias, sizes)
        return [Projection(*each) for each in zip(weights, biases, norms, strict=True)]


def _parts(tensor: Tensor, sizes: list[int]) -> list[Tensor | None]:
    """The parts of a tensor of these sizes, None for 0; there may be more of it."""
    parts = tensor.split([*sizes, tensor.shape[0] - sum(sizes)])
    return [part if size else None for part, size in zip(parts, sizes, strict=False)]
