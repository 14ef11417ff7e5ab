"""Separation kernels as .npz files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from hopfix._arrays import as_pattern_rows, read_only
from hopfix._files import open_archive, replace_archive
from hopfix._kernel_arguments import as_kind
from hopfix._layout import require_layout

if TYPE_CHECKING:
    from hopfix.kernel import SeparationKernel

_FORMAT = 1
_LAYOUT = {"matrix": "f D d", "loss_history": "f ?", "convergence": "U", "loss": "f", "kind": "U"}
_NUMBERS = (
    "n_features",
    "t",
    "steps",
    "learning_rate",
    "faithful",
    "seed",
    "normalize",
    "normalize_rows",
    "batch_size",
    "tol",
)


def save(kernel: SeparationKernel, path: str | os.PathLike[str]) -> None:
    """See `SeparationKernel.save`."""
    arrays: dict[str, Any] = {
        "separation_kernel": np.int64(_FORMAT),
        "matrix": kernel.matrix,
        "loss_history": kernel.loss_history,
        "convergence": np.array(kernel.convergence),
        "loss": np.float64(kernel.loss),
        "kind": np.array(kernel.kind),
    }
    for name in _NUMBERS:
        value = getattr(kernel, name)
        arrays[name] = np.array([] if value is None else [value])
    replace_archive(path, arrays)


def load(path: str | os.PathLike[str], cls: type[SeparationKernel]) -> SeparationKernel:
    """See `SeparationKernel.load`."""
    with open_archive(path, _FORMAT, "SeparationKernel.save", key="separation_kernel") as data:
        require_layout(data, _LAYOUT)
        numbers = {name: data[name].tolist() for name in _NUMBERS}
        options: dict[str, Any] = {k: v[0] if v else None for k, v in numbers.items()}
        kernel = cls(kind=as_kind(str(data["kind"])), **options)
        kernel.matrix = read_only(as_pattern_rows("matrix", data["matrix"]))
        kernel.loss_history = read_only(data["loss_history"])
        kernel.convergence = str(data["convergence"])
        kernel.loss = float(data["loss"])
        return kernel
