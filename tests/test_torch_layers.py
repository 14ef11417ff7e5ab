"""The layers of hopfix.torch against torch's own attention, finite differences and a naive twin."""

import copy
import io
import math
import pickle

import numpy as np
import pytest

import hopfix

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import hopfix.torch as layers  # noqa: E402
from hopfix.torch._operators import associate, to_convergence  # noqa: E402

WITHOUT_NORMS = {
    f"normalize_{what}{affine}": False
    for what in ("stored_pattern", "state_pattern", "pattern_projection")
    for affine in ("", "_affine")
}
ALL_STATIC = {
    f"{what}_as_static": True for what in ("stored_pattern", "state_pattern", "pattern_projection")
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def heads_of(batch, heads, rows, dim, dtype=torch.float64):
    """Random (batch, heads, rows, dim) with the strides of a projection."""
    return torch.randn(batch, rows, heads, dim, dtype=dtype).transpose(1, 2)


def naive(q, k, v, beta, steps, eps=0.0, bias=0.0):
    """The association, a query at a time: values and updates taken."""
    out = torch.zeros(*q.shape[:3], v.shape[3], dtype=q.dtype)
    taken = torch.zeros(q.shape[:3], dtype=torch.int64)
    bias = torch.as_tensor(bias, dtype=q.dtype).expand(*q.shape[:3], k.shape[2])
    for b, h, i in np.ndindex(*q.shape[:3]):
        state, most = q[b, h, i], steps[h]
        weights = torch.softmax(beta[h] * k[b, h] @ state + bias[b, h, i], 0)
        while most < 0 or taken[b, h, i] < most:
            state = weights @ k[b, h]
            before, weights = (
                weights,
                torch.softmax(beta[h] * k[b, h] @ state + bias[b, h, i], 0),
            )
            taken[b, h, i] += 1
            if torch.linalg.vector_norm(weights - before) <= eps:
                break
        out[b, h, i] = weights @ v[b, h]
    return out, taken


def scrambled(layer, scale=0.4):
    """The layer with parameters large enough to tell."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale)
    return layer


# The operator ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "sizes",
    [(2, 3, 5, 7, 4, 6), (1, 2, 1, 300, 16, 16), (2, 1, 40, 129, 33, 20), (1, 1, 150, 1, 3, 2)],
)
@pytest.mark.parametrize("biased", ["", "patterns", "pairs"])
def test_operator_is_attention(dtype, sizes, biased):
    batch, heads, length, count, dim, value_dim = sizes
    q, k = heads_of(batch, heads, length, dim, dtype), heads_of(batch, heads, count, dim, dtype)
    v = heads_of(batch, heads, count, value_dim, dtype)
    pattern_bias = bias = None
    if biased == "patterns":
        pattern_bias = torch.randn(batch, 1, 1, count, dtype=dtype).expand(-1, heads, -1, -1)
    if biased == "pairs":
        bias = torch.randn(length, count, dtype=dtype).expand(batch, heads, -1, -1)
    beta = torch.full((heads,), 1 / math.sqrt(dim), dtype=dtype)
    found = associate(q, k, v, beta, pattern_bias, bias, [0] * heads, [1e-4] * heads)
    mask = pattern_bias if bias is None else bias
    wanted = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found, wanted, rtol=0, atol=1e-6 if dtype == torch.float32 else 1e-13
    )


@pytest.mark.parametrize("length", [1, 3, 12, 40])
def test_every_query_stops_by_itself(length):
    q, k, v = heads_of(2, 2, length, 4), heads_of(2, 2, 9, 4), heads_of(2, 2, 9, 3)
    beta = torch.tensor([0.4, 3.0], dtype=torch.float64)
    steps, eps = [6, to_convergence], [1e-3, 1e-5]
    found, taken, _, _ = torch.ops.hopfix.associate_traced(q, k, v, beta, None, None, steps, eps)
    for h in range(2):
        part, wanted = naive(
            q[:, h : h + 1],
            k[:, h : h + 1],
            v[:, h : h + 1],
            beta[h : h + 1],
            steps[h : h + 1],
            eps[h],
        )
        torch.testing.assert_close(found[:, h : h + 1], part, rtol=0, atol=1e-12)
        assert torch.equal(taken[:, h : h + 1], wanted)
    assert len(set(taken.flatten().tolist())) > 1 or length == 1
    alone = associate(q[:1, :, :1], k[:1], v[:1], beta, None, None, steps, eps)
    assert torch.equal(alone, found[:1, :, :1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_do_not_depend_on_threads(dtype):
    q, k, v = (heads_of(3, 2, n, 24, dtype) for n in (700, 90, 90))
    beta = torch.tensor([0.1, 0.3], dtype=dtype)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            given = [t.clone().requires_grad_() for t in (q, k, v, beta)]
            out = associate(*given, None, None, [2, 0], [1e-9] * 2)
            results.append([out, *torch.autograd.grad(out.square().sum(), given)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_query_without_patterns_gets_zeros():
    q, k, v = (heads_of(1, 1, 4, 3).requires_grad_() for _ in range(3))
    bias = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    bias[0, 0, 2] = -math.inf
    beta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    for steps in (0, 2, to_convergence):
        out = associate(q, k, v, beta, None, bias, [steps], [1e-6])
        assert torch.equal(out[0, 0, 2], torch.zeros(3, dtype=torch.float64))
        gradients = torch.autograd.grad(out.square().sum(), (q, k, v, beta))
        assert all(g.isfinite().all() for g in gradients)
        assert torch.equal(gradients[0][0, 0, 2], torch.zeros(3, dtype=torch.float64))


def test_nan_goes_where_it_belongs():
    q, k, v = (heads_of(1, 1, 40, 3) for _ in range(3))
    q[0, 0, 5] = math.nan
    beta = torch.ones(1, dtype=torch.float64)
    for steps in (0, 2, to_convergence):
        out = associate(q, k, v, beta, None, None, [steps], [1e-6])
        assert torch.equal(out.isnan().all(-1), q.isnan().all(-1))
        assert torch.equal(out.isnan().any(-1), q.isnan().any(-1))


@pytest.mark.parametrize("steps", [[0, 0], [1, 3], [4, 0]])
@pytest.mark.parametrize("length", [1, 3, 10])
@pytest.mark.parametrize("biased", [False, True])
def test_gradients_of_updates(steps, length, biased):
    given = [heads_of(2, 2, n, d).requires_grad_() for n, d in ((length, 3), (5, 3), (5, 2))]
    beta = torch.tensor([0.5, 1.2], dtype=torch.float64, requires_grad=True)
    bias = (
        torch.randn(1, 1, length, 5, dtype=torch.float64).expand(2, 2, -1, -1) if biased else None
    )

    def run(q, k, v, b):
        return associate(q, k, v, b, None, bias, steps, [1e-300] * 2)

    assert torch.autograd.gradcheck(run, (*given, beta))


@pytest.mark.parametrize("length", [1, 6])
@pytest.mark.parametrize("beta", [0.3, 6.0])
def test_gradients_of_fixed_points(length, beta):
    given = [heads_of(2, 1, n, d).requires_grad_() for n, d in ((length, 3), (6, 3), (6, 2))]
    scaling = torch.tensor([beta], dtype=torch.float64, requires_grad=True)
    padding = torch.randn(2, 1, 1, 6, dtype=torch.float64)

    def run(q, k, v, b):
        return associate(q, k, v, b, padding, None, [to_convergence], [1e-14])

    assert torch.autograd.gradcheck(run, (*given, scaling))
    gradients = torch.autograd.grad(run(*given, scaling).sum(), given)
    assert not gradients[0].any()


def test_gradient_of_an_unstable_fixed_point():
    # 0 is a fixed point of ±x at every beta; above 1 it repels, and I - J is not positive definite.
    k = torch.tensor([[[[1.0, 0.0], [-1.0, 0.0]]]], dtype=torch.float64)
    v = torch.tensor([[[[1.0], [0.0]]]], dtype=torch.float64)
    q = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    beta = torch.tensor([3.0], dtype=torch.float64)

    def gradient(scale):
        given = k.clone().requires_grad_()
        out = associate(q, given, v, scale * beta, None, None, [to_convergence], [1e-14])
        return torch.autograd.grad(out.sum(), given)[0]

    # xi = e + 3 xi for an even shift e of both patterns, so xi = -e/2; weights move by beta xi / 2.
    found = gradient(1.0)
    shift = found[0, 0, :, 0].sum()
    assert shift == pytest.approx(0.5 * 3.0 * -0.5, abs=1e-12)
    with pytest.raises(RuntimeError, match="I − J is singular"):
        gradient(1.0 / 3.0)


def test_operator_refuses_what_does_not_fit():
    q, k, v = (heads_of(1, 2, n, 3) for n in (4, 5, 5))
    beta = torch.ones(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="values: got shape"):
        associate(q, k, v[:, :, :4], beta, None, None, [0, 0], [1.0, 1.0])
    with pytest.raises(TypeError, match="dtypes"):
        associate(q, k.float(), v, beta, None, None, [0, 0], [1.0, 1.0])
    with pytest.raises(ValueError, match="one beta"):
        associate(q, k, v, beta[:1], None, None, [0, 0], [1.0, 1.0])
    given = q.clone().requires_grad_()
    (first,) = torch.autograd.grad(
        associate(given, k, v, beta, None, None, [0, 0], [1.0, 1.0]).sum(), given, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once, not twice"):
        first.sum().backward()


def test_what_does_not_converge_is_an_error():
    layer = layers.Hopfield(4, update_steps_max=None, update_steps_eps=1e-300)
    scrambled(layer, 1.0)
    with pytest.raises(RuntimeError, match=r"update_steps_max: .* did not converge"):
        layer(torch.randn(8, 50, 4))


# Layers against torch ----------------------------------------------------------------------------


def attention_of(layer, embed_dim, num_heads):
    """torch's multi-head attention with the weights of a layer."""
    twin = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True).to(
        layer.association_core.in_proj_weight
    )
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    state = layer.association_core.state_dict()
    twin.load_state_dict({name: state[name] for name in names})
    return twin.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("masked", [False, True])
