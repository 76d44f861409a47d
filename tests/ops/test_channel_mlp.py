import ctypes
import mmap
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from rapidash.ops import channel_mlp, use_products
from rapidash.ops.channel_mlp import _few_rows
from rapidash.ops.channel_mlp._second import channel_mlp_second
from rapidash.ops.channel_mlp.numba import add_bias_gelu, gelu_gradient
from rapidash.ops.channel_mlp.reference import channel_mlp_reference
from tests.ops._support import TOLERANCE, assert_parity, leaf


def inputs(
    points: tuple[int, ...], channels: int, hidden: int, out: int, *, residual: bool, scale: bool, dtype: torch.dtype
) -> list[Tensor | None]:
    make: Any = partial(leaf, dtype=dtype)
    return [
        make(*points, channels),
        make(*points, out) if residual else None,
        make(channels),
        make(channels),
        make(hidden, channels),
        make(hidden),
        make(out, hidden),
        make(out),
        make(out) if scale else None,
    ]


SIZES = [
    ((7,), 5, 9, 4),
    ((2, 3), 4, 4, 4),
    ((0, 3), 4, 4, 4),
    ((700,), 40, 50, 7),  # no small product, in one chunk
    ((3, 1500), 16, 300, 16),  # in several chunks
]


def test_the_definition_is_the_block_of_modules() -> None:
    norm, first, second = nn.LayerNorm(4), nn.Linear(4, 8), nn.Linear(8, 4)
    nn.init.normal_(norm.weight)
    x, residual, scale = torch.randn(3, 4), torch.randn(3, 4), torch.randn(4)
    expected = residual + scale * second(nn.functional.gelu(first(norm(x))))
    parameters = norm.weight, norm.bias, first.weight, first.bias, second.weight, second.bias, scale
    torch.testing.assert_close(channel_mlp_reference(x, residual, *parameters), expected)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_fused_agrees_with_the_definition(
    sizes: tuple[tuple[int, ...], int, int, int], dtype: torch.dtype, optional: bool, recompute: bool
) -> None:
    tensors = inputs(*sizes, residual=optional, scale=optional, dtype=dtype)
    tolerance = 20 * TOLERANCE[dtype]
    assert_parity(partial(channel_mlp, recompute=recompute), channel_mlp_reference, tensors, tolerance)


FEW_ROWS = [(1, 33, 99, 5), (15, 8, 16, 8), (16, 32, 128, 32), (17, 32, 64, 3), (40, 7, 9, 50), (8, 96, 192, 96)]


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("sizes", FEW_ROWS, ids=str)
def test_few_rows_without_gradients_to_the_rounding_of_float32(
    monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int, int, int], optional: bool
) -> None:
    rows, *widths = sizes
    tensors = inputs((rows,), *widths, residual=optional, scale=optional, dtype=torch.float32)
    exact = channel_mlp_reference(*(t if t is None else t.double() for t in tensors)).detach()
    monkeypatch.setattr(sys.modules["rapidash.ops.channel_mlp._fused"], "linear", None)  # of the other way
    with torch.no_grad():
        out = channel_mlp(*tensors)
        strided = channel_mlp(*(t if t is None else torch.stack([t, t], dim=-1)[..., 0] for t in tensors))
        few = channel_mlp(*(t[-2:] if i < 2 and t is not None else t for i, t in enumerate(tensors)))
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=1e-6 * float(exact.abs().max()))
    assert torch.equal(strided, out)
    assert torch.equal(few, out[-2:]), "a row does not depend on the others"


