"""Matrix products: the same numbers through every library, a choice by a probe that is kept, and no flag of torch."""

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from rapidash.ops import (
    _probe,
    channel_mlp,
    check_float32,
    check_rounded,
    component_mlp,
    counted_flops,
    has_float32_products,
    linear,
    product_error,
    product_kind,
    product_libraries,
    products_for,
    products_of,
    use_products,
)
from rapidash.ops._products import SMALL_PRODUCT
from rapidash.ops.channel_mlp.reference import channel_mlp_reference

needs_onednn = pytest.mark.skipif("onednn" not in product_libraries(), reason="this build of torch has no oneDNN")
SLOW, FAST = {"seconds": 2.0, "error": 2e-7}, {"seconds": 1.0, "error": 3e-7}


@pytest.mark.parametrize("library", [*product_libraries(), "bfloat16"])
def test_the_three_products_by_hand(library: str) -> None:
    x, weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[1.0, 10.0], [2.0, 0.0]])
    with use_products(library):
        products = products_for(x)
        assert products.apply(x, weight, torch.empty(3, 2)).tolist() == [[21, 2], [43, 6], [65, 10]]
        total = torch.ones(3, 2)
        products.add(total, x, weight)
        assert total.tolist() == [[22, 3], [44, 7], [66, 11]]
        narrow = torch.tensor([[1.0], [0.0], [2.0]])
        assert products.with_columns(torch.ones(1, 2), narrow, x).tolist() == [[12, 15]]
        assert products.apply(x, torch.ones(2, 3).T, torch.empty(3, 3)).tolist() == [[3] * 3, [7] * 3, [11] * 3]


@needs_onednn
@pytest.mark.parametrize("rows", [0, 1, 700])
def test_a_channel_mlp_has_the_same_values_and_gradients_through_both_libraries(rows: int) -> None:
    """Against the definition in float64: 1e-6 of a norm, what float32 is held to."""
    rng = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    tensors = [random(rows, 24), random(rows, 16), random(24), random(24), random(96, 24) / 5, random(96)]
    tensors += [random(16, 96) / 10, random(16), random(16)]
    found = {}
    for name, dtype in {"exact": torch.float64, "torch": torch.float32, "onednn": torch.float32}.items():
        inputs = [tensor.to(dtype).requires_grad_() for tensor in tensors]
        op = channel_mlp_reference if name == "exact" else channel_mlp
        with use_products("torch" if name == "exact" else name):
            out = op(*inputs)
            found[name] = [out.detach(), *torch.autograd.grad(out.sin().sum(), inputs)]
    for name in ("torch", "onednn"):
        for got, want in zip(found[name], found["exact"], strict=True):
            assert float((got - want).norm()) <= 1e-6 * float(want.norm())


@needs_onednn
def test_the_library_in_use_is_the_one_that_multiplies() -> None:
    rows = SMALL_PRODUCT // (64 * 32)
    shapes = (rows, 32), (rows, 2), (32,), (32,), (64, 32), (64,), (2, 64), (2,)
    tensors = [torch.ones(shape) for shape in shapes]
    for library, operator in {"torch": "aten::mm", "onednn": "mkldnn::_linear_pointwise"}.items():
        activities = [torch.profiler.ProfilerActivity.CPU]
        with use_products(library), torch.profiler.profile(activities=activities) as profile:
            channel_mlp(*tensors)
        names = {event.key for event in profile.key_averages()}
        assert operator in names
        assert not names & ({"aten::mm", "aten::addmm_", "mkldnn::_linear_pointwise"} - {operator, "aten::addmm_"})


