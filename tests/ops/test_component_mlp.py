"""The channel mixing by components: pinned by hand and by channel_mlp, and its compiled code by the definition."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from rapidash.groups import orientation_grid
from rapidash.nn import orientation_components
from rapidash.ops import component_mlp, counted_flops, product_libraries, use_products
from rapidash.ops.channel_mlp.reference import channel_mlp_reference
from rapidash.ops.component_mlp.reference import component_mlp_reference
from tests.ops._support import assert_parity, leaf

pytest.importorskip("numba")

Change = tuple[Tensor, Tensor, list[int]]


def change(kind: str = "bandlimited", num: int = 12, **options: Any) -> Change:
    found = orientation_components(kind, orientation_grid("platonic", num, 3), **options)
    return found.analysis, found.synthesis, [part.dim for part in found.parts]


def inputs(
    points: int, change: Change, channels: int, hidden: int, out: int, *, optional: bool, dtype: torch.dtype
) -> list[Tensor | None]:
    make: Any = partial(leaf, dtype=dtype)
    num, parts = len(change[1]), len(change[2])
    return [
        make(points, num, channels),
        make(points, num, out) if optional else None,
        make(channels),
        make(channels),
        make(parts, hidden, channels),
        make(hidden),
        make(parts, out, hidden),
        make(out),
        make(out) if optional else None,
    ]


def test_the_definition_by_hand() -> None:
    """Two orientations; the mean and half the difference of the values at both: 2 and 1 of a signal (3, 1)."""
    analysis, synthesis = torch.tensor([[0.5, 0.5], [0.5, -0.5]]), torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    x = torch.tensor([[[3.0, -3.0], [1.0, -1.0]]])  # normalized over both channels: (1, -1) at either orientation
    w1 = torch.tensor([[[2.0, 0.0]], [[5.0, 5.0]]])  # of the mean 2, of the difference nothing
    one, zero = torch.ones(2), torch.zeros(2)
    w2, scale = torch.tensor([[[3.0]], [[7.0]]]), torch.tensor([2.0])
    args = x, None, one, zero, w1, torch.tensor([98.0]), w2, torch.tensor([1.0]), scale, analysis, synthesis, [1, 1]
    out = component_mlp_reference(*args)  # GELU(2 + 98) = 100, then 3 * 100 + 1, twice
    torch.testing.assert_close(out, torch.full((1, 2, 1), 602.0), rtol=1e-5, atol=0)
    turned = component_mlp_reference(x, None, torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]), *args[4:])
    assert torch.equal(turned, component_mlp(x, None, torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]), *args[4:]))


@pytest.mark.parametrize("kind", ["irreps", "bandlimited"])
def test_one_matrix_for_all_parts_of_a_whole_signal_is_pointwise(kind: str) -> None:
    number = {"irreps": 12, "bandlimited": 4}[kind]
    made = change(kind, number)
    assert sum(made[2]) == number
    tensors = inputs(5, made, 16, 32, 16, optional=True, dtype=torch.float64)
    x, residual, weight, bias, w1, b1, w2, b2, scale = (None if t is None else t.detach() for t in tensors)
    assert w1 is not None
    assert w2 is not None
    want = channel_mlp_reference(x, residual, weight, bias, w1[0], b1, w2[0], b2, scale)  # type: ignore[arg-type]
    alike = (w1[:1].expand_as(w1), b1, w2[:1].expand_as(w2), b2, scale)
    got = component_mlp(x, residual, weight, bias, *alike, *made)  # type: ignore[arg-type]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    small = [None if t is None else t.float() for t in (x, residual, weight, bias, *alike)]
    torch.testing.assert_close(component_mlp(*small, *made).double(), want, rtol=0, atol=2e-4)  # type: ignore[arg-type]


CASES = [
    ("bandlimited", 12, 1, (3, 16, 32, 16)),
    ("bandlimited", 20, 2, (7, 32, 48, 16)),
    ("irreps", 12, 1, (4, 16, 16, 32)),
    ("bandlimited", 12, 1, (0, 16, 16, 16)),
    ("bandlimited", 12, 0, (2900, 16, 768, 16)),  # in two chunks
    ("bandlimited", 12, 1, (5, 7, 9, 3)),  # no whole vectors: the definition
]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize(("kind", "num", "bandlimit", "sizes"), CASES, ids=str)
@pytest.mark.usefixtures("two_threads")
def test_compiled_agrees_with_the_definition(
    kind: str, num: int, bandlimit: int, sizes: tuple[int, int, int, int], optional: bool, recompute: bool
) -> None:
    made = change(kind, num, bandlimit=bandlimit)
    tensors = inputs(sizes[0], made, *sizes[1:], optional=optional, dtype=torch.float32)

    def run(op: Any, *given: Tensor | None, **options: Any) -> Tensor:
        out: Tensor = op(*given, *made, **options)
        return out

    compiled = partial(run, component_mlp, recompute=recompute)
    assert_parity(compiled, partial(run, component_mlp_reference), tensors, 4e-5)


def test_gradients_of_first_and_second_order() -> None:
    made = change()
    tensors = inputs(2, made, 3, 4, 2, optional=True, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *given: component_mlp(*given, *made), tensors)
    exact = inputs(2, made, 16, 16, 16, optional=True, dtype=torch.float64)
    found = []
    for dtype in (torch.float32, torch.float64):
        tensors = [None if t is None else (t.detach() / 4).to(dtype).requires_grad_() for t in exact]
        wanted = [t for t in tensors if t is not None]
        first = torch.autograd.grad(component_mlp(*tensors, *made).sin().sum(), wanted, create_graph=True)  # type: ignore[arg-type]
        found.append([*first, *torch.autograd.grad(sum(g.square().sum() for g in first), wanted)])
    for got, want in zip(*found, strict=True):
        assert float((got - want).detach().norm()) <= 1e-4 * float(want.detach().norm())


def test_gradients_of_a_part_of_the_inputs() -> None:
    made = change()
    tensors = inputs(3, made, 16, 16, 16, optional=True, dtype=torch.float32)
    for wanted in range(9):
        some = [t if i == wanted else t.detach() for i, t in enumerate(tensors) if t is not None]
        (got,) = torch.autograd.grad(component_mlp(*some, *made).square().sum(), some[wanted])
        (expected,) = torch.autograd.grad(component_mlp_reference(*some, *made).square().sum(), some[wanted])
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (0, 2)], ids=str)
def test_the_order_of_axes_in_memory_does_not_matter(axes: tuple[int, int]) -> None:
    made = change()

    def moved(tensor: Tensor) -> Tensor:
        return tensor.detach().transpose(*axes).contiguous().transpose(*axes).requires_grad_()

    tensors = [t for t in inputs(5, made, 16, 32, 16, optional=True, dtype=torch.float32) if t is not None]
    want = component_mlp(*tensors, *made)
    others = [moved(t) if t.ndim == 3 else t for t in tensors]
    got = component_mlp(*others, *made)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    grad = torch.randn_like(want)
    found = torch.autograd.grad(got, others, moved(grad).detach())
    for one, expected in zip(found, torch.autograd.grad(want, tensors, grad), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_two_runs_give_the_same_bits() -> None:
    made = change()
    tensors = inputs(300, made, 32, 64, 32, optional=True, dtype=torch.float32)
    wanted = [t for t in tensors if t is not None]
    runs = [torch.autograd.grad(component_mlp(*tensors, *made).square().sum(), wanted) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("library", [*product_libraries(), "bfloat16"])
def test_every_kind_of_products(library: str) -> None:
    made = change()
    exact = inputs(200, made, 64, 128, 64, optional=True, dtype=torch.float64)
    grad = torch.randn(200, 12, 64)
    tensors = [None if t is None else t.detach().float().requires_grad_() for t in exact]
    found = []
    with use_products(library):
        for given in (tensors, exact):
            out = component_mlp(*given, *made)  # type: ignore[arg-type]
            wanted = [t for t in given if t is not None]
            found.append([out.detach(), *torch.autograd.grad(out, wanted, grad.to(out))])
    for got, want in zip(*found, strict=True):
        limit = 2e-2 if library == "bfloat16" else 1e-5
        assert float((got - want).norm()) <= limit * float(want.norm())


def test_what_is_kept_is_the_components() -> None:
    made = change()
    tensors = inputs(50, made, 16, 64, 16, optional=True, dtype=torch.float32)
    mine = {t.untyped_storage().data_ptr() for t in (*tensors, *made[:2]) if t is not None}
    for recompute, size in ((True, 0), (False, 4 * 50 * 64 * 4)):
        kept: dict[int, int] = {}

        def pack(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            component_mlp(*tensors, *made, recompute=recompute)  # type: ignore[arg-type]
        assert sum(bytes_ for pointer, bytes_ in kept.items() if pointer not in mine) == size


def test_counts_are_those_of_the_definition() -> None:
    made = change()
    tensors = inputs(5, made, 16, 32, 48, optional=True, dtype=torch.float32)
    totals = []
    for op in (component_mlp, component_mlp_reference):
        with counted_flops() as count:
            op(*tensors, *made)  # type: ignore[operator]
        totals.append(count.total)
    assert totals[0] == totals[1] == 2 * 5 * (4 * (32 * 16 + 48 * 32) + 48 * (16 + 2 * 32 + 48))
    with counted_flops() as count:
        component_mlp(*tensors, *made).sum().backward()  # type: ignore[arg-type]
    assert count.total - totals[0] == 2 * 5 * (4 * 2 * (32 * 16 + 48 * 32) + 48 * (2 * 16 + 4 * 32 + 48))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("optional", [False, True])
def test_opcheck(optional: bool, keep: bool) -> None:
    made = change()
    tensors = inputs(3, made, 16, 16, 16, optional=optional, dtype=torch.float32)
    found = torch.library.opcheck(
        torch.ops.rapidash.component_mlp.default, (*tensors, *made, keep, "torch"), atol=1e-4, rtol=1e-3
    )
    assert set(found.values()) == {"SUCCESS"}


def test_transforms_and_autocast_use_the_definition() -> None:
    made = change()
    tensors = [t.detach() for t in inputs(3, made, 16, 16, 16, optional=True, dtype=torch.float32) if t is not None]
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(component_mlp(*tensors, *made), component_mlp_reference(*tensors, *made))
    many = torch.func.vmap(lambda x: component_mlp(x, *tensors[1:], *made))(torch.stack([tensors[0]] * 2))
    torch.testing.assert_close(many[1], component_mlp_reference(*tensors, *made))


def test_errors_say_what_fits() -> None:
    made = change()
    x, residual, *rest = (
        t.detach() for t in inputs(3, made, 16, 32, 16, optional=True, dtype=torch.float32) if t is not None
    )
    with pytest.raises(ValueError, match="unknown backend"):
        component_mlp(x, residual, *rest, *made, backend="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"K = 4 components of parts \(1, 3\)"):
        component_mlp(x[:, :5], residual, *rest, *made)
    with pytest.raises(ValueError, match="P = 2 parts and C = 16"):
        component_mlp(x, residual, rest[0], rest[1], rest[2][:1], *rest[3:], *made)
    with pytest.raises(ValueError, match="take the 32 channels"):
        component_mlp(x, residual, *rest[:4], rest[4][:, :, :20], *rest[5:], *made)
    with pytest.raises(ValueError, match="residual must be"):
        component_mlp(x, residual[:2], *rest, *made)
    for place, name in {0: "norm_weight", 1: "norm_bias", 3: "b1", 5: "b2", 6: "scale"}.items():
        with pytest.raises(ValueError, match=rf"{name} must be \((16|32),\) to fit x, w1 and w2, got \(15,\)"):
            component_mlp(x, residual, *rest[:place], rest[place][:15], *rest[place + 1 :], *made)


def test_a_traced_graph_takes_any_number_of_points() -> None:
    """With gradients, for which the pre-activations are kept."""
    given = change()
    few, more = (inputs(points, given, 16, 32, 16, optional=True, dtype=torch.float32) for points in (3, 5))
    graph = make_fx(lambda *tensors: component_mlp(*tensors, given[2]), tracing_mode="symbolic")
    traced = graph(*few, *given[:2])
    torch.testing.assert_close(traced(*more, *given[:2]), component_mlp(*more, *given))
    out, kept = next(node for node in traced.graph.nodes if "component_mlp" in str(node.target)).meta["val"]
    assert isinstance(out.shape[0], torch.SymInt)
    assert isinstance(kept.shape[1], torch.SymInt)