def test_layer_is_multihead_attention(dtype, masked):
    layer = scrambled(layers.Hopfield(12, num_heads=3, **WITHOUT_NORMS).to(dtype))
    twin = attention_of(layer, 12, 3)
    stored, states = torch.randn(4, 9, 12, dtype=dtype), torch.randn(4, 5, 12, dtype=dtype)
    padding = torch.arange(9) >= torch.tensor([[9], [7], [3], [1]])
    pairs = torch.rand(12, 5, 9) < 0.3
    pairs[:, :, 0] = False
    masks = (padding, pairs) if masked else (None, None)
    found = layer((stored, states, stored), *masks)
    wanted, weights = twin(
        states,
        stored,
        stored,
        key_padding_mask=masks[0],
        attn_mask=masks[1],
        average_attn_weights=False,
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    matrix = layer.get_association_matrix((stored, states, stored), *masks)
    torch.testing.assert_close(matrix, weights, rtol=0, atol=1e-6)
    grads = torch.autograd.grad(found.square().sum(), list(layer.parameters()))
    names = [name for name, _ in layer.association_core.named_parameters()]
    of_twin = dict(
        zip(
            [name for name, _ in twin.named_parameters()],
            torch.autograd.grad(wanted.square().sum(), list(twin.parameters())),
            strict=True,
        )
    )
    for name, gradient in zip(names, grads, strict=True):
        size = of_twin[name].abs().max()
        torch.testing.assert_close(gradient / size, of_twin[name] / size, rtol=0, atol=2e-6)


class Twin:
    """The layer in torch's own operations, from the state_dict of hflayers' names."""

    def __init__(self, layer, steps=0, separation=lambda z: torch.softmax(z, -1)):
        self.state = layer.state_dict()
        self.core, self.steps, self.separation = layer.association_core, steps, separation

    def norm(self, name, x):
        weight = self.state.get(f"{name}.weight")
        if weight is None:
            return x
        return functional.layer_norm(x, x.shape[-1:], weight, self.state[f"{name}.bias"])

    def __call__(self, stored, state, projection):
        s, heads = self.state, self.core.num_heads
        parts = s["association_core.in_proj_weight"].chunk(3)
        biases = s["association_core.in_proj_bias"].chunk(3)
        inputs = (
            self.norm("norm_state_pattern", state),
            self.norm("norm_stored_pattern", stored),
            self.norm("norm_pattern_projection", projection),
        )
        q, k, v = (
            functional.linear(x, w, b).unflatten(-1, (heads, -1)).transpose(1, 2)
            for x, w, b in zip(inputs, parts, biases, strict=True)
        )
        for step in range(self.steps + 1):
            p = self.separation(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))
            q = p @ k if step < self.steps else q
        joined = (p @ v).transpose(1, 2).flatten(2)
        name = "association_core.out_proj"
        return functional.linear(joined, s[f"{name}.weight"], s[f"{name}.bias"])


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("batch_first", [True, False])
def test_layer_with_updates(steps, batch_first):
    layer = layers.Hopfield(
        12, num_heads=2, update_steps_max=steps, update_steps_eps=1e-30, batch_first=batch_first
    )
    scrambled(layer)
    given = [torch.randn(3, n, 12) for n in (7, 4, 7)]
    wanted = Twin(layer, steps)(*given)
    if not batch_first:
        given, wanted = [t.transpose(0, 1) for t in given], wanted.transpose(0, 1)
    torch.testing.assert_close(layer(tuple(given)), wanted, rtol=0, atol=2e-6)
    alone = given[0]
    torch.testing.assert_close(layer(alone), layer((alone, alone, alone)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 2, None])