@needs_onednn
def test_a_small_product_stays_with_torch() -> None:
    weight, names = torch.ones(64, 32), {}
    with use_products("onednn"):
        for rows in (SMALL_PRODUCT // (64 * 32) - 1, SMALL_PRODUCT // (64 * 32)):
            names[rows] = type(products_for(torch.ones(rows, 32), weight=weight)).__name__
    assert names == {511: "TorchProducts", 512: "OneDnnProducts"}


def test_float64_and_no_rows_go_through_torch() -> None:
    with use_products(product_libraries()[-1]):
        for x in (torch.ones(2, 3, dtype=torch.float64), torch.ones(0, 3)):
            assert type(products_for(x)).__name__ == "TorchProducts"


@needs_onednn
def test_a_choice_holds_in_its_block_and_thread_alone() -> None:
    seen = []
    before = product_kind()
    flags = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision
    other = "onednn" if before == "torch" else "torch"
    with use_products(other):
        thread = threading.Thread(target=lambda: seen.append(product_kind()))
        thread.start()
        thread.join()
        seen.append(product_kind())
        assert (torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision) == flags
    assert seen == [before, other]
    assert product_kind() == before


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        ({"torch": SLOW, "onednn": FAST}, "onednn"),
        ({"torch": SLOW, "onednn": FAST | {"error": 1.1e-6}}, "torch"),
        ({"torch": SLOW, "onednn": FAST | {"error": float("nan")}}, "torch"),
        ({"torch": SLOW, "onednn": FAST | {"seconds": 1.9}}, "torch"),
        ({"torch": SLOW, "onednn": FAST | {"seconds": 1.8}}, "onednn"),
        ({"torch": SLOW}, "torch"),
    ],
)
def test_the_choice_wants_accuracy_and_a_clear_gain(probe: dict[str, dict[str, float]], expected: str) -> None:
    assert _probe._fastest(probe) == expected


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with nothing in it, and a process that has not asked yet."""
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RAPIDASH_PRODUCTS", raising=False)
    _forget()
    yield tmp_path / "cache"
    _forget()


def _forget() -> None:
    _probe.fastest_library.cache_clear()
    _probe.product_probe.cache_clear()


def test_a_probe_is_made_once_per_machine(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = _probe.product_probe()
    assert list(probe) == [*product_libraries(), "bfloat16"]
    assert all(0 < probe[name]["error"] < 1e-6 for name in product_libraries())
    assert 1e-3 < probe["bfloat16"]["error"] < 1e-2  # two operands of 8 binary digits and a rounded sum
    assert all(0 < found["seconds"] < 10 for found in probe.values())
    (file,) = fresh.iterdir()
    assert json.loads(file.read_text()) == probe
    _forget()
    monkeypatch.setattr(_probe, "_measure", lambda: pytest.fail("measured again"))
    assert _probe.product_probe() == probe


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"torch": 3}', '{"torch": {"seconds": NaN, "error": 1}}', "null"])
def test_a_damaged_file_is_measured_again(fresh: Path, content: str) -> None:
    _probe.product_probe()
    (file,) = fresh.iterdir()
    file.write_text(content)
    _forget()
    assert list(_probe.product_probe()) == [*product_libraries(), "bfloat16"]
    assert json.loads(file.read_text()) == _probe.product_probe()


def test_a_folder_that_cannot_be_written_does_no_harm(fresh: Path) -> None:
    fresh.write_text("a file where the folder should be")
    assert list(_probe.product_probe()) == [*product_libraries(), "bfloat16"]


def test_a_build_without_the_call_uses_torch(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    _probe._has_onednn.cache_clear()
    monkeypatch.setattr(_probe, "onednn_product", missing)
    try:
        assert product_libraries() == ["torch"]
        assert product_kind() == "torch"
        with pytest.raises(ValueError, match="products of 'onednn': this build of torch has none, use 'torch'"):
            use_products("onednn").__enter__()
    finally:
        _probe._has_onednn.cache_clear()


def test_the_environment_names_a_library_without_a_probe(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDASH_PRODUCTS", "torch")
    assert product_kind() == "torch"
    assert not fresh.exists()
    _forget()
    monkeypatch.setenv("RAPIDASH_PRODUCTS", "mkl")
    with pytest.raises(ValueError, match=r"unknown kind of products 'mkl', expected one of \('torch', 'onednn'\)"):
        product_kind()


@pytest.fixture
def other_defaults() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


def test_defaults_of_the_process_do_not_change_the_probe(fresh: Path, other_defaults: None) -> None:
    """A new tensor of theirs is no matrix of float32 on the CPU; without oneDNN the file would say so for all."""
    _probe._has_onednn.cache_clear()
    probe = _probe.product_probe()
    assert list(probe) == [*product_libraries(), "bfloat16"]
    assert all(1e-8 < probe[name]["error"] < 1e-6 for name in product_libraries())
    like = torch.empty(0, dtype=torch.float32, device="cpu")
    assert all(1e-8 < product_error(kind, like) < 1e-6 for kind in product_libraries())
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    _probe._has_onednn.cache_clear()
    assert list(probe) == [*product_libraries(), "bfloat16"]


def test_operations_of_the_probe_are_not_counted(fresh: Path) -> None:
    """The first product of a process that is large enough to choose a library: 2 x 512 x 64 x 32 operations."""
    _probe._has_onednn.cache_clear()
    x, weight = torch.ones(512, 64), torch.ones(32, 64)
    with counted_flops() as count:
        linear(x, weight)
    assert fresh.exists()
    assert count.total == 2 * 512 * 64 * 32


def test_the_probe_leaves_the_random_numbers_alone(fresh: Path) -> None:
    state = torch.get_rng_state()
    _probe.product_probe()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_probe_of_a_process_that_rounds_is_not_kept(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = dict.fromkeys([*product_libraries(), "bfloat16"], SLOW | {"error": 2e-3})
    monkeypatch.setattr(_probe, "_measure", lambda: rounded)
    assert _probe.product_probe() == rounded
    assert not fresh.exists()
    assert product_kind() == "torch"


@pytest.fixture
def medium() -> Iterator[float]:
    """The flag under which torch may round operands of float32, and the error that it gives torch's own product."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    rng = torch.Generator().manual_seed(1)
    x, weight = torch.randn(2, 300, 256, generator=rng)
    exact = x.double() @ weight.double().T
    yield float(((x @ weight.T).double() - exact).norm() / exact.norm())
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("kind", product_libraries())
def test_the_error_of_a_product_is_that_under_the_flags_of_the_process(kind: str, medium: float) -> None:
    """Rounding two operands to 8 binary digits is an error of 2e-3, where the processor has such products."""
    like = torch.empty(0)
    if medium < 1e-6:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert 1e-8 < check_float32(kind, like) < 1e-6
            assert has_float32_products(like)
    else:
        assert not has_float32_products(like)
        with pytest.warns(UserWarning, match=r"a flag of torch rounds .* \(relative error 2\..e-03\)"):
            assert check_float32(kind, like) == pytest.approx(medium, rel=0.1)
    torch.set_float32_matmul_precision("highest")
    assert 1e-8 < product_error(kind, like) < 1e-6
    assert has_float32_products(like)


