"""Layers of few queries, which do not project their patterns, against the same that do."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import hopfix.torch as layers  # noqa: E402
from hopfix.torch import _association, _folded, _operators  # noqa: E402

EPS = {"update_steps_eps": 1e-13}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def folding(monkeypatch):
    """Set whether layers fold: always where they can, or never."""
    calls = []

    def force(wanted):
        monkeypatch.setattr(_association, "is_worth_folding", lambda *_: wanted)

    original = _folded.FoldedAssociation.__call__

    def counted(self, *given):
        calls.append(1)
        return original(self, *given)

    monkeypatch.setattr(_folded.FoldedAssociation, "__call__", counted)
    force.calls = calls
    return force


def scrambled(layer, scale=0.5):
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
    return layer.double()


def both_ways(folding, run, inputs):
    """Outputs and derivatives by `inputs`, folded and not."""
    results = []
    for wanted in (True, False):
        folding(wanted)
        out = run()
        gradients = torch.autograd.grad(out.sin().sum(), inputs, allow_unused=True)
        results.append((out, gradients))
    assert len(folding.calls) == 1
    return results


OPTIONS = [
    {},
    {"num_heads": 2},
    {"num_heads": 2, "hidden_size": 3, "pattern_size": 5, "output_size": 4},
    {"num_heads": 2, "stored_pattern_size": 5, "pattern_projection_size": 3},
    {"input_bias": False},
    {"state_pattern_as_static": True, "hidden_size": 6, "num_heads": 2},
    {"scaling": "per head", "num_heads": 3},
    {"normalize_stored_pattern_affine": False, "num_heads": 2},
    {"normalize_stored_pattern": False, "normalize_stored_pattern_affine": False},
    {"disable_out_projection": True, "num_heads": 2},
]


@pytest.mark.parametrize("steps", [0, 1, 3, None])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.parametrize("masked", [False, True])
def test_folded_is_projected(folding, options, steps, masked):
    options = dict(options)
    heads = options.get("num_heads", 1)
    if options.get("scaling"):
        options["scaling"] = nn.Parameter(torch.linspace(0.3, 1.5, heads))
    layer = layers.Hopfield(6, update_steps_max=steps, **EPS, **options)
    scaling = options.get("scaling")
    kept = None if scaling is None else scaling.detach().clone()
    scrambled(layer)
    if scaling is not None:
        with torch.no_grad():
            scaling.copy_(kept)
    sizes = options.get("stored_pattern_size", 6), options.get("pattern_projection_size", 6)
    stored, projection = (
        torch.randn(3, 9, size, dtype=torch.float64, requires_grad=True) for size in sizes
    )
    if sizes == (6, 6):
        projection = stored
    states = torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
    masks = (None, None)
    if masked:
        padding = torch.arange(9) >= torch.tensor([[9], [4], [0]])
        masks = padding, torch.randn(3 * heads, 2, 9)
    inputs = [stored, states, *([] if projection is stored else [projection]), *layer.parameters()]
    (out, gradients), (wanted, wanted_gradients) = both_ways(
        folding, lambda: layer((stored, states, projection), *masks), inputs
    )
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-9)
    for mine, theirs in zip(gradients, wanted_gradients, strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [0, 2, None])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_folded_layers(folding, steps, masked):
    folding(True)
    scaling = nn.Parameter(torch.tensor([0.6, 0.9]))
    layer = layers.HopfieldPooling(
        4, num_heads=2, quantity=2, update_steps_max=steps, scaling=scaling, update_steps_eps=1e-14
    )
    scrambled(layer, 0.6)
    with torch.no_grad():
        scaling.copy_(scaling.abs() + 0.2)
    x = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    padding = torch.arange(5) >= torch.tensor([[5], [3], [0]]) if masked else None
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(given, *values):
        return torch.func.functional_call(
            layer, dict(zip(names, values, strict=True)), (given, padding)
        )

    assert torch.autograd.gradcheck(run, (x, *parameters), fast_mode=True)
    assert folding.calls
    layer(x, padding).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("steps", [0, 2, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pooling_of_many_patterns(folding, batch_first, steps, dtype):
    layer = layers.HopfieldPooling(
        16, num_heads=4, quantity=2, update_steps_max=steps, batch_first=batch_first
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    layer.to(dtype)
    x = torch.randn(5, 400, 16, dtype=dtype)
    x = x if batch_first else x.transpose(0, 1).contiguous()
    x.requires_grad_()
    inputs = [x, *layer.parameters()]
    (out, gradients), (wanted, wanted_gradients) = both_ways(folding, lambda: layer(x), inputs)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(out, wanted, rtol=0, atol=tolerance)
    for mine, theirs in zip(gradients, wanted_gradients, strict=True):
        size = 1 + theirs.abs().max()
        atol = 1e-5 if dtype == torch.float32 else 1e-11
        torch.testing.assert_close(mine / size, theirs / size, rtol=0, atol=atol)


def test_what_folds_and_what_does_not():
    few = 10_000, (32, 32), (4, 1), (8, 8)
    assert _folded.is_worth_folding(*few, [0] * 4)
    assert _folded.is_worth_folding(*few, [_operators.to_convergence] * 4)
    assert not _folded.is_worth_folding(10, *few[1:], [0] * 4)
    assert not _folded.is_worth_folding(10_000, (32, 32), (4, 200), (8, 8), [0] * 4)
    assert not _folded.is_worth_folding(10_000, (512, 512), (4, 1), (8, 8), [100] * 4)


@pytest.mark.parametrize(
    "options",
    [
        {"stored_pattern_as_static": True, "hidden_size": 6},
        {"pattern_projection_as_static": True, "pattern_size": 6},
        {"pattern_projection_as_connected": True},
        {"normalize_hopfield_space": True},
        {"concat_bias_pattern": True},
        {"add_zero_association": True},
        {"similarity": "kernel"},
        {"separation": "sparsemax"},
        {"dropout": 0.5},
        {"update_steps_max": torch.tensor([2, -1]), "num_heads": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_is_not_linear_is_not_folded(folding, options):
    folding(True)
    layer = layers.Hopfield(6, **options)
    layer(torch.randn(2, 5, 6))
    mask = torch.zeros(5, 5, requires_grad=True)
    layers.Hopfield(6)(torch.randn(2, 5, 6), None, mask).sum().backward()
    assert mask.grad is not None
    assert not folding.calls


def test_steps_per_head(folding):
    layer = layers.Hopfield(
        6,
        num_heads=3,
        update_steps_max=torch.tensor([0, 3, 1]),
        update_steps_eps=torch.tensor([1e-3, 1e-13, 1e-3]),
        scaling=torch.tensor([0.5, 2.0, 1.0]),
    )
    scrambled(layer)
    x = torch.randn(2, 7, 6, dtype=torch.float64, requires_grad=True)
    inputs = [x, *layer.parameters()]
    (out, gradients), (wanted, wanted_gradients) = both_ways(
        folding, lambda: layer((x, x[:, :2], x)), inputs
    )
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-10)
    for mine, theirs in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("eps", [1e-1, 1e-2, 1e-3])
def test_folded_queries_stop_where_projected_ones_do(folding, eps):
    layer = layers.Hopfield(6, num_heads=2, update_steps_max=50, update_steps_eps=eps)
    scrambled(layer, 0.7)
    stored = torch.randn(4, 9, 6, dtype=torch.float64)
    given = stored, torch.randn(4, 3, 6, dtype=torch.float64), stored
    results = []
    for wanted in (True, False):
        folding(wanted)
        results.append(layer(given))
    torch.testing.assert_close(*results, rtol=0, atol=1e-11)
    longer = copy.deepcopy(layer)
    longer._set_rules(None, 50, 1e-13)
    assert (longer(given) - results[0]).abs().max() > 1e-9


def test_fixed_points_without_derivative(folding):
    # ±e with beta = 1 and the query 0, which stays: the Jacobian there is the identity along e.
    folding(True)
    norms = {
        f"normalize_{what}{affine}": False
        for what in ("stored_pattern", "state_pattern", "pattern_projection")
        for affine in ("", "_affine")
    }
    layer = layers.Hopfield(
        2,
        scaling=1.0,
        update_steps_max=None,
        input_bias=False,
        disable_out_projection=True,
        state_pattern_as_static=True,
        **norms,
    ).double()
    with torch.no_grad():
        for weight in layer.association_core.in_proj_weight.chunk(2):
            weight.copy_(torch.eye(2))
    stored = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    out = layer((stored, torch.zeros(1, 1, 2, dtype=torch.float64), stored))
    with pytest.raises(RuntimeError, match="I − J is singular"):
        out.sum().backward()
    assert folding.calls


def test_results_do_not_depend_on_threads(folding):
    folding(True)
    layer = scrambled(
        layers.HopfieldPooling(8, num_heads=2, quantity=2, update_steps_max=2)
    ).float()
    x = torch.randn(6, 500, 8, requires_grad=True)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            out = layer(x)
            results.append((out, *torch.autograd.grad(out.square().sum(), x)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)


def test_operator_with_maps():
    # Runs of queries with maps of their own, also not symmetric ones, against a naive loop.
    batch, heads, groups, length, count, dim = 2, 2, 2, 3, 7, 4
    given = [
        torch.randn(batch, heads, rows, dim, dtype=torch.float64, requires_grad=True)
        for rows in (groups * length, count)
    ]
    maps = torch.randn(heads * groups, dim, dim, dtype=torch.float64, requires_grad=True)
    shifts = torch.randn(heads * groups, dim, dtype=torch.float64, requires_grad=True)
    beta = torch.tensor([0.4, 0.8], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(batch, heads, groups * length, count, dtype=torch.float64)
    bias[0, 1, 4] = -math.inf
    steps, eps = [2, 0, 1, 3], [1e-13] * 4

    def run(q, k, b, m, s):
        return _operators.associate(q, k, None, b, None, bias, steps, eps, m, s)

    q, k = (t.detach() for t in given)
    wanted = torch.zeros_like(q)
    for b in range(batch):
        for h in range(heads):
            for i in range(groups * length):
                rule, state = h * groups + i // length, q[b, h, i]
                for taken in range(steps[rule] + 1):
                    p = torch.softmax(beta[h].detach() * k[b, h] @ state + bias[b, h, i], 0)
                    mean = p @ k[b, h]
                    if taken < steps[rule]:
                        state = mean @ maps[rule].detach() + shifts[rule].detach()
                wanted[b, h, i] = 0.0 if bias[b, h, i, 0] == -math.inf else mean
    torch.testing.assert_close(run(*given, beta, maps, shifts), wanted, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(run, (*given, beta, maps, shifts))
    with pytest.raises(ValueError, match="maps: got shape"):
        run(*given, beta, maps[:3], shifts)