@pytest.mark.parametrize(
    "options",
    [
        {"num_heads": 2},
        {"num_heads": 2, "hidden_size": 3, "pattern_size": 4, "output_size": 5},
        {
            "hidden_size": 3,
            "normalize_hopfield_space": True,
            "normalize_hopfield_space_affine": True,
        },
        {"stored_pattern_size": 3, "pattern_projection_size": 2},
        {"add_zero_association": True, "concat_bias_pattern": True},
        {"pattern_projection_as_connected": True},
        {"state_pattern_as_static": True},
        {"stored_pattern_as_static": True, "pattern_projection_as_static": True},
        {"similarity": "kernel", "kernel_size": 3},
        {"disable_out_projection": True, "input_bias": False, "association_activation": "tanh"},
    ],
    ids=lambda options: "-".join(options),
)
def test_gradients_of_layers(options, steps):
    scaling = nn.Parameter(torch.full((options.get("num_heads", 1),), 0.7))
    layer = layers.Hopfield(
        4, update_steps_max=steps, update_steps_eps=1e-14, scaling=scaling, **options
    )
    scrambled(layer, 0.6).double()
    with torch.no_grad():
        scaling.copy_(scaling.abs() + 0.2)
    sizes = (options.get("stored_pattern_size", 4), 4, options.get("pattern_projection_size", 4))
    given = [
        torch.randn(2, n, d, dtype=torch.float64, requires_grad=True)
        for n, d in zip((5, 2, 5), sizes, strict=True)
    ]
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(stored, states, projection, *values):
        return torch.func.functional_call(
            layer, dict(zip(names, values, strict=True)), ((stored, states, projection),)
        )

    assert torch.autograd.gradcheck(run, (*given, *parameters), fast_mode=True)


