"""Hopfield layers that hold patterns of their own: pooling, and a trained lookup table."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import Parameter

from hopfix._arrays import as_integer
from hopfix.torch._hopfield import Hopfield
from hopfix.torch._scripting import TracedModule

__all__ = ["HopfieldLayer", "HopfieldPooling"]

_COMMON = (
    "batch_first",
    "scaling",
    "stored_pattern_dim",
    "state_pattern_dim",
    "pattern_projection_dim",
    "input_size",
    "hidden_size",
    "output_size",
    "pattern_size",
    "update_steps_max",
    "update_steps_eps",
    "stored_pattern_as_static",
    "state_pattern_as_static",
    "pattern_projection_as_static",
    "normalize_stored_pattern",
    "normalize_stored_pattern_affine",
    "normalize_state_pattern",
    "normalize_state_pattern_affine",
    "normalize_pattern_projection",
    "normalize_pattern_projection_affine",
    "normalize_hopfield_space",
    "normalize_hopfield_space_affine",
)


class _WithOwnPatterns(TracedModule):
    """What both have: a `Hopfield`, the number of patterns, and the properties of the former."""

    hopfield: Hopfield

    def __init__(self, quantity: int) -> None:
        super().__init__()
        self._quantity = as_integer("quantity", quantity, 1)

    @property
    def quantity(self) -> int:
        """The number of patterns that the layer holds."""
        return self._quantity

    def __getattr__(self, name: str) -> Any:
        if name in _COMMON:
            return getattr(self.hopfield, name)
        return super().__getattr__(name)

    def _own_patterns(self, size: int | None, trainable: bool) -> Parameter:
        shape = (1, self._quantity) if self.hopfield.batch_first else (self._quantity, 1)
        return Parameter(torch.empty(*shape, size or 0), requires_grad=trainable)


class HopfieldPooling(_WithOwnPatterns):
    """Pooling: `quantity` trained state patterns look through the stored patterns of each sample.

    Arguments as `Hopfield`, and:

    Args:
        quantity: number of state patterns.
        trainable: whether they are trained.
        options: `separation`, `similarity`, `kernel_size` and the eps of the normalisations.

    The state patterns are projected once, not for every sample.

    Example:
        >>> layer = hopfix.torch.HopfieldPooling(input_size=4, quantity=2)
        >>> layer(torch.ones(3, 5, 4)).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: float | Tensor | None = None,
        update_steps_max: int | Tensor | None = 0,
        update_steps_eps: float | Tensor = 1e-4,
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
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
        quantity: int = 1,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(quantity)
        self.hopfield = Hopfield(
            input_size=input_size,
            hidden_size=hidden_size,
            output_size=output_size,
            pattern_size=pattern_size,
            num_heads=num_heads,
            scaling=scaling,
            update_steps_max=update_steps_max,
            update_steps_eps=update_steps_eps,
            normalize_stored_pattern=normalize_stored_pattern,
            normalize_stored_pattern_affine=normalize_stored_pattern_affine,
            normalize_state_pattern=normalize_state_pattern,
            normalize_state_pattern_affine=normalize_state_pattern_affine,
            normalize_pattern_projection=normalize_pattern_projection,
            normalize_pattern_projection_affine=normalize_pattern_projection_affine,
            normalize_hopfield_space=normalize_hopfield_space,
            normalize_hopfield_space_affine=normalize_hopfield_space_affine,
            stored_pattern_as_static=stored_pattern_as_static,
            state_pattern_as_static=state_pattern_as_static,
            pattern_projection_as_static=pattern_projection_as_static,
            pattern_projection_as_connected=pattern_projection_as_connected,
            stored_pattern_size=stored_pattern_size,
            pattern_projection_size=pattern_projection_size,
            batch_first=batch_first,
            association_activation=association_activation,
            dropout=dropout,
            input_bias=input_bias,
            concat_bias_pattern=concat_bias_pattern,
            add_zero_association=add_zero_association,
            disable_out_projection=disable_out_projection,
            **options,
        )
        own = self.hopfield.hidden_size if state_pattern_as_static else self.hopfield.input_size
        self.pooling_weights = self._own_patterns(own or input_size, trainable)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.hopfield.reset_parameters()
        nn.init.normal_(self.pooling_weights, mean=0.0, std=0.02)

    def forward(
        self,
        input: Tensor | tuple[Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Pool.

        Args:
            input: (stored pattern (B, S, ·), pattern projection (B, S, ·)), or one tensor for both;
                with the batch second if not `batch_first`.
            stored_pattern_padding_mask: (B, S), see `Hopfield.forward`.
            association_mask: (quantity, S) or (B·H, quantity, S).

        Returns:
            (B, quantity · output_size); (quantity, B · output_size) if not `batch_first`, which is
            what hflayers does.
        """
        return self.hopfield.associate_shared(
            self._triple(input), stored_pattern_padding_mask, association_mask
        ).flatten(start_dim=1)

    def get_association_matrix(
        self,
        input: Tensor | tuple[Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the association weights (B, H, quantity, S)."""
        return self.hopfield.get_association_matrix(
            self._expanded(input), stored_pattern_padding_mask, association_mask
        )

    def get_projected_pattern_matrix(
        self,
        input: Tensor | tuple[Tensor, Tensor],
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the projected patterns (B, H, S, pattern_size)."""
        return self.hopfield.get_projected_pattern_matrix(
            self._expanded(input), stored_pattern_padding_mask, association_mask
        )

    def separation_loss(
        self, input: Tensor | tuple[Tensor, Tensor], t: float = 2.0, kind: str = "layer"
    ) -> Tensor:
        """Return the separation loss of the kernel on the stored patterns, see `Hopfield`."""
        return self.hopfield.separation_loss(self._triple(input), t, kind)

    def _triple(self, given: Any) -> tuple[Tensor, Tensor, Tensor]:
        if isinstance(given, Tensor):
            return given, self.pooling_weights, given
        if isinstance(given, tuple) and len(given) == 2:
            return given[0], self.pooling_weights, given[1]
        got = f"a tuple of {len(given)}" if isinstance(given, tuple) else type(given).__name__
        raise TypeError(
            f"input: got {got}, need a tensor, or a tuple of two tensors: stored pattern and "
            "pattern projection"
        )

    def _expanded(self, given: Any) -> tuple[Tensor, Tensor, Tensor]:
        stored, states, projection = self._triple(given)
        axis = 0 if self.hopfield.batch_first else 1
        sizes = [-1, -1, -1]
        sizes[axis] = stored.shape[axis]
        return stored, states.expand(sizes), projection


class HopfieldLayer(_WithOwnPatterns):
    """Lookup: the states of each sample look through `quantity` trained stored patterns.

    Arguments as `Hopfield`, and:

    Args:
        lookup_weights_as_separated: pattern projections of their own, else the stored patterns.
        lookup_targets_as_trainable: whether these are trained.
        quantity: number of stored patterns.
        trainable: whether they are trained.
        options: `separation`, `similarity`, `kernel_size` and the eps of the normalisations.

    The stored patterns are normalised and projected once, not for every sample.

    Example:
        >>> layer = hopfix.torch.HopfieldLayer(input_size=4, quantity=10)
        >>> layer(torch.ones(3, 5, 4)).shape
        torch.Size([3, 5, 4])
    """

    target_weights: Parameter | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: float | Tensor | None = None,
        update_steps_max: int | Tensor | None = 0,
        update_steps_eps: float | Tensor = 1e-4,
        lookup_weights_as_separated: bool = False,
        lookup_targets_as_trainable: bool = True,
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
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
        quantity: int = 1,
        trainable: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(quantity)
        self.hopfield = Hopfield(
            input_size=input_size,
            hidden_size=hidden_size,
            output_size=output_size,
            pattern_size=pattern_size,
            num_heads=num_heads,
            scaling=scaling,
            update_steps_max=update_steps_max,
            update_steps_eps=update_steps_eps,
            normalize_stored_pattern=normalize_stored_pattern,
            normalize_stored_pattern_affine=normalize_stored_pattern_affine,
            normalize_state_pattern=normalize_state_pattern,
            normalize_state_pattern_affine=normalize_state_pattern_affine,
            normalize_pattern_projection=normalize_pattern_projection,
            normalize_pattern_projection_affine=normalize_pattern_projection_affine,
            normalize_hopfield_space=normalize_hopfield_space,
            normalize_hopfield_space_affine=normalize_hopfield_space_affine,
            stored_pattern_as_static=stored_pattern_as_static,
            state_pattern_as_static=state_pattern_as_static,
            pattern_projection_as_static=pattern_projection_as_static,
            pattern_projection_as_connected=pattern_projection_as_connected,
            stored_pattern_size=stored_pattern_size,
            pattern_projection_size=pattern_projection_size,
            batch_first=batch_first,
            association_activation=association_activation,
            dropout=dropout,
            input_bias=input_bias,
            concat_bias_pattern=concat_bias_pattern,
            add_zero_association=add_zero_association,
            disable_out_projection=disable_out_projection,
            **options,
        )
        inner = self.hopfield
        own = inner.hidden_size if stored_pattern_as_static else inner.stored_pattern_dim
        self.lookup_weights = self._own_patterns(own or input_size, trainable)
        if lookup_weights_as_separated:
            size = pattern_projection_size or self.lookup_weights.shape[2]
            self.target_weights = self._own_patterns(size, lookup_targets_as_trainable)
        else:
            self.register_parameter("target_weights", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.hopfield.reset_parameters()
        for weights in (self.lookup_weights, self.target_weights):
            if weights is not None:
                nn.init.normal_(weights, mean=0.0, std=0.02)

    def forward(
        self,
        input: Tensor,
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Look up.

        Args:
            input: state pattern (B, L, ·), with the batch second if not `batch_first`.
            stored_pattern_padding_mask: (B, quantity), see `Hopfield.forward`.
            association_mask: (L, quantity) or (B·H, L, quantity).

        Returns:
            (B, L, output_size), with the batch second if not `batch_first`.
        """
        return self.hopfield.associate_shared(
            self._triple(input), stored_pattern_padding_mask, association_mask
        )

    def get_association_matrix(
        self,
        input: Tensor,
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the association weights (B, H, L, quantity)."""
        return self.hopfield.get_association_matrix(
            self._expanded(input), stored_pattern_padding_mask, association_mask
        )

    def get_projected_pattern_matrix(
        self,
        input: Tensor,
        stored_pattern_padding_mask: Tensor | None = None,
        association_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the projected patterns (B, H, quantity, pattern_size)."""
        return self.hopfield.get_projected_pattern_matrix(
            self._expanded(input), stored_pattern_padding_mask, association_mask
        )

    def separation_loss(self, t: float = 2.0, kind: str = "layer") -> Tensor:
        """Return the separation loss of the kernel on the stored patterns, see `Hopfield`."""
        stored = self.lookup_weights
        return self.hopfield.separation_loss((stored, stored, stored), t, kind)

    def _triple(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not isinstance(states, Tensor):
            raise TypeError(f"input: got {type(states).__name__}, need a tensor")
        targets = self.lookup_weights if self.target_weights is None else self.target_weights
        return self.lookup_weights, states, targets

    def _expanded(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stored, states, targets = self._triple(states)
        axis = 0 if self.hopfield.batch_first else 1
        sizes = [-1, -1, -1]
        sizes[axis] = states.shape[axis]
        return stored.expand(sizes), states, targets.expand(sizes)