def test_how_many_rows_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 x 256 weights those whose last vector ends below row 2^20 / 2^14 = 64, wherever in it they end."""
    asked = []
    monkeypatch.setattr(_few_rows, "few_rows", lambda x, *_: asked.append(len(x)) or x)
    largest = 64 - _few_rows.LANES
    for rows in (1, largest, largest + 1):
        with torch.no_grad():
            channel_mlp(*inputs((rows,), 64, 256, 64, residual=False, scale=False, dtype=torch.float32))
    assert asked == [1, largest]


def test_few_rows_whose_minus_sign_stands_beside_their_numbers() -> None:
    x, residual, *parameters = inputs((3,), 8, 16, 8, residual=True, scale=True, dtype=torch.float32)
    assert x is not None
    assert residual is not None
    with torch.no_grad():
        turned = torch._neg_view(x), torch._neg_view(residual)
        assert turned[0].is_contiguous()
        assert torch.equal(channel_mlp(*turned, *parameters), channel_mlp(-x, -residual, *parameters))


def test_few_rows_that_are_not_finite_spoil_no_others() -> None:
    tensors = inputs((3,), 8, 16, 8, residual=False, scale=False, dtype=torch.float32)
    with torch.no_grad():
        expected = channel_mlp(*tensors)
        x = tensors[0]
        assert x is not None
        x[1, 2], expected[1] = float("inf"), float("nan")
        torch.testing.assert_close(channel_mlp(*tensors), expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "change",
    [lambda x: x + 1e6, lambda x: 1e20 * x, lambda x: 1e38 * x.tanh(), lambda x: x[:, :1].expand(x.shape)],
    ids=["far from 0", "large", "largest", "equal"],
)
def test_normalization_of_few_rows_loses_no_digits(change: Callable[[Tensor], Tensor]) -> None:
    """In float32 the mean alone, or the squares, would."""
    tensors = inputs((17,), 96, 24, 8, residual=True, scale=True, dtype=torch.float32)
    with torch.no_grad():
        assert tensors[0] is not None
        tensors[0] = change(tensors[0])
        exact = channel_mlp_reference(*(t if t is None else t.double() for t in tensors))
        out = channel_mlp(*tensors)
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=1e-6 * float(exact.abs().max()))


@pytest.mark.parametrize("at", [1, 2, 4, 8])
def test_tensors_elsewhere_are_refused(at: int) -> None:
    tensors = inputs((3,), 8, 16, 8, residual=True, scale=True, dtype=torch.float32)
    wrong = tensors[at]
    assert wrong is not None
    tensors[at] = wrong.to("meta")
    with torch.no_grad(), pytest.raises(ValueError, match="is on meta but x on cpu"):
        channel_mlp(*tensors)


def at_the_end_of_memory(tensor: Tensor) -> Tensor:
    """A copy after which no memory may be read: what does ends the process."""
    size = tensor.numel() * tensor.element_size()
    before = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, before + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + before), mmap.PAGESIZE, 0) == 0
    copy = torch.frombuffer(memory, dtype=tensor.dtype, offset=before - size, count=tensor.numel())
    return copy.view(tensor.shape).copy_(tensor)


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's call")
@pytest.mark.parametrize("sizes", FEW_ROWS, ids=str)
def test_few_rows_read_nothing_beyond_their_tensors(sizes: tuple[int, int, int, int]) -> None:
    tensors = inputs((sizes[0],), *sizes[1:], residual=True, scale=True, dtype=torch.float32)
    with torch.no_grad():
        copies = [tensor if tensor is None else at_the_end_of_memory(tensor) for tensor in tensors]
        assert torch.equal(channel_mlp(*copies), channel_mlp(*tensors))


@pytest.mark.parametrize("at", [0, 4, 8])
def test_few_rows_of_memory_that_was_freed_are_refused(at: int) -> None:
    tensors = inputs((3,), 8, 16, 8, residual=True, scale=True, dtype=torch.float32)
    freed = tensors[at]
    assert freed is not None
    freed.untyped_storage().resize_(0)
    with torch.no_grad(), pytest.raises(RuntimeError, match="whose memory was freed"):
        channel_mlp(*tensors)


def test_a_traced_graph_takes_any_number_of_rows() -> None:
    few, more = (inputs((rows,), 4, 8, 4, residual=True, scale=True, dtype=torch.float32) for rows in (3, 5))
    with torch.no_grad():
        graph = make_fx(lambda *tensors: channel_mlp(*tensors), tracing_mode="symbolic")(*few)
        torch.testing.assert_close(graph(*more), channel_mlp(*more))


@pytest.mark.usefixtures("two_threads")
def test_compiled_gelu_and_its_gradient_to_the_rounding_of_float32() -> None:
    z = torch.linspace(-14, 14, 200 * 1001).view(200, 1001)
    exact = z.double().requires_grad_()
    value = nn.functional.gelu(exact)
    (slope,) = torch.autograd.grad(value.sum(), exact)
    hidden, bias, out = z - 0.5, torch.full((1001,), 0.5), torch.empty_like(z)
    add_bias_gelu(z - 0.5, bias, hidden, out)
    torch.testing.assert_close(hidden, z)
    torch.testing.assert_close(out.double(), value.detach(), rtol=0, atol=5e-7)
    grad, again = torch.full_like(z, 2.0), torch.empty_like(z)
    sums = gelu_gradient(z, grad, again)
    torch.testing.assert_close(grad.double(), 2 * slope, rtol=0, atol=6e-7)
    torch.testing.assert_close(again.double(), value.detach(), rtol=0, atol=5e-7)
    torch.testing.assert_close(sums, grad.sum(dim=0))


def test_compiled_gelu_of_what_is_not_finite() -> None:
    z, out = torch.tensor([[float("inf"), -float("inf"), float("nan"), 1e30, -1e30]]), torch.empty(1, 5)
    add_bias_gelu(z, torch.zeros(5), z, out)
    torch.testing.assert_close(out, torch.tensor([[float("inf"), 0, float("nan"), 1e30, 0]]), equal_nan=True)


def test_the_parity_check_rejects_another_gelu() -> None:
    def approximate(x: Tensor, _: None, norm_weight: Tensor, norm_bias: Tensor, *maps: Tensor) -> Tensor:
        w1, b1, w2, b2 = maps
        normalized = nn.functional.layer_norm(x, x.shape[-1:], norm_weight, norm_bias)
        return nn.functional.gelu(normalized @ w1.T + b1, approximate="tanh") @ w2.T + b2

    tensors = inputs(*SIZES[0], residual=False, scale=False, dtype=torch.float64)[:-1]
    with pytest.raises(AssertionError, match="value"):
        assert_parity(approximate, channel_mlp, tensors, 1e-6)


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_of_first_and_second_order(recompute: bool) -> None:
    tensors = inputs((3,), 3, 4, 2, residual=True, scale=True, dtype=torch.float64)
    run = partial(channel_mlp, recompute=recompute)
    assert torch.autograd.gradcheck(run, tensors)
    assert torch.autograd.gradgradcheck(run, tensors)


def second_derivatives(function: Callable[..., Tensor], tensors: Sequence[Tensor | None]) -> list[Tensor]:
    """Of a sum of the gradient of x alone, as forces are: by all inputs."""
    x, given = tensors[0], [t for t in tensors if t is not None]
    assert x is not None
    (slope,) = torch.autograd.grad(function(*tensors).pow(3).sum(), x, create_graph=True)
    factor = torch.linspace(-1, 2, slope.numel(), dtype=slope.dtype).view_as(slope)
    return list(torch.autograd.grad((factor * slope).sum(), given))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("sizes", [((7,), 6, 8, 5), ((1000,), 32, 64, 32)], ids=str)
def test_derivatives_of_the_gradient_of_x_agree_with_the_definition(
    sizes: Any, dtype: torch.dtype, optional: bool, recompute: bool
) -> None:
    tensors = inputs(*sizes, residual=optional, scale=optional, dtype=dtype)
    got = second_derivatives(partial(channel_mlp, recompute=recompute), tensors)
    expected = second_derivatives(channel_mlp_reference, tensors)
    for one, other in zip(got, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < 20 * TOLERANCE[dtype]


class NormTypes(TorchDispatchMode):
    """Notes the dtypes of gradients and of rows in the backward passes of layer norms."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[torch.dtype, torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.native_layer_norm_backward.default:
            self.found.append((args[0].dtype, args[1].dtype))
        return func(*args, **(kwargs or {}))