@pytest.mark.parametrize(
    "separation", ["sparsemax", ("entmax", 1.5), ("topk", 3), ("polynomial", 2)]
)
@pytest.mark.parametrize("steps", [0, 3, None])
def test_separations(separation, steps):
    if separation == ("polynomial", 2) and steps is None:
        pytest.skip("its iteration need not converge")
    layer = layers.Hopfield(
        6, num_heads=2, separation=separation, update_steps_max=steps, update_steps_eps=1e-12
    )
    scrambled(layer, 0.7).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    name, *parameters = (separation,) if isinstance(separation, str) else separation
    function = getattr(hopfix.separation, name)

    def separate(z):
        return torch.from_numpy(function(z.detach().numpy(), *parameters))

    wanted = Twin(layer, 200 if steps is None else steps, separate)(x, x, x)
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-8)
    assert torch.autograd.gradcheck(layer, (x,), atol=1e-5)


def test_matrix_route_agrees_with_the_core():
    # A mask that requires a gradient, dropout of probability 0 and the core give the same numbers.
    layer = scrambled(layers.Hopfield(6, num_heads=2, update_steps_max=3)).double()
    endless = copy.deepcopy(layer)
    endless._set_rules(None, None, 1e-13)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    for each in (layer, endless):
        mask = torch.randn(5, 5, dtype=torch.float64)
        results = []
        for needed in (False, True):
            out = each(x, None, mask.clone().requires_grad_(needed))
            results.append([out, *torch.autograd.grad(out.square().sum(), list(each.parameters()))])
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
    assert torch.autograd.gradcheck(lambda m: layer(x, None, m), (mask.requires_grad_(),))
    assert torch.autograd.gradcheck(lambda m: endless(x, None, m), (mask.requires_grad_(),))


def test_dropout_drops_weights_in_training_only():
    layer = scrambled(layers.Hopfield(8, dropout=0.5, **WITHOUT_NORMS))
    x = torch.randn(2, 6, 8)
    assert not torch.equal(layer(x), layer(x))
    torch.manual_seed(3)
    first = layer(x)
    torch.manual_seed(3)
    assert torch.equal(layer(x), first)
    layer.eval()
    torch.testing.assert_close(layer(x), attention_of(layer, 8, 1)(x, x, x)[0], rtol=0, atol=1e-6)


def test_other_dtypes_and_empty_batches():
    layer = scrambled(layers.Hopfield(8, num_heads=2, update_steps_max=1))
    x = torch.randn(2, 6, 8)
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    torch.testing.assert_close(half.float(), layer(x), rtol=0.1, atol=0.1)
    assert layer(x[:0]).shape == (0, 6, 8)


def test_static_association_of_two_sets():
    layer = layers.Hopfield(
        scaling=2.0,
        update_steps_max=30,
        update_steps_eps=1e-12,
        disable_out_projection=True,
        **ALL_STATIC,
        **WITHOUT_NORMS,
    )
    assert not layer.state_dict()
    stored, states = torch.randn(1, 7, 3).double(), torch.randn(1, 4, 3).double()
    net = hopfix.Hopfield(stored[0].numpy(), beta=2.0)
    wanted = net.retrieve(states[0].numpy(), max_steps=31, tol=0).states
    np.testing.assert_allclose(layer((stored, states, stored))[0].numpy(), wanted, atol=1e-8)


def test_static_patterns_are_shared_by_the_heads():
    layer = scrambled(
        layers.Hopfield(
            4, num_heads=2, hidden_size=4, state_pattern_as_static=True, **WITHOUT_NORMS
        )
    )
    x = torch.randn(3, 5, 4)
    core = layer.association_core
    k, v = functional.linear(x, core.in_proj_weight, core.in_proj_bias[:16]).split(8, dim=-1)
    k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (k, v))
    q = x.unsqueeze(1).expand(-1, 2, -1, -1)
    found = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x), core.out_proj(found), rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", ["all", "two", "mixed", "listened"])
