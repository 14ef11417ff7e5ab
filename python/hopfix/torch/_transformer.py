"""Encoder and decoder layers with Hopfield associations, for torch's own encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from hopfix._arrays import as_integer
from hopfix.torch._arguments import as_probability
from hopfix.torch._hopfield import Hopfield
from hopfix.torch._scripting import TracedModule

__all__ = ["HopfieldDecoderLayer", "HopfieldEncoderLayer"]


class _FeedForward(TracedModule):
    """The second half of both layers; a base class, so that names are those of hflayers."""

    activation_residual: Callable[[Tensor], Tensor]

    def __init__(self, size: int, dim_feedforward: int, dropout: float, activation: str) -> None:
        super().__init__()
        width = as_integer("dim_feedforward", dim_feedforward, 1)
        self.linear_residual = nn.Linear(size, width)
        self.dropout_residual = nn.Dropout(as_probability("dropout", dropout))
        self.linear_output = nn.Linear(width, size)
        self.norm_output = nn.LayerNorm(size)
        self.dropout_output = nn.Dropout(dropout)
        function = getattr(torch, activation, None) if isinstance(activation, str) else None
        if not callable(function):
            raise ValueError(
                f"activation: got {activation!r}, need the name of a function of torch"
            )
        self.activation_residual = function

    def _feed_forward(self, states: Tensor) -> Tensor:
        inner = self.dropout_residual(self.activation_residual(self.linear_residual(states)))
        output: Tensor = self.norm_output(states + self.dropout_output(self.linear_output(inner)))
        return output

    def reset_parameters(self) -> None:
        """Draw all parameters anew, those of the associations included."""
        for module in self.children():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()

    @property
    def output_size(self) -> int:
        """Size of the output."""
        return self.linear_output.out_features


class HopfieldEncoderLayer(_FeedForward):
    """A layer for `torch.nn.TransformerEncoder` with a Hopfield association for its attention.

    Args:
        hopfield_association: copied; its output has the size of its input.
        dim_feedforward: width of the feed-forward part.
        dropout: its dropout probability.
        activation: name of a function of torch, applied within.

    The fast path of torch's encoder, which replaces attention by a kernel of its own, never takes
    this layer.

    Example:
        >>> layer = hopfix.torch.HopfieldEncoderLayer(hopfix.torch.Hopfield(input_size=4))
        >>> encoder = torch.nn.TransformerEncoder(layer, num_layers=2, enable_nested_tensor=False)
        >>> encoder(torch.ones(3, 5, 4)).shape
        torch.Size([3, 5, 4])
    """

    def __init__(
        self,
        hopfield_association: Hopfield,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
    ) -> None:
        size = _size_of("hopfield_association", hopfield_association)
        super().__init__(size, dim_feedforward, dropout, activation)
        self.hopfield_association = deepcopy(hopfield_association)
        self.norm_residual = nn.LayerNorm(size)
        self.dropout_hopfield_association = nn.Dropout(dropout)
        self.reset_parameters()

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Encode.

        Args:
            src: (B, L, input_size), with the batch second if the association has it so.
            src_mask: association mask, see `Hopfield.forward`.
            src_key_padding_mask: stored pattern padding mask.
            is_causal: without a mask, apply the causal one; with one, a hint that is not needed.

        Returns:
            The shape of `src`.
        """
        mask = _causal(src, self.batch_first) if is_causal and src_mask is None else src_mask
        found = self.hopfield_association(src, src_key_padding_mask, mask)
        states = self.norm_residual(src + self.dropout_hopfield_association(found))
        return self._feed_forward(states)

    def get_association_matrix(self, input: Tensor | tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the association weights (B, H, L, L)."""
        return self.hopfield_association.get_association_matrix(input)

    @property
    def self_attn(self) -> Hopfield:
        """The association, by the name under which torch's encoder asks for `batch_first`."""
        return self.hopfield_association

    @property
    def batch_first(self) -> bool:
        """Whether the batch is the first dimension."""
        return self.hopfield_association.batch_first

    @property
    def input_size(self) -> int | None:
        """Size of the input."""
        return self.hopfield_association.input_size


class HopfieldDecoderLayer(_FeedForward):
    """A layer for `torch.nn.TransformerDecoder` with Hopfield associations for its attentions.

    Args:
        hopfield_association_self: copied; of targets with themselves.
        hopfield_association_cross: copied; of targets (states) with the memory (stored patterns).
        dim_feedforward: width of the feed-forward part.
        dropout: its dropout probability.
        activation: name of a function of torch, applied within.

    Example:
        >>> layer = hopfix.torch.HopfieldDecoderLayer(
        ...     hopfix.torch.Hopfield(input_size=4), hopfix.torch.Hopfield(input_size=4)
        ... )
        >>> layer(torch.ones(3, 2, 4), torch.ones(3, 5, 4)).shape
        torch.Size([3, 2, 4])
    """

    def __init__(
        self,
        hopfield_association_self: Hopfield,
        hopfield_association_cross: Hopfield,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
    ) -> None:
        size = _size_of("hopfield_association_self", hopfield_association_self)
        if _size_of("hopfield_association_cross", hopfield_association_cross) != size:
            raise ValueError(
                "hopfield_association_cross: got input_size "
                f"{hopfield_association_cross.input_size}, need that of hopfield_association_self, "
                f"{size}"
            )
        super().__init__(size, dim_feedforward, dropout, activation)
        self.hopfield_association_self = deepcopy(hopfield_association_self)
        self.hopfield_association_cross = deepcopy(hopfield_association_cross)
        self.norm_residual_self = nn.LayerNorm(size)
        self.norm_residual_cross = nn.LayerNorm(size)
        self.dropout_hopfield_association_self = nn.Dropout(dropout)
        self.dropout_hopfield_association_cross = nn.Dropout(dropout)
        self.reset_parameters()

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Decode.

        Args:
            tgt: (B, L, input_size), with the batch second if the associations have it so.
            memory: (B, S, stored_pattern_size of the cross association).
            tgt_mask: association mask of the targets, see `Hopfield.forward`.
            memory_mask: association mask of the memory.
            tgt_key_padding_mask: stored pattern padding mask of the targets.
            memory_key_padding_mask: stored pattern padding mask of the memory.
            tgt_is_causal: without a mask, apply the causal one; with one, a hint that is not
                needed.
            memory_is_causal: the same for the memory.

        Returns:
            (B, L, input_size), with the batch second if the associations have it so.
        """
        first = self.batch_first
        if tgt_is_causal and tgt_mask is None:
            tgt_mask = _causal(tgt, first)
        if memory_is_causal and memory_mask is None:
            memory_mask = _causal(tgt, first, memory)
        found = self.hopfield_association_self(tgt, tgt_key_padding_mask, tgt_mask)
        states = self.norm_residual_self(tgt + self.dropout_hopfield_association_self(found))
        triple = (memory, states, memory)
        found = self.hopfield_association_cross(triple, memory_key_padding_mask, memory_mask)
        states = self.norm_residual_cross(states + self.dropout_hopfield_association_cross(found))
        return self._feed_forward(states)

    def get_association_matrix_self(self, input: Tensor | tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the weights (B, H, L, L) of the targets' association with themselves."""
        return self.hopfield_association_self.get_association_matrix(input)

    def get_association_matrix_cross(self, input: Tensor | tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the weights (B, H, L, S) of the association with the memory."""
        return self.hopfield_association_cross.get_association_matrix(input)

    @property
    def self_attn(self) -> Hopfield:
        """The association, by the name under which torch's decoder asks for `batch_first`."""
        return self.hopfield_association_self

    @property
    def batch_first(self) -> bool:
        """Whether the batch is the first dimension."""
        return self.hopfield_association_self.batch_first

    @property
    def input_size(self) -> int | None:
        """Size of the input."""
        return self.hopfield_association_self.input_size


def _size_of(name: str, association: Hopfield) -> int:
    if not isinstance(association, Hopfield):
        raise TypeError(f"{name}: got {type(association).__name__}, need a hopfix.torch.Hopfield")
    size = association.input_size
    if size is None or association.output_size != size:
        raise ValueError(
            f"{name}: got input_size {size} and output_size {association.output_size}, need one "
            "size"
        )
    return size


def _causal(states: Tensor, batch_first: bool, memory: Tensor | None = None) -> Tensor:
    axis = 1 if batch_first else 0
    columns = (states if memory is None else memory).shape[axis]
    mask = torch.ones(states.shape[axis], columns, dtype=torch.bool, device=states.device)
    return mask.triu(1)
