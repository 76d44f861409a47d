from functools import partial

import pytest
import torch
from torch import Tensor

from rapidash.ops import Backend, spherical_conv
from tests.ops._support import TOLERANCE, assert_parity, leaf

SIZES = [(3, 4, 5, 7), (1, 1, 1, 1), (0, 3, 2, 4), (40, 8, 8, 130), (90, 12, 20, 64)]  # points, in, out, channels


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_by_hand(backend: Backend) -> None:
    x = torch.tensor([[[1.0], [2.0]]])
    kernel = torch.tensor([[[10.0], [100.0]], [[0.0], [1.0]], [[3.0], [0.0]]])
    assert spherical_conv(x, kernel, backend=backend).flatten().tolist() == [105.0, 1.0, 1.5]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_numba_agrees_with_the_definition(sizes: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    points, ins, outs, channels = sizes
    inputs = leaf(points, ins, channels, dtype=dtype), leaf(outs, ins, channels, dtype=dtype)
    tolerance = TOLERANCE[dtype]
    assert_parity(
        partial(spherical_conv, backend="numba"), partial(spherical_conv, backend="reference"), inputs, tolerance
    )


@pytest.mark.usefixtures("two_threads")
def test_two_threads_agree_with_the_definition() -> None:
    inputs = leaf(90, 12, 64), leaf(20, 12, 64)
    assert_parity(partial(spherical_conv, backend="numba"), partial(spherical_conv, backend="reference"), inputs, 1e-12)


def test_the_parity_check_rejects_a_transposed_kernel() -> None:
    inputs = leaf(3, 4, 2), leaf(4, 4, 2)
    with pytest.raises(AssertionError, match="value"):
        assert_parity(lambda x, k: spherical_conv(x, k.transpose(0, 1)), spherical_conv, inputs, 1e-12)


def test_gradients_of_first_and_second_order() -> None:
    inputs = leaf(2, 3, 2), leaf(2, 3, 2)
    run = partial(spherical_conv, backend="numba")
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.usefixtures("two_threads")
def test_two_runs_give_the_same_bits() -> None:
    x, kernel = leaf(90, 8, 64), leaf(8, 8, 64)
    runs = [torch.autograd.grad(spherical_conv(x, kernel).square().sum(), [x, kernel]) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch.func.jvp itself
def test_torch_func_uses_the_definition() -> None:
    x, kernel, tangent = (torch.randn(3, 4, 5) for _ in range(3))
    value, slope = torch.func.jvp(lambda x: spherical_conv(x, kernel), (x,), (tangent,))
    torch.testing.assert_close(value, spherical_conv(x, kernel))
    torch.testing.assert_close(slope, spherical_conv(tangent, kernel))


def test_opcheck() -> None:
    found = torch.library.opcheck(torch.ops.rapidash.spherical_conv.default, (leaf(2, 3, 4), leaf(5, 3, 4)))
    assert set(found.values()) == {"SUCCESS"}


class Layer(torch.nn.Module):
    def forward(self, x: Tensor, kernel: Tensor) -> Tensor:
        return 2 * spherical_conv(torch.sin(x), kernel)


@pytest.mark.usefixtures("unwrapped")
def test_compiles_and_exports() -> None:
    x, kernel = leaf(3, 4, 5, dtype=torch.float32), leaf(2, 4, 5, dtype=torch.float32)
    layer = Layer()
    assert_parity(torch.compile(layer, fullgraph=True, backend="aot_eager"), layer, [x, kernel], 0)
    exported = torch.export.export(layer, (x.detach(), kernel.detach()))
    assert "rapidash.spherical_conv" in str(exported.graph)
    torch.testing.assert_close(exported.module()(x, kernel), layer(x, kernel))


def test_errors_say_what_to_do() -> None:
    x, kernel = torch.ones(3, 4, 5), torch.ones(2, 3, 5)
    with pytest.raises(ValueError, match="with the same O and C"):
        spherical_conv(x, kernel)
    with pytest.raises(RuntimeError, match=r"spherical_conv\(backend='triton'\) cannot run: .*[Tt]riton"):
        spherical_conv(x, x, backend="triton")
    with pytest.raises(RuntimeError, match="float32 or float64"):
        spherical_conv(x.bfloat16(), x.bfloat16(), backend="numba")
