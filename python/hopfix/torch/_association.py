"""The association core: projections into the associative space, association, output projection."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hopfix.torch._arguments import as_bias
from hopfix.torch._folded import FoldedAssociation, fold_rows, is_worth_folding
from hopfix.torch._matrix import apply_weights, association_weights
from hopfix.torch._operators import associate, to_convergence
from hopfix.torch._parameters import AssociationParameters, Norms
from hopfix.torch._projection import project

__all__ = ["Association", "HopfieldCore", "Rules"]


class Rules(NamedTuple):
    """How to iterate: β, (H,); updates at most and thresholds, H each."""

    beta: Tensor
    max_steps: list[int]
    tolerance: list[float]


class Association(NamedTuple):
    """What the core returns.

    output: (L, B, out) or (B, L, out), as the input; weights: (B, H, L, S), values: (B, H, S, P),
    or None where they were not formed.
    """

    output: Tensor
    weights: Tensor | None
    values: Tensor | None


class HopfieldCore(AssociationParameters):
    """Association of state patterns with stored patterns, see `Hopfield`.

    Query, key and value have the batch first or second (`batch_first` of `associate`); a batch of
    one is shared by all samples.
    """

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
        masks = key_padding_mask, attn_mask
        if not need_weights and self._suits_folding(query, key, value, rules, batch_first, masks):
            out = self._associate_folded(query, key, value, rules, norms, batch_first, masks)
            return Association(self._joined(out, batch_first), None, None)
        q, k, v = self._project(query, key, value, norms, batch_first)
        if self.normalize_pattern:
            q, k = self._normalize(q), self._normalize(k)
        if self.kernel_weight is not None:
            if self.separation_losses is not None:
                self.separation_losses.append(self.loss_of(k.detach()))
            q = functional.linear(q, self.kernel_weight)
            k = functional.linear(k, self.kernel_weight)
        k, v, added = self._add_patterns(k, v)
        sizes = max(len(q), len(k)), q.shape[2], k.shape[2] - added
        pattern_bias, bias = self._biases(sizes, q.dtype, *masks, added)
        out, weights = self._associate(q, k, v, rules, pattern_bias, bias, need_weights)
        return Association(self._joined(out, batch_first), weights, v)

    def _joined(self, out: Tensor, batch_first: bool) -> Tensor:
        """The output of what the heads found, (B, H, L, P)."""
        joined = out.permute((0, 2, 1, 3) if batch_first else (2, 0, 1, 3)).flatten(start_dim=2)
        return joined if self.out_proj is None else self.out_proj(joined)

    # Projections ---------------------------------------------------------------------------------

    def _project(
        self, query: Tensor, key: Tensor, value: Tensor, norms: Norms, batch_first: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return q (B, H, L, D), k (B, H, S, D) and v (B, H, S, P), as views of projections."""
        projections = self.projections(norms)
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
        sizes: tuple[int, int, int],
        dtype: torch.dtype,
        padding: Tensor | None,
        mask: Tensor | None,
        added: int = 0,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return what is added to the scores: (B, 1, 1, S) and something like (B, H, L, S).

        sizes: of batch, queries and patterns but those appended.
        """
        batch, length, count = sizes
        pattern_bias = bias = None
        if padding is not None:
            pattern_bias = as_bias("stored_pattern_padding_mask", padding, dtype)
            if pattern_bias.shape != (batch, count):
                raise ValueError(
                    f"stored_pattern_padding_mask: got shape {tuple(padding.shape)}, need "
                    f"{(batch, count)}"
                )
            pattern_bias = functional.pad(pattern_bias, [0, added])[:, None, None, :]
        if mask is not None:
            bias = as_bias("association_mask", mask, dtype)
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
            total = _sum_of(pattern_bias, bias)
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

    def _suits_core(self, q: Tensor, k: Tensor, v: Tensor, *biases: Tensor | None) -> bool:
        given = [q, k, v, *(bias for bias in biases if bias is not None)]
        return (
            self.separation.is_softmax
            and not (self.training and self.dropout > 0)
            and q.dtype in (torch.float32, torch.float64)
            and q.dtype == k.dtype == v.dtype
            and all(t.device.type == "cpu" for t in given)
            and not any(bias.requires_grad for bias in given[3:])
            and 0 not in (q.numel(), k.numel(), v.numel())
        )

    # Few queries ---------------------------------------------------------------------------------

    def _suits_folding(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rules: Rules,
        batch_first: bool,
        masks: tuple[Tensor | None, Tensor | None],
    ) -> bool:
        """Whether the patterns had better not be projected, and need not be; see _folded.py."""
        axis = 0 if batch_first else 1
        endless = [most == to_convergence for most in rules.max_steps]
        if (
            self.key_as_static
            or self.value_as_static
            or self.value_as_connected
            or self.normalize_pattern
            or self.kernel_weight is not None
            or self.bias_k is not None
            or self.add_zero_attn
            or key.shape[axis] < query.shape[axis]
            or any(endless) != all(endless)
            or torch._C._get_tracing_state() is not None
            or torch.compiler.is_compiling()
            or not self._suits_core(query, key, value, *masks)
        ):
            return False
        assert self.head_dim is not None
        assert self.pattern_dim is not None
        return is_worth_folding(
            key.shape[0] * key.shape[1],
            (key.shape[2], value.shape[2]),
            (self.num_heads, query.shape[1 - axis]),
            (self.head_dim, self.pattern_dim),
            rules.max_steps,
        )

    def _associate_folded(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rules: Rules,
        norms: Norms,
        batch_first: bool,
        masks: tuple[Tensor | None, Tensor | None],
    ) -> Tensor:
        """What the heads find, (B, H, L, P)."""
        projections = self.projections(norms)
        q = self._split(projections[0](query), self.query_as_static, batch_first)
        keys, values = fold_rows(key, value, projections[1:], self.num_heads, batch_first)
        batch, count, _ = keys.rows.shape
        q = q.expand(batch, -1, -1, -1)
        biases = self._biases((batch, q.shape[2], count), q.dtype, *masks)
        folded = FoldedAssociation(keys, values, rules.beta.to(q), *biases)
        return folded(q, *rules[1:])

    # U-Hop ---------------------------------------------------------------------------------------

    def project_key(self, key: Tensor, norms: Norms, batch_first: bool) -> Tensor:
        """Return the stored patterns in the associative space, (B, H, S, D), before the kernel."""
        k = self.projections(norms)[1](key)
        k = self._split(k, self.key_as_static, batch_first)
        return self._normalize(k) if self.normalize_pattern else k

    def loss_of(self, patterns: Tensor, t: float = 2.0, kind: str = "layer") -> Tensor:
        """Return the separation loss of the kernel for patterns (…, S, D), the mean over sets."""
        from hopfix.torch._uhop import separation_loss

        if self.kernel_weight is None:
            raise ValueError('similarity: there is no kernel, need similarity="kernel"')
        return separation_loss(patterns, self.kernel_weight, t, kind)


def _sum_of(pattern_bias: Tensor | None, bias: Tensor | None) -> Tensor | None:
    if pattern_bias is None or bias is None:
        return bias if pattern_bias is None else pattern_bias
    return pattern_bias + bias
