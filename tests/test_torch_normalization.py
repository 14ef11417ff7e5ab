"""The core's layer normalisation against torch's."""

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from hopfix.torch._normalization import normalize  # noqa: E402


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (7, 1), (3, 5), (2, 3, 16), (4, 33), (700, 40), (2, 300)])
def test_is_layer_norm_of_torch(dtype, shape):
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(shape, dtype=dtype)).requires_grad_()
    found, wanted = normalize(x, 1e-5), functional.layer_norm(x, shape[-1:], eps=1e-5)
    tight = {"rtol": 0, "atol": 2e-6 if dtype == torch.float32 else 1e-14}
    torch.testing.assert_close(found, wanted, **tight)
    cotangents = torch.randn_like(wanted)
    (mine,) = torch.autograd.grad(found, x, cotangents)
    (theirs,) = torch.autograd.grad(wanted, x, cotangents)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * tight["atol"] * 1e6)
    with torch.no_grad():
        assert torch.equal(normalize(x, 1e-5), found)


def test_keeps_the_variance_of_rows_far_from_zero():
    x = torch.randn(50, 40, dtype=torch.float64)
    far = (x + 1e3).float()
    wanted = functional.layer_norm(far.double(), (40,), eps=1e-5)
    torch.testing.assert_close(normalize(far, 1e-5).double(), wanted, rtol=0, atol=2e-4)
    assert torch.equal(normalize(torch.full((2, 5), 7.0), 1e-5), torch.zeros(2, 5))


def test_derivatives_and_strides():
    x = torch.randn(5, 3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: normalize(t, 1e-3), (x,))
    turned = x.detach().transpose(0, 2)
    wanted = functional.layer_norm(turned, (5,), eps=1e-3)
    torch.testing.assert_close(normalize(turned, 1e-3), wanted)
    (first,) = torch.autograd.grad(normalize(x, 1e-3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once, not twice"):
        first.sum().backward()


def test_nan_stays_in_its_row():
    x = torch.randn(4, 20)
    x[1, 3] = torch.nan
    assert torch.equal(normalize(x, 1e-5).isnan().all(-1), torch.arange(4) == 1)
    assert torch.equal(normalize(x, 1e-5).isnan().any(-1), torch.arange(4) == 1)


def test_results_do_not_depend_on_threads():
    x = torch.randn(5000, 40)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(normalize(x, 1e-5))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_others_go_to_torch():
    x = torch.randn(3, 8)
    torch.testing.assert_close(
        normalize(x.bfloat16(), 1e-5), functional.layer_norm(x.bfloat16(), (8,), eps=1e-5)
    )
    assert normalize(x[:0], 1e-5).shape == (0, 8)
    assert normalize(x.to("meta"), 1e-5).shape == (3, 8)
