"""Hopfield layers for PyTorch, on the C++ core: a drop-in for hflayers 1.0.2.

``from hopfix.torch import Hopfield, HopfieldPooling, HopfieldLayer`` in place of ``hflayers``;
`HopfieldEncoderLayer` and `HopfieldDecoderLayer` go into `torch.nn.TransformerEncoder` and
`TransformerDecoder`. Arguments, shapes and the names in the state_dict are those of hflayers.

Needs the extra ``hopfix[torch]``.

Source: Ramsauer et al., "Hopfield Networks is All You Need" (2020).
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hopfix.torch needs PyTorch, which the extra hopfix[torch] installs: "
        "pip install 'hopfix[torch]'"
    ) from error

from hopfix.torch._hopfield import Hopfield
from hopfix.torch._lookup import HopfieldLayer, HopfieldPooling
from hopfix.torch._transformer import HopfieldDecoderLayer, HopfieldEncoderLayer
from hopfix.torch._uhop import kernel_parameters, separation_loss, separation_step

__all__ = [
    "Hopfield",
    "HopfieldDecoderLayer",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldPooling",
    "kernel_parameters",
    "separation_loss",
    "separation_step",
]