def test_a_larger_error_than_that_of_float32_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is no number; not for operands that were to be rounded, and not in float64."""
    single = torch.empty(0)
    for error in (1.1e-6, float("nan")):
        monkeypatch.setattr("rapidash.ops._products.product_error", lambda kind, like, error=error: error)
        with pytest.warns(UserWarning, match="a flag of torch rounds"):
            check_float32("torch", single)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_float32("bfloat16", single)
            check_float32("torch", single.double())


def test_the_error_of_a_product_in_other_precisions() -> None:
    """Rounding to 8 binary digits: an error of 2e-3 in both operands, and one more in the sum."""
    assert product_error("torch", torch.empty(0, dtype=torch.float64)) == 0
    assert 2e-3 < product_error("bfloat16", torch.empty(0)) < 4e-3


def test_operands_are_rounded_to_eight_binary_digits_and_sums_are_not() -> None:
    """1 + 2^-9 becomes 1, and 1 + 2^-7 stays; a sum of 2,000 ones with 1/256 would stop in bfloat16 at 256."""
    x = torch.tensor([[1 + 2**-9, 0.0], [0.0, 1 + 2**-7]])
    with use_products("bfloat16"):
        products = products_for(x)
    assert products.apply(x, torch.eye(2), torch.empty(2, 2)).tolist() == [[1, 0], [0, 1 + 2**-7]]
    ones = torch.ones(2000, 1)
    assert products.with_columns(torch.full((1, 1), 2**-8), ones, ones).tolist() == [[2000 + 2**-8]]


def test_a_channel_mlp_in_bfloat16_is_near_and_its_backward_pass_multiplies_alike() -> None:
    """Also where the backward pass runs outside of the block, or in another thread, as on a GPU."""
    rng = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng)

    tensors = [random(300, 24), random(300, 16), random(24), random(24), random(96, 24) / 5, random(96)]
    tensors += [random(16, 96) / 10, random(16), random(16)]
    inputs = [tensor.requires_grad_() for tensor in tensors]
    with use_products("bfloat16"):
        out = channel_mlp(*inputs)
        inside = torch.autograd.grad(out.sin().sum(), inputs, retain_graph=True)
    found: list[tuple[torch.Tensor, ...]] = []
    thread = threading.Thread(target=lambda: found.append(torch.autograd.grad(out.sin().sum(), inputs)))
    thread.start()
    thread.join()
    assert all(torch.equal(a, b) for a, b in zip(inside, found[0], strict=True))
    with use_products("torch"):
        exact = channel_mlp(*inputs)
        gradients = torch.autograd.grad(exact.sin().sum(), inputs)
    assert out.dtype == torch.float32
    for got, want in zip((out.detach(), *inside), (exact.detach(), *gradients), strict=True):
        error = float((got - want).norm() / want.norm())
        assert error < 0.02
    assert float((out - exact).detach().norm() / exact.detach().norm()) > 1e-4  # it is another product


class Gradients(torch.nn.Linear):
    predicts_gradients = True


@pytest.mark.parametrize(
    ("precision", "model", "gains", "expected"),
    [
        ("float32", torch.nn.Linear(2, 2), True, "torch"),
        ("bfloat16", torch.nn.Linear(2, 2), False, "bfloat16"),
        ("bfloat16", Gradients(2, 2), False, "bfloat16"),
        ("auto", torch.nn.Linear(2, 2), True, "bfloat16"),
        ("auto", torch.nn.Linear(2, 2), False, "torch"),
        ("auto", torch.nn.Sequential(torch.nn.Linear(2, 2), Gradients(2, 2)), True, "torch"),
        ("auto", torch.nn.Linear(2, 2).double(), True, "torch"),
    ],
)
def test_what_a_precision_means_for_a_model(
    monkeypatch: pytest.MonkeyPatch, precision: str, model: torch.nn.Module, gains: bool, expected: str
) -> None:
    monkeypatch.setattr("rapidash.ops._products.gains_by_bfloat16", lambda: gains)
    with use_products("torch"):
        assert products_of(precision, model) == expected


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_float32_is_no_bfloat16_within_a_block_of_it(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr("rapidash.ops._products.fastest_library", lambda: "torch")
    with use_products("bfloat16"):
        assert products_of(precision, Gradients(2, 2)) == "torch"


def test_a_precision_that_a_model_cannot_have() -> None:
    with pytest.raises(
        ValueError, match=r"precision 'bfloat16' rounds operands of float32, got a model of torch\.float64"
    ):
        products_of("bfloat16", torch.nn.Linear(2, 2).double())
    with pytest.raises(ValueError, match=r"precision must be one of .*'float32', 'bfloat16', 'auto'.*, got 'half'"):
        products_of("half", torch.nn.Linear(2, 2))


@pytest.mark.parametrize(("rounded", "expected"), [(0.9, True), (0.95, False), (float("nan"), False)])
def test_bfloat16_gains_where_it_is_clearly_faster_than_the_fastest(
    monkeypatch: pytest.MonkeyPatch, rounded: float, expected: bool
) -> None:
    """Against 1.0 of the fastest library: 1.1 times 0.9 is less, 1.1 times 0.95 is not."""
    names = product_libraries()
    probe = dict.fromkeys(names, SLOW) | {names[-1]: FAST, "bfloat16": {"seconds": rounded, "error": 3e-3}}
    monkeypatch.setattr(_probe, "product_probe", lambda: probe)
    monkeypatch.setattr(_probe, "fastest_library", lambda: names[-1])
    assert _probe.gains_by_bfloat16() is expected
    probe["bfloat16"]["error"] = 0.1
    assert not _probe.gains_by_bfloat16()


def _mlp_inputs(*, hidden: int, requires_grad: bool = False) -> list[torch.Tensor]:
    shapes = (40, 16), (40, 16), (16,), (16,), (hidden, 16), (hidden,), (16, hidden), (16,)
    return [torch.ones(shape).requires_grad_(requires_grad) for shape in shapes]


def _components(channels: int) -> list[torch.Tensor]:
    """Of `component_mlp` with two parts of one component each."""
    shapes = (3, 2, channels), (3, 2, channels), (channels,), (channels,), (2, channels, channels), (channels,)
    shapes += (2, channels, channels), (channels,), (channels,)
    return [*(torch.ones(shape) for shape in shapes), torch.eye(2), torch.eye(2)]


def _second_derivative() -> None:
    x, *rest = _mlp_inputs(hidden=32, requires_grad=True)
    torch.autograd.grad(channel_mlp(x, *rest).sum(), x, create_graph=True)


@pytest.mark.parametrize(
    ("multiply", "expected"),
    [
        (lambda: channel_mlp(*_mlp_inputs(hidden=32)), {"bfloat16"}),
        (lambda: channel_mlp(*_mlp_inputs(hidden=32), backend="reference"), {"torch"}),
        (lambda: channel_mlp(*(tensor.double() for tensor in _mlp_inputs(hidden=32))), {"torch"}),
        (_second_derivative, {"bfloat16", "torch"}),
        (lambda: component_mlp(*_components(16), (1, 1)), {"bfloat16" if find_spec("numba") else "torch"}),
        (lambda: component_mlp(*_components(12), (1, 1)), {"torch"}),
        (lambda: torch.nn.Linear(2, 2)(torch.ones(2, 2)), set()),
        (lambda: product_error("torch", torch.empty(0)), set()),
    ],
    ids=["compiled", "reference", "float64", "second derivative", "components", "12 channels", "no op", "check"],
)
def test_a_block_in_bfloat16_tells_what_was_really_made(multiply: Callable[[], object], expected: set[str]) -> None:
    with use_products("bfloat16") as made:
        with use_products("torch"):
            channel_mlp(*_mlp_inputs(hidden=32))  # of another block
        multiply()
    assert made == expected
    channel_mlp(*_mlp_inputs(hidden=32), backend="reference")
    assert made == expected


@needs_onednn
def test_a_block_of_onednn_tells_which_products_were_too_small() -> None:
    with use_products("onednn") as made:
        channel_mlp(*_mlp_inputs(hidden=1024))
        assert made == {"torch"}
        channel_mlp(*_mlp_inputs(hidden=2048))  # 40 * 16 * 2048 multiplications, more than 2^20
    assert made == {"onednn", "torch"}


def test_only_bfloat16_that_was_made_passes_without_a_warning() -> None:
    check_rounded({"torch", "bfloat16"})
    with pytest.warns(UserWarning, match="has rounded nothing"):
        check_rounded({"torch"})
