"""The attributes by which hflayers lets one read the arguments of a layer."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from hopfix.torch._association import HopfieldCore

__all__ = ["HopfieldProperties"]


class HopfieldProperties:
    """What was given to a `Hopfield`, and what followed from it."""

    association_core: HopfieldCore
    norm_stored_pattern: nn.LayerNorm | None
    norm_state_pattern: nn.LayerNorm | None
    norm_pattern_projection: nn.LayerNorm | None
    _batch_first: bool
    _update_steps_max: int | Tensor | None
    _update_steps_eps: float | Tensor

    @property
    def batch_first(self) -> bool:
        """Whether the batch is the first dimension."""
        return self._batch_first

    @property
    def scaling(self) -> float | Tensor:
        """β, a copy where it is a tensor."""
        scaling: float | Tensor = getattr(self, "_Hopfield__scaling")  # noqa: B009 (mangled name)
        return scaling.clone() if isinstance(scaling, Tensor) else scaling

    @property
    def stored_pattern_dim(self) -> int | None:
        """Size of the stored patterns."""
        return self.association_core.kdim

    @property
    def state_pattern_dim(self) -> int | None:
        """Size of the state patterns."""
        return self.association_core.embed_dim

    @property
    def pattern_projection_dim(self) -> int | None:
        """Size of the pattern projections."""
        return self.association_core.vdim

    @property
    def input_size(self) -> int | None:
        """Size of the state patterns."""
        return self.association_core.embed_dim

    @property
    def hidden_size(self) -> int | None:
        """Size of the associative space of each head."""
        return self.association_core.head_dim

    @property
    def output_size(self) -> int | None:
        """Size of the output."""
        return self.association_core.out_dim

    @property
    def pattern_size(self) -> int | None:
        """Size of the projected patterns of each head."""
        return self.association_core.pattern_dim

    @property
    def update_steps_max(self) -> int | Tensor | None:
        """Updates at most, as given."""
        return _copy(self._update_steps_max)

    @property
    def update_steps_eps(self) -> float | Tensor:
        """Threshold of convergence, as given."""
        return _copy(self._update_steps_eps)

    @property
    def stored_pattern_as_static(self) -> bool:
        """Whether stored patterns are not projected."""
        return self.association_core.key_as_static

    @property
    def state_pattern_as_static(self) -> bool:
        """Whether state patterns are not projected."""
        return self.association_core.query_as_static

    @property
    def pattern_projection_as_static(self) -> bool:
        """Whether pattern projections are not projected."""
        return self.association_core.value_as_static

    @property
    def normalize_stored_pattern(self) -> bool:
        """Whether stored patterns are normalised."""
        return self.norm_stored_pattern is not None

    @property
    def normalize_stored_pattern_affine(self) -> bool:
        """Whether with trained weights."""
        return _is_affine(self.norm_stored_pattern)

    @property
    def normalize_state_pattern(self) -> bool:
        """Whether state patterns are normalised."""
        return self.norm_state_pattern is not None

    @property
    def normalize_state_pattern_affine(self) -> bool:
        """Whether with trained weights."""
        return _is_affine(self.norm_state_pattern)

    @property
    def normalize_pattern_projection(self) -> bool:
        """Whether pattern projections are normalised."""
        return self.norm_pattern_projection is not None

    @property
    def normalize_pattern_projection_affine(self) -> bool:
        """Whether with trained weights."""
        return _is_affine(self.norm_pattern_projection)

    @property
    def normalize_hopfield_space(self) -> bool:
        """Whether patterns are normalised in the associative space."""
        return self.association_core.normalize_pattern

    @property
    def normalize_hopfield_space_affine(self) -> bool:
        """Whether with trained weights."""
        return self.association_core.normalize_pattern_affine


def _is_affine(norm: nn.LayerNorm | None) -> bool:
    return norm is not None and bool(norm.elementwise_affine)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