def test_joint_projection_is_the_separate_one(which):
    # What comes from one tensor is normalised and projected in one product, unless it may not be.
    options = {"normalize_pattern_projection_affine": False} if which == "mixed" else {}
    layer = scrambled(layers.Hopfield(6, num_heads=2, **options)).double()
    x, y = (torch.randn(3, 40, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    state = y if which == "two" else x
    calls = []
    if which == "listened":
        layer.norm_state_pattern.register_forward_hook(lambda *_: calls.append(1))
    results = []
    for stored, states, projection in ((x, state, x), (x.clone(), state.clone(), x.clone())):
        out = layer((stored, states, projection))
        gradients = torch.autograd.grad(
            out.square().sum(), [x, y, *layer.parameters()], allow_unused=True
        )
        results.append([out, *(g for g in gradients if g is not None)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert len(calls) == (2 if which == "listened" else 0)


# Names and shapes --------------------------------------------------------------------------------


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


NORMS = ("norm_stored_pattern", "norm_state_pattern", "norm_pattern_projection")


def test_state_dict_of_hopfield():
    norms = {f"{norm}.{what}": (8,) for norm in NORMS for what in ("weight", "bias")}
    assert shapes(layers.Hopfield(8, num_heads=2)) == norms | {
        "association_core.in_proj_weight": (24, 8),
        "association_core.in_proj_bias": (24,),
        "association_core.out_proj.weight": (8, 8),
        "association_core.out_proj.bias": (8,),
    }
    layer = layers.Hopfield(
        8,
        hidden_size=3,
        pattern_size=5,
        output_size=6,
        num_heads=2,
        stored_pattern_size=9,
        pattern_projection_size=7,
        concat_bias_pattern=True,
        normalize_hopfield_space=True,
        normalize_hopfield_space_affine=True,
        scaling=nn.Parameter(torch.ones(2)),
        **WITHOUT_NORMS,
    )
    assert shapes(layer) == {
        "_Hopfield__scaling": (2,),
        "association_core.q_proj_weight": (6, 8),
        "association_core.k_proj_weight": (6, 9),
        "association_core.v_proj_weight": (10, 7),
        "association_core.in_proj_bias": (22,),
        "association_core.out_proj.weight": (6, 10),
        "association_core.out_proj.bias": (6,),
        "association_core.bias_k": (1, 1, 6),
        "association_core.bias_v": (1, 1, 10),
        "association_core.p_norm_weight": (3,),
        "association_core.p_norm_bias": (3,),
    }
    # hflayers keeps the part of a static projection in the bias.
    static = shapes(
        layers.Hopfield(8, num_heads=2, pattern_projection_as_static=True, hidden_size=8)
    )
    assert static["association_core.in_proj_weight"] == (32, 8)
    assert static["association_core.in_proj_bias"] == (48,)


def test_state_dicts_of_the_others():
    inner = layers.Hopfield(8)
    pooling = layers.HopfieldPooling(8, quantity=3)
    assert shapes(pooling) == {f"hopfield.{n}": s for n, s in shapes(inner).items()} | {
        "pooling_weights": (1, 3, 8)
    }
    lookup = layers.HopfieldLayer(
        8,
        quantity=4,
        lookup_weights_as_separated=True,
        pattern_projection_size=5,
        batch_first=False,
    )
    assert shapes(lookup)["lookup_weights"] == (4, 1, 8)
    assert shapes(lookup)["target_weights"] == (4, 1, 5)
    rest = {
        "linear_residual.weight": (16, 8),
        "linear_residual.bias": (16,),
        "linear_output.weight": (8, 16),
        "linear_output.bias": (8,),
    }
    norms = lambda *names: {f"{n}.{w}": (8,) for n in names for w in ("weight", "bias")}  # noqa: E731
    within = lambda name: {f"{name}.{n}": s for n, s in shapes(inner).items()}  # noqa: E731
    encoder = layers.HopfieldEncoderLayer(inner, dim_feedforward=16)
    assert shapes(encoder) == within("hopfield_association") | rest | norms(
        "norm_residual", "norm_output"
    )
    decoder = layers.HopfieldDecoderLayer(inner, inner, dim_feedforward=16)
    assert shapes(decoder) == within("hopfield_association_self") | within(
        "hopfield_association_cross"
    ) | rest | norms("norm_residual_self", "norm_residual_cross", "norm_output")


# Pooling and lookup ------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masked", [False, True])
def test_pooling_and_lookup_are_hopfield(batch_first, masked):
    pooling = scrambled(
        layers.HopfieldPooling(
            6, num_heads=2, quantity=3, update_steps_max=1, batch_first=batch_first
        )
    )
    lookup = scrambled(
        layers.HopfieldLayer(
            6,
            num_heads=2,
            quantity=5,
            lookup_weights_as_separated=True,
            update_steps_max=1,
            batch_first=batch_first,
        )
    )
    x = torch.randn(4, 5, 6)
    padding = (torch.arange(5) >= torch.tensor([[5], [4], [1], [3]])) if masked else None
    axis = 0 if batch_first else 1
    given = x if batch_first else x.transpose(0, 1)
    expand = lambda t: t.expand(*(4 if i == axis else -1 for i in range(3)))  # noqa: E731
    wanted = pooling.hopfield((given, expand(pooling.pooling_weights), given), padding).flatten(1)
    torch.testing.assert_close(pooling(given, padding), wanted, rtol=0, atol=1e-6)
    assert pooling(given).shape == ((4, 18) if batch_first else (3, 24))
    stored, targets = expand(lookup.lookup_weights), expand(lookup.target_weights)
    torch.testing.assert_close(
        lookup(given, padding),
        lookup.hopfield((stored, given, targets), padding),
        rtol=0,
        atol=1e-6,
    )
    assert pooling.get_association_matrix(given, padding).shape == (4, 2, 3, 5)
    assert lookup.get_association_matrix(given, padding).shape == (4, 2, 5, 5)
    assert lookup.get_projected_pattern_matrix(given).shape == (4, 2, 5, 3)
    for layer in (pooling, lookup):
        layer(given, padding).sum().backward()
        assert all(p.grad is not None for p in layer.parameters())
        assert (layer.quantity, layer.input_size, layer.update_steps_max) == (layer.quantity, 6, 1)


def test_fixed_lookup_is_not_trained():
    lookup = layers.HopfieldLayer(
        6,
        quantity=5,
        trainable=False,
        lookup_weights_as_separated=True,
        lookup_targets_as_trainable=False,
    )
    assert not lookup.lookup_weights.requires_grad
    assert not lookup.target_weights.requires_grad


# Transformers ------------------------------------------------------------------------------------


def encoder_twin(layer, embed_dim, num_heads):
    """torch's encoder layer with the same weights."""
    twin = nn.TransformerEncoderLayer(embed_dim, num_heads, 16, dropout=0.0, batch_first=True)
    twin.self_attn = attention_of(layer.hopfield_association, embed_dim, num_heads)
    pairs = (
        ("linear1", "linear_residual"),
        ("linear2", "linear_output"),
        ("norm1", "norm_residual"),
        ("norm2", "norm_output"),
    )
    for theirs, ours in pairs:
        getattr(twin, theirs).load_state_dict(getattr(layer, ours).state_dict())
    return twin


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [False, True])
def test_encoder_within_torch(training, masked):
    inner = layers.Hopfield(8, num_heads=2, **WITHOUT_NORMS)
    layer = scrambled(layers.HopfieldEncoderLayer(inner, dim_feedforward=16, dropout=0.0))
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).train(training)
    twin = nn.TransformerEncoder(encoder_twin(layer, 8, 2), 2, enable_nested_tensor=False).train()
    x = torch.randn(3, 5, 8)
    masks = {}
    if masked:
        masks = {
            "mask": nn.Transformer.generate_square_subsequent_mask(5),
            "src_key_padding_mask": torch.zeros(3, 5).masked_fill(
                torch.arange(5) >= torch.tensor([[5], [4], [2]]), -math.inf
            ),
        }
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(encoder(x, **masks), twin(x, **masks), rtol=0, atol=5e-6)
    if not masked:
        with pytest.warns(UserWarning, match="nested"):
            nested = nn.TransformerEncoder(layer, 2).train(training)
        with torch.no_grad():
            assert torch.equal(nested(x), encoder(x))


@pytest.mark.parametrize("training", [True, False])
def test_encoder_is_not_bypassed(training):
    # With updates the result differs from attention, in evaluation without gradients, too.
    inner = layers.Hopfield(8, num_heads=2, update_steps_max=3, scaling=2.0)
    layer = scrambled(layers.HopfieldEncoderLayer(inner, dim_feedforward=16, dropout=0.0))
    encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False).train(training)
    x = torch.randn(3, 5, 8)
    with torch.no_grad():
        assert torch.equal(encoder(x), encoder.layers[0](x))
        other = copy.deepcopy(layer)
        other.hopfield_association._set_rules(2.0, 0, 1e-4)
        assert (other(x) - encoder(x)).abs().max() > 1e-3


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_decoder_within_torch(training, batch_first):
    inner = layers.Hopfield(8, num_heads=2, batch_first=batch_first, **WITHOUT_NORMS)
    layer = scrambled(layers.HopfieldDecoderLayer(inner, inner, dim_feedforward=16, dropout=0.0))
    twin = nn.TransformerDecoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    twin.self_attn = attention_of(layer.hopfield_association_self, 8, 2)
    twin.multihead_attn = attention_of(layer.hopfield_association_cross, 8, 2)
    pairs = (
        ("linear1", "linear_residual"),
        ("linear2", "linear_output"),
        ("norm1", "norm_residual_self"),
        ("norm2", "norm_residual_cross"),
        ("norm3", "norm_output"),
    )
    for theirs, ours in pairs:
        getattr(twin, theirs).load_state_dict(getattr(layer, ours).state_dict())
    decoder = nn.TransformerDecoder(layer, 2).train(training)
    wanted = nn.TransformerDecoder(twin, 2).train()
    x, memory = torch.randn(3, 5, 8), torch.randn(3, 6, 8)
    masks = {
        "tgt_mask": nn.Transformer.generate_square_subsequent_mask(5),
        "memory_key_padding_mask": torch.arange(6) >= torch.tensor([[6], [4], [2]]),
    }
    turned = [t if batch_first else t.transpose(0, 1) for t in (x, memory)]
    found = decoder(*turned, **masks)
    found = found if batch_first else found.transpose(0, 1)
    torch.testing.assert_close(found, wanted(x, memory, **masks), rtol=0, atol=1e-5)


def test_causal_hint_without_a_mask():
    layer = scrambled(
        layers.HopfieldEncoderLayer(layers.Hopfield(8), dim_feedforward=16, dropout=0.0)
    )
    x = torch.randn(2, 5, 8)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
    assert torch.equal(layer(x, is_causal=True), layer(x, mask))


# What is wrong in hflayers 1.0.2 -----------------------------------------------------------------


def test_scaling_per_head_scales_each_head():
    # There, entries of the scaling alternate along the features, whatever head these belong to.
    scaling = torch.tensor([0.5, 4.0])
    layer = scrambled(layers.Hopfield(8, num_heads=2, scaling=scaling, disable_out_projection=True))
    x = torch.randn(2, 5, 8)
    for head, beta in enumerate((0.5, 4.0)):
        alike = layers.Hopfield(8, num_heads=2, scaling=beta, disable_out_projection=True)
        alike.load_state_dict(layer.state_dict())
        part = slice(4 * head, 4 * head + 4)
        assert torch.equal(layer(x)[..., part], alike(x)[..., part])
    assert torch.equal(layer.scaling, scaling)


def test_concat_bias_pattern_concatenates():
    # There, it is ignored.
    layer = scrambled(layers.Hopfield(8, num_heads=2, concat_bias_pattern=True, **WITHOUT_NORMS))
    twin = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True).eval()
    twin.load_state_dict(layer.association_core.state_dict())
    x = torch.randn(3, 5, 8)
    torch.testing.assert_close(layer(x), twin(x, x, x)[0], rtol=0, atol=1e-6)
    assert layer.get_association_matrix(x).shape == (3, 2, 5, 6)
    padding = torch.arange(5) >= torch.tensor([[5], [2], [0]])
    found = layer(x, padding)
    torch.testing.assert_close(found, twin(x, x, x, key_padding_mask=padding)[0], rtol=0, atol=1e-6)
    layer(x).sum().backward()
    assert layer.association_core.bias_k.grad.any()
    assert layer.association_core.bias_v.grad.any()