def test_layer_norms_get_gradients_of_the_dtype_of_their_rows() -> None:
    """Others they refuse. The meta device has, as GPUs, deviations of rows of bfloat16 in float32."""
    rows, hidden = (torch.empty(5, size, dtype=torch.bfloat16, device="meta") for size in (4, 6))
    assert torch.native_layer_norm(rows, [4], None, None, 1e-5)[2].dtype == torch.float32
    parameters = rows[0], rows[0], hidden[:4].T, hidden[0], hidden[:4], rows[0], rows[0]
    with NormTypes() as seen:
        channel_mlp_second(rows, rows, rows, *parameters, hidden, "torch")
    assert seen.found == 2 * [(torch.bfloat16, torch.bfloat16)]


def test_third_derivatives_are_those_of_the_definition() -> None:
    tensors = inputs((3,), 4, 6, 4, residual=True, scale=True, dtype=torch.float64)

    def third(function: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(function(*tensors).pow(3).sum(), tensors[0], create_graph=True)
        (second,) = torch.autograd.grad(slope.square().sum(), tensors[0], create_graph=True)
        return torch.autograd.grad(second.square().sum(), [t for t in tensors if t is not None])

    torch.testing.assert_close(third(channel_mlp), third(channel_mlp_reference))


def test_gradients_of_a_part_of_the_inputs() -> None:
    tensors = inputs((3,), 4, 6, 4, residual=True, scale=True, dtype=torch.float64)
    for wanted in range(9):
        some = [t if i == wanted else t.detach() for i, t in enumerate(tensors) if t is not None]
        (got,) = torch.autograd.grad(channel_mlp(*some).square().sum(), some[wanted])
        (expected,) = torch.autograd.grad(channel_mlp_reference(*some).square().sum(), some[wanted])
        torch.testing.assert_close(got, expected)


def kept_bytes(function: Any, tensors: list[Tensor | None]) -> int:
    """Memory of the tensors that a function keeps for its backward pass, besides its inputs."""
    mine = {t.untyped_storage().data_ptr() for t in tensors if t is not None}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(*tensors)
    return sum(size for pointer, size in kept.items() if pointer not in mine)


def test_what_is_kept_for_the_backward_pass() -> None:
    tensors = inputs((100,), 16, 64, 16, residual=True, scale=True, dtype=torch.float32)
    assert kept_bytes(partial(channel_mlp, recompute=True), tensors) == 0
    assert kept_bytes(channel_mlp, tensors) == 100 * 64 * 4
    assert kept_bytes(channel_mlp_reference, tensors) > 2 * 100 * 64 * 4


def test_few_activations_with_gradients_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to 2^15, as what is kept tells; not where memory is to be saved, nor where operands are rounded."""
    monkeypatch.undo()
    few, more = (inputs((rows,), 16, 64, 16, residual=True, scale=True, dtype=torch.float32) for rows in (512, 513))
    assert kept_bytes(channel_mlp, few) == kept_bytes(channel_mlp_reference, few)
    assert kept_bytes(channel_mlp, more) == 513 * 64 * 4
    assert kept_bytes(partial(channel_mlp, recompute=True), few) == 0
    with use_products("bfloat16"):
        assert kept_bytes(channel_mlp, few) == 512 * 64 * 4


def test_two_runs_give_the_same_bits() -> None:
    tensors = inputs(*SIZES[-1], residual=True, scale=True, dtype=torch.float32)
    wanted = [t for t in tensors if t is not None]
    runs = [torch.autograd.grad(channel_mlp(*tensors).square().sum(), wanted) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")  # torch.func.jvp itself
def test_autocast_and_torch_func_use_the_definition() -> None:
    tensors = [
        t.detach() for t in inputs((3,), 4, 6, 4, residual=True, scale=True, dtype=torch.float32) if t is not None
    ]
    x, *rest = tensors
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(channel_mlp(*tensors), channel_mlp_reference(*tensors))
    tangent = torch.randn_like(x)
    got = torch.func.jvp(lambda x: channel_mlp(x, *rest), (x,), (tangent,))
    torch.testing.assert_close(got, torch.func.jvp(lambda x: channel_mlp_reference(x, *rest), (x,), (tangent,)))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_opcheck(residual: bool, keep: bool) -> None:
    tensors = inputs((3,), 4, 6, 4, residual=residual, scale=True, dtype=torch.float64)
    found = torch.library.opcheck(torch.ops.rapidash.channel_mlp.default, (*tensors, keep, "torch"))
    assert set(found.values()) == {"SUCCESS"}


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        tensors = inputs((3,), 4, 6, 4, residual=False, scale=True, dtype=torch.float32)[2:]
        self.weights = nn.ParameterList([t for t in tensors if t is not None])

    def forward(self, x: Tensor) -> Tensor:
        return channel_mlp(torch.sin(x), x, *self.weights)


@pytest.mark.usefixtures("unwrapped")
def test_compiles_and_exports() -> None:
    layer, x = Layer(), leaf(5, 2, 4, dtype=torch.float32)
    assert_parity(torch.compile(layer, fullgraph=True, backend="aot_eager"), layer, [x], 0)
    exported = torch.export.export(layer, (x.detach(),))
    assert "rapidash.channel_mlp" in str(exported.graph)
    torch.testing.assert_close(exported.module()(x), layer(x))


def test_errors_say_what_to_do() -> None:
    tensors = inputs((3,), 4, 6, 4, residual=True, scale=True, dtype=torch.float64)
    with pytest.raises(ValueError, match="unknown backend"):
        channel_mlp(*tensors, backend="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="residual must have shape"):
        channel_mlp(tensors[0], tensors[1][:, :2], *tensors[2:])  # type: ignore[index]
    with pytest.raises(ValueError, match=r"b1 has dtype torch\.float32"):
        channel_mlp(*tensors[:5], tensors[5].float(), *tensors[6:])  # type: ignore[union-attr]
