"""The association core: projections into the associative space, association, output projection.

Its parameters have the names and shapes of `HopfieldCore` of hflayers 1.0.2, of which it also takes
the arguments.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import Parameter

from hopfix.torch._arguments import as_bias
from hopfix.torch._matrix import Separation, apply_weights, association_weights
from hopfix.torch._operators import associate
from hopfix.torch._projection import Projection, project

__all__ = ["Association", "HopfieldCore", "Norms", "Rules"]

Norms: TypeAlias = tuple[nn.Module | None, nn.Module | None, nn.Module | None]


class Rules(NamedTuple):
    """How to iterate: β, (H,); updates at most and thresholds, H each."""

    beta: Tensor
    max_steps: list[int]
    tolerance: list[float]


class Association(NamedTuple):
    """What the core returns.

    output: (L, B, out) or (B, L, out), as the input; weights: (B, H, L, S) or None; values:
    (B, H, S, P).
    """

    output: Tensor
    weights: Tensor | None
    values: Tensor


class HopfieldCore(nn.Module):
    """Association of state patterns with stored patterns, see `Hopfield`.

    Query, key and value have the batch first or second (`batch_first` of `associate`); a batch of
    one is shared by all samples.
    """

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
                "normalize_hopfield_space_affine: has no effect without normalize_hopfield_space"
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
                "concat_bias_pattern: needs stored patterns and pattern projections that are not "
                "static"
            )
        heads, hidden, pattern = self.num_heads, self.head_dim or 0, self.pattern_dim or 0
        self.bias_k = Parameter(torch.empty(1, 1, heads * hidden))
        self.bias_v = Parameter(torch.empty(1, 1, heads * pattern))

    def _add_kernel(self, kernel_dim: int | None) -> None:
        self.register_parameter("kernel_weight", None)
        if kernel_dim is None:
            return
        if self.head_dim is None:
            raise ValueError('similarity: "kernel" needs an input_size')
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

    def associate(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rules: Rules,
        norms: Norms = (None, None, None),
        batch_first: bool = True,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> Association:
        """Associate; see `Hopfield.forward` for shapes and masks. `norms` are applied first."""
        q, k, v = self._project(query, key, value, norms, batch_first)
        if self.normalize_pattern:
            q, k = self._normalize(q), self._normalize(k)
        if self.kernel_weight is not None:
            if self.separation_losses is not None:
                self.separation_losses.append(self.loss_of(k.detach()))
            q = functional.linear(q, self.kernel_weight)
            k = functional.linear(k, self.kernel_weight)
        k, v, added = self._add_patterns(k, v)
        pattern_bias, bias = self._biases(q, k, key_padding_mask, attn_mask, added)
        out, weights = self._associate(q, k, v, rules, pattern_bias, bias, need_weights)
        joined = out.permute((0, 2, 1, 3) if batch_first else (2, 0, 1, 3)).flatten(start_dim=2)
        if self.out_proj is not None:
            joined = self.out_proj(joined)
        return Association(joined, weights, v)

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

    # Projections ---------------------------------------------------------------------------------

    def _project(
        self, query: Tensor, key: Tensor, value: Tensor, norms: Norms, batch_first: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, H, L, D), k (B, H, S, D) and v (B, H, S, P), as views of projections."""
        projections = self._projections(norms)
        through_key = self.value_as_connected and not self.key_as_static
        if through_key:
            value = projections[1]._replace(norm=norms[2])(value)
            projections[2] = projections[2]._replace(norm=None)
        projected = project([query, key, value], projections)
        shared = (
            self.query_as_static,
            self.key_as_static,
            self.value_as_static and not through_key,
        )
        q, k, v = (
            self._split(tensor, is_shared, batch_first)
            for tensor, is_shared in zip(projected, shared, strict=True)
        )
        return q, k, v

    def _projections(self, norms: Norms) -> list[Projection]:
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

    def _split(self, tensor: Tensor, shared: bool, batch_first: bool) -> Tensor:
        """Return (B, H, rows, size) of (B, rows, H size), or of (B, rows, size) shared by heads."""
        if shared:
            heads = tensor.unsqueeze(2).expand(-1, -1, self.num_heads, -1)
        else:
            heads = tensor.unflatten(-1, (self.num_heads, -1))
        return heads.permute((0, 2, 1, 3) if batch_first else (1, 2, 0, 3))

    def _normalize(self, tensor: Tensor) -> Tensor:
        size = [tensor.shape[-1]]
        return functional.layer_norm(
            tensor, size, self.p_norm_weight, self.p_norm_bias, self.normalize_pattern_eps
        )

    # Association ---------------------------------------------------------------------------------

    def _add_patterns(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, int]:
        """Append the bias pattern and the zero pattern; return how many were appended."""
        added = 0
        batch = k.shape[0]
        if self.bias_k is not None and self.bias_v is not None:
            bias_k = self.bias_k.view(1, self.num_heads, 1, -1)
            if self.kernel_weight is not None:
                bias_k = functional.linear(bias_k, self.kernel_weight)
            bias_v = self.bias_v.view(1, self.num_heads, 1, -1)
            k = torch.cat([k, bias_k.expand(batch, -1, -1, -1)], dim=2)
            v = torch.cat([v, bias_v.expand(batch, -1, -1, -1)], dim=2)
            added += 1
        if self.add_zero_attn:
            k, v = functional.pad(k, [0, 0, 0, 1]), functional.pad(v, [0, 0, 0, 1])
            added += 1
        return k, v, added

    def _biases(
        self,
        q: Tensor,
        k: Tensor,
        padding: Tensor | None,
        mask: Tensor | None,
        added: int,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what is added to the scores: (B, 1, 1, S) and something like (B, H, L, S)."""
        batch = max(q.shape[0], k.shape[0])
        length, count = q.shape[2], k.shape[2] - added
        pattern_bias = bias = None
        if padding is not None:
            pattern_bias = as_bias("stored_pattern_padding_mask", padding, q.dtype)
            if pattern_bias.shape != (batch, count):
                raise ValueError(
                    f"stored_pattern_padding_mask: got shape {tuple(padding.shape)}, need "
                    f"{(batch, count)}"
                )
            pattern_bias = functional.pad(pattern_bias, [0, added])[:, None, None, :]
        if mask is not None:
            bias = as_bias("association_mask", mask, q.dtype)
            if bias.shape == (length, count):
                bias = bias[None, None]
            elif bias.shape == (batch * self.num_heads, length, count):
                bias = bias.view(batch, self.num_heads, length, count)
            else:
                raise ValueError(
                    f"association_mask: got shape {tuple(mask.shape)}, need {(length, count)} or "
                    f"{(batch * self.num_heads, length, count)}"
                )
            bias = functional.pad(bias, [0, added])
        return pattern_bias, bias

    def _associate(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rules: Rules,
        pattern_bias: Tensor | None,
        bias: Tensor | None,
        need_weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        rules = rules._replace(beta=rules.beta.to(q))
        if need_weights or not self._suits_core(q, k, v, pattern_bias, bias):
            both = [b for b in (pattern_bias, bias) if b is not None]
            total = sum(both[1:], both[0]) if both else None
            weights = association_weights(q, k, rules.beta, total, *rules[1:], self.separation)
            return apply_weights(weights, v, self.dropout, self.training), weights
        folded = q.shape[0] > 1 and k.shape[0] == 1 and pattern_bias is None and bias is None
        if folded:
            # All samples share their patterns: to the core they are queries of one sample.
            batch, heads, length, size = q.shape
            q = q.permute(1, 0, 2, 3).reshape(1, heads, batch * length, size)
        batch = max(q.shape[0], k.shape[0])
        k, v, q = (t.expand(batch, -1, -1, -1) for t in (k, v, q))
        shape = (batch, q.shape[1], q.shape[2], k.shape[2])
        if pattern_bias is not None:
            pattern_bias = pattern_bias.expand(batch, shape[1], 1, shape[3])
        if bias is not None:
            bias = bias.expand(shape)
        out = associate(q, k, v, rules.beta, pattern_bias, bias, *rules[1:])
        if folded:
            out = out.unflatten(2, (-1, length)).squeeze(0).permute(1, 0, 2, 3)
        return out, None

    def _suits_core(self, *tensors: Tensor | None) -> bool:
        q, k, v, pattern_bias, bias = tensors
        assert q is not None
        assert k is not None
        assert v is not None
        return (
            self.separation.is_softmax
            and not (self.training and self.dropout > 0)
            and q.dtype in (torch.float32, torch.float64)
            and q.dtype == k.dtype == v.dtype
            and all(t is None or t.device.type == "cpu" for t in tensors)
            and not any(b is not None and b.requires_grad for b in (pattern_bias, bias))
            and 0 not in (q.numel(), k.numel(), v.numel())
        )

    # U-Hop ---------------------------------------------------------------------------------------

    def project_key(self, key: Tensor, norms: Norms, batch_first: bool) -> Tensor:
        """Return the stored patterns in the associative space, (B, H, S, D), before the kernel."""
        k = self._projections(norms)[1](key)
        k = self._split(k, self.key_as_static, batch_first)
        return self._normalize(k) if self.normalize_pattern else k

    def loss_of(self, patterns: Tensor, t: float = 2.0, kind: str = "layer") -> Tensor:
        """Return the separation loss of the kernel for patterns (…, S, D), the mean over sets."""
        from hopfix.torch._uhop import separation_loss

        if self.kernel_weight is None:
            raise ValueError('similarity: there is no kernel, need similarity="kernel"')
        return separation_loss(patterns, self.kernel_weight, t, kind)


def _parts(tensor: Tensor, sizes: list[int]) -> list[Tensor | None]:
    """The parts of a tensor of these sizes, None for 0; there may be more of it."""
    parts = tensor.split([*sizes, tensor.shape[0] - sum(sizes)])
    return [part if size else None for part, size in zip(parts, sizes, strict=False)]