def test_uint8_masks():
    # There, they raise NameError.
    layer = scrambled(layers.Hopfield(8, num_heads=2))
    x = torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([[5], [4], [2]])
    pairs = torch.ones(5, 5, dtype=torch.bool).triu(1)
    wanted = layer(x, padding, pairs)
    assert torch.equal(layer(x, padding.to(torch.uint8), 3 * pairs.to(torch.uint8)), wanted)
    assert not torch.equal(wanted, layer(x))


def test_integer_scaling():
    # There, it fails an assertion.
    layer = scrambled(layers.Hopfield(8, num_heads=2, scaling=2))
    other = layers.Hopfield(8, num_heads=2, scaling=2.0)
    other.load_state_dict(layer.state_dict())
    numbers = layers.Hopfield(8, num_heads=2, scaling=torch.tensor([2, 2]))
    numbers.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, 8)
    assert torch.equal(layer(x), other(x))
    assert torch.equal(layer(x), numbers(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("steps", [0, 2, None])
def test_traced_layers_run_are_saved_and_trained(steps):
    # There, neither scripting nor tracing gives a module that is right for other data.
    layer = scrambled(layers.Hopfield(8, num_heads=2, update_steps_max=steps))
    x, other = torch.randn(2, 5, 8), torch.randn(3, 7, 8)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(layer, (x,)), file)
    file.seek(0)
    loaded = torch.jit.load(file)
    assert torch.equal(loaded(other), layer(other))
    mine, theirs = other.clone().requires_grad_(), other.clone().requires_grad_()
    layer(mine).square().sum().backward()
    loaded(theirs).square().sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripting_is_refused_with_the_way_out():
    model = nn.Sequential(nn.Linear(8, 8), layers.HopfieldPooling(8))
    with pytest.raises(
        RuntimeError, match=r"HopfieldPooling .* need torch\.jit\.trace, torch\.export"
    ):
        torch.jit.script(model)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_compiled_and_exported_layers():
    layer = scrambled(layers.Hopfield(8, num_heads=2, update_steps_max=2))
    x = torch.randn(2, 5, 8)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), layer(x), rtol=0, atol=1e-6)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    layer(mine).square().sum().backward()
    compiled(theirs).square().sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)
    exported = torch.export.export(layer, (x,))
    torch.testing.assert_close(exported.module()(2 * x), layer(2 * x), rtol=0, atol=1e-6)


