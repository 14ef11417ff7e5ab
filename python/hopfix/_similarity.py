"""Which member of the family of modern Hopfield models the options of `Hopfield` describe.

Retrieval is projection · separation(similarity(keys, query)) (Millidge et al. 2022). `Model` holds
the options and builds what computes them: the network of the core where the model is one, also
after a change of variables, and the general memory of the core for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hopfix import _core, separation
from hopfix._arrays import (
    FloatArray,
    as_bool,
    as_float_array,
    as_threshold,
    read_only,
    require_finite,
)
from hopfix._memory import MemoryCore

_SIMILARITIES = ("dot", "neg_sq_l2", "neg_l2", "neg_l1")
_SEPARATIONS = (
    '"softmax", "sparsemax", ("entmax", alpha), ("topk", k), ("polynomial", n) or '
    '("polynomial", n, rectified)'
)


@dataclass(frozen=True, eq=False)
class Model:
    """The options of a `Hopfield` beside patterns and β, checked.

    Attributes:
        similarity: "dot" (also of a kernel), "neg_sq_l2", "neg_l2" or "neg_l1".
        matrix: (D, d) of the kernel, or None.
        separation: as given, for messages.
        rule: the separation of the core.
        values: (N, v), or None for the patterns.
        normalize: whether keys and queries are scaled to unit norm.
        sparsify_above: the threshold of sparse keys and queries, or None.
    """

    similarity: str
    matrix: FloatArray | None
    separation: str | tuple[Any, ...]
    rule: Any
    values: FloatArray | None
    normalize: bool
    sparsify_above: float | None

    @property
    def is_softmax(self) -> bool:
        """Whether the separation is softmax; ("entmax", 1) is, too."""
        return self.separation in ("softmax", ("entmax", 1))

    @property
    def is_altered(self) -> bool:
        """Whether keys, queries and values are not the patterns and states themselves."""
        return self.values is not None or self.normalize or self.sparsify_above is not None

    @property
    def is_network(self) -> bool:
        """Whether this is softmax retrieval by x·ξ, or by −‖x − ξ‖², which reduces to it."""
        return (
            self.is_softmax
            and self.matrix is None
            and not self.is_altered
            and self.similarity in ("dot", "neg_sq_l2")
        )

    @property
    def has_landscape(self) -> bool:
        """Whether fixed points can be listed and proved: those of a network, or of its image."""
        return self.is_softmax and not self.is_altered and self.similarity in ("dot", "neg_sq_l2")

    def describe(self) -> str:
        """The options that differ from the defaults, as written in a call."""
        parts = []
        if self.matrix is not None:
            parts.append(f"similarity=<kernel {self.matrix.shape}>")
        elif self.similarity != "dot":
            parts.append(f"similarity={self.similarity!r}")
        if self.separation != "softmax":
            parts.append(f"separation={self.separation!r}")
        if self.values is not None:
            parts.append(f"values of dimension {self.values.shape[1]}")
        if self.normalize:
            parts.append("normalize=True")
        if self.sparsify_above is not None:
            parts.append(f"sparsify_above={self.sparsify_above:g}")
        return ", ".join(parts)

    def core(self, patterns: FloatArray, beta: float, log_weights: FloatArray | None) -> Any:
        """Build what computes the model as it stands, in the dtype of the patterns."""
        single = patterns.dtype == np.float32
        if self.is_network:
            network: Any = _core.Network32 if single else _core.Network64
            return network(patterns, beta, log_weights)
        memory: Any = _core.Memory32 if single else _core.Memory64
        cast = [
            None if a is None else a.astype(patterns.dtype, copy=False)
            for a in (self.values, self.matrix)
        ]
        core = memory(
            patterns,
            beta,
            log_weights,
            *cast,
            getattr(_core.Similarity, self.similarity),
            self.rule,
            self.normalize,
            math.inf if self.sparsify_above is None else self.sparsify_above,
        )
        return MemoryCore(core, self, patterns.shape[1])


def squared_distance_log_weights(
    patterns: FloatArray, beta: float, log_weights: FloatArray | None
) -> FloatArray:
    """Return b_i − β‖x_i‖², the log-weights with which −β‖x − ξ‖² is a dot similarity of 2β."""
    wide = patterns.astype(np.float64, copy=False)
    shifted = -beta * np.einsum("ij,ij->i", wide, wide)
    if log_weights is not None:
        shifted += log_weights
    with np.errstate(over="ignore"):
        result: FloatArray = shifted.astype(patterns.dtype)
    if not np.isfinite(result).all():
        raise ValueError(
            'similarity: "neg_sq_l2" needs beta·‖pattern‖² within the range of '
            f"{patterns.dtype}; patterns and beta are too large"
        )
    return result


def model_of(
    patterns: FloatArray,
    *,
    values: npt.ArrayLike | None,
    similarity: Any,
    separation: Any,
    normalize: bool,
    sparsify_above: float | None,
) -> Model:
    """Check the options. TypeError and ValueError name the argument and what it needs."""
    n, dim = patterns.shape
    name, matrix = _as_similarity(similarity, dim, patterns.dtype)
    given, rule = _as_separation(separation, n)
    model = Model(
        similarity=name,
        matrix=matrix,
        separation=given,
        rule=rule,
        values=None if values is None else _as_values(values, n, patterns.dtype),
        normalize=as_bool("normalize", normalize),
        sparsify_above=as_threshold("sparsify_above", sparsify_above, patterns.dtype == np.float32),
    )
    if model.normalize:
        _require_directions(patterns, model)
    return model


def _as_similarity(value: Any, dim: int, dtype: np.dtype[Any]) -> tuple[str, FloatArray | None]:
    if isinstance(value, str):
        if value not in _SIMILARITIES:
            raise ValueError(
                f"similarity: got {value!r}, need one of {', '.join(_SIMILARITIES)}, a kernel "
                "matrix (D, d) or an object with a `matrix`"
            )
        return value, None
    if value is None:
        raise TypeError("similarity: got None, need a name, a kernel matrix or a kernel")
    if hasattr(value, "matrix"):
        value = value.matrix
    matrix = as_float_array("similarity", value)
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] != dim:
        raise ValueError(
            f"similarity: got a kernel matrix of shape {matrix.shape}, need (D, {dim}), D >= 1"
        )
    return "dot", _frozen("similarity", matrix, dtype)


def _as_values(value: npt.ArrayLike, n: int, dtype: np.dtype[Any]) -> FloatArray:
    values = as_float_array("values", value)
    if values.ndim != 2 or values.shape[0] != n or values.shape[1] == 0:
        raise ValueError(f"values: got shape {values.shape}, need ({n}, v), one row per pattern")
    return _frozen("values", values, dtype)


def _frozen(name: str, array: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    with np.errstate(over="ignore"):
        copy = np.array(array, dtype=dtype, order="C", copy=True)
    require_finite(name, copy)
    return read_only(copy)


def _as_separation(value: Any, n: int) -> tuple[str | tuple[Any, ...], Any]:
    """The separation as given (a tuple for one with parameters) and as the core's rule."""
    if isinstance(value, str) and value == "softmax":
        return "softmax", _core.Separation.softmax()
    if isinstance(value, str) and value == "sparsemax":
        return "sparsemax", _core.Separation.entmax(2.0)
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    kind, parameters = parts[0] if parts else None, parts[1:]
    if not isinstance(kind, str):
        raise TypeError(f"separation: got {value!r}, need {_SEPARATIONS}")
    most = 2 if kind == "polynomial" else 1
    if kind not in ("entmax", "topk", "polynomial") or not 1 <= len(parameters) <= most:
        raise ValueError(f"separation: got {value!r}, need {_SEPARATIONS}")
    try:
        if kind == "entmax":
            rule = separation.entmax._rule(parameters[0])
        elif kind == "topk":
            rule = separation.topk._rule(parameters[0], np.empty((1, n)))
        else:
            rule = separation.polynomial._rule(parameters[0], *(parameters[1:] or (False,)))
    except (TypeError, ValueError) as error:
        raise type(error)(f"separation: {kind!r}: {error}") from None
    return parts, rule


def _require_directions(patterns: FloatArray, model: Model) -> None:
    """Every key needs a direction before it can be scaled to unit norm."""
    features = patterns
    if model.sparsify_above is not None:
        features = np.where(features > model.sparsify_above, 0, features)
    if model.matrix is not None:
        features = features @ model.matrix.T
    zero = ~np.any(features != 0, axis=1)
    if zero.any():
        raise ValueError(
            f"patterns: the key of pattern {int(np.flatnonzero(zero)[0])} is the zero vector, "
            "need a direction with normalize=True"
        )