def test_copies_and_pickles():
    kinds = [
        layers.Hopfield(
            8, num_heads=2, scaling=torch.tensor([1.0, 2.0]), separation=("entmax", 1.5)
        ),
        layers.Hopfield(8, num_heads=2, scaling=nn.Parameter(torch.ones(2)), update_steps_max=None),
        layers.HopfieldPooling(8, quantity=2, association_activation="tanh"),
        layers.HopfieldLayer(8, quantity=3),
        layers.HopfieldEncoderLayer(layers.Hopfield(8), 16).eval(),
    ]
    x = torch.randn(2, 5, 8)
    for layer in kinds:
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(twin(x), layer(x))
            assert shapes(twin) == shapes(layer)


# U-Hop -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["layer", "average", "maximum"])
def test_separation_loss_is_that_of_the_core(kind):
    patterns = torch.randn(3, 6, 4, dtype=torch.float64)
    matrix = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    found = layers.separation_loss(patterns, matrix, 1.5, kind)
    (gradient,) = torch.autograd.grad(found, matrix)
    losses, gradients = [], []
    for rows in patterns.numpy():
        losses.append(hopfix.kernel.separation_loss(rows, matrix.detach().numpy(), 1.5, kind))
        gradients.append(
            hopfix.kernel.separation_gradient(rows, matrix.detach().numpy(), 1.5, kind)
        )
    assert found.item() == pytest.approx(np.mean(losses), abs=1e-12)
    np.testing.assert_allclose(gradient.numpy(), np.mean(gradients, axis=0), atol=1e-10)


def test_kernel_starts_as_the_plain_layer_and_maps_both_sides():
    plain = scrambled(layers.Hopfield(8, num_heads=2, update_steps_max=2))
    kernel = layers.Hopfield(8, num_heads=2, update_steps_max=2, similarity="kernel")
    missing = kernel.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["association_core.kernel_weight"]
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(kernel(x), plain(x), rtol=0, atol=1e-6)
    with torch.no_grad():
        matrix = torch.randn(4, 4)
        kernel.association_core.kernel_weight.copy_(matrix)
    core = plain.association_core
    q, k, v = core._project(x, x, x, plain._norms(), True)
    for step in range(3):
        p = torch.softmax(0.5 * (q @ matrix.T) @ (k @ matrix.T).transpose(-1, -2), -1)
        q = p @ k if step < 2 else q
    wanted = core.out_proj((p @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(kernel(x), wanted, rtol=0, atol=2e-6)


def test_separation_step_trains_the_kernels_alone():
    model = nn.Sequential(
        layers.Hopfield(8, num_heads=2, similarity="kernel"),
        layers.HopfieldLayer(8, quantity=6, similarity="kernel", kernel_size=5),
    )
    before = copy.deepcopy(model.state_dict())
    kernels = list(layers.kernel_parameters(model))
    assert [tuple(k.shape) for k in kernels] == [(4, 4), (5, 8)]
    x = torch.randn(3, 7, 8)
    losses = layers.separation_step(
        model, lambda: model(x), torch.optim.SGD(kernels, lr=0.3), steps=30
    )
    assert len(losses) == 30
    assert losses[-1] < losses[0] - 1e-3
    first = model[0].separation_loss(x) + model[1].separation_loss()
    assert first.item() < losses[0]
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {
        "0.association_core.kernel_weight",
        "1.hopfield.association_core.kernel_weight",
    }
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size: got 0"),
        ({"input_size": None}, "normalize|input_size: got None"),
        ({"num_heads": 3}, "num_heads: got 3, need a divisor"),
        ({"scaling": "2"}, "scaling: got str"),
        ({"scaling": -1.0}, "scaling: got -1"),
        ({"scaling": torch.ones(3)}, "scaling: got shape"),
        ({"scaling": torch.tensor([-1.0])}, r"scaling: got \[-1.0\], need finite"),
        ({"update_steps_max": -1}, "update_steps_max: got -1"),
        ({"update_steps_max": 1.5}, "update_steps_max: got float"),
        ({"update_steps_max": torch.ones(1)}, "update_steps_max: got a torch.float32"),
        ({"update_steps_eps": 0.0}, "update_steps_eps: got 0"),
        ({"update_steps_eps": torch.ones(2)}, "update_steps_eps: got shape"),
        ({"dropout": 1.5}, "dropout: got 1.5"),
        ({"batch_first": 1}, "batch_first: got int"),
        ({"association_activation": "nothing"}, "association_activation: got 'nothing'"),
        ({"normalize_state_pattern": False}, "normalize_state_pattern_affine: got True without"),
        (
            {"normalize_hopfield_space_affine": True},
            "normalize_hopfield_space_affine: got True",
        ),
        ({"concat_bias_pattern": True, "stored_pattern_as_static": True}, "concat_bias_pattern"),
        ({"pattern_projection_as_connected": True, "pattern_size": 3}, "pattern_projection_as_c"),
        ({"separation": "softest"}, "separation: got 'softest'"),
        ({"separation": ("entmax", 0.5)}, "separation: 'entmax'"),
        ({"similarity": "neg_l1"}, "similarity: got 'neg_l1'"),
        ({"kernel_size": 3}, "kernel_size: got 3, which needs"),
        ({"normalize_state_pattern_eps": "1"}, "normalize_state_pattern_eps: got str"),
        ({"normalize_hopfield_space_eps": -1.0}, "normalize_hopfield_space_eps: got -1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        layers.Hopfield(**({"input_size": 8} | options))


def test_bad_input():
    layer = layers.Hopfield(8, num_heads=2)
    x = torch.randn(2, 5, 8)
    cases = [
        ((x, x),),
        ([x],),
        (x[..., :4],),
        (x[0],),
        ((x, x[:1], x),),
        ((x, x, x[:, :3]),),
        (x, torch.zeros(2, 4)),
        (x, torch.zeros(2, 5, dtype=torch.int64)),
        (x, None, torch.zeros(3, 5, 5)),
        (x, None, np.zeros((5, 5))),
    ]
    names = ["input", "input", "input", "input", "input", "input"]
    names += ["stored_pattern_padding_mask"] * 2 + ["association_mask"] * 2
    for case, name in zip(cases, names, strict=True):
        with pytest.raises((TypeError, ValueError), match=f"{name}: "):
            layer(*case)
    with pytest.raises(ValueError, match="similarity: there is no kernel"):
        layer.separation_loss(x)
    with pytest.raises(ValueError, match="at least as many stored patterns"):
        layers.Hopfield(8, separation=("topk", 6))(x)
    with pytest.raises(TypeError, match="hopfield_association: got Linear"):
        layers.HopfieldEncoderLayer(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="activation: got"):
        layers.HopfieldEncoderLayer(layer, activation="nothing")
    with pytest.raises(ValueError, match="dropout: got 3"):
        layers.HopfieldEncoderLayer(layer, dropout=3.0)
    with pytest.raises(ValueError, match=r"hopfield_association: .* output_size 4, need one size"):
        layers.HopfieldEncoderLayer(layers.Hopfield(8, output_size=4))
    with pytest.raises(ValueError, match="quantity"):
        layers.HopfieldPooling(8, quantity=0)


def test_bad_input_of_separation():
    kernel = layers.Hopfield(8, similarity="kernel")
    with pytest.raises(TypeError, match=r"patterns: got \(3,\), need a tensor"):
        layers.separation_loss(torch.ones(3), torch.eye(3))
    with pytest.raises(TypeError, match=r"matrix: got \(4, 4\), need a tensor \(D, 3\)"):
        layers.separation_loss(torch.ones(2, 3), torch.eye(4))
    with pytest.raises(TypeError, match="model: got int"):
        layers.separation_step(3, lambda: None, None)
    with pytest.raises(TypeError, match="forward: got int"):
        layers.separation_step(kernel, 3, None)
