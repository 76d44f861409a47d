"""Matrix products: the same numbers through every library, a choice by a probe that is kept, and no flag of torch."""

import json
import threading
from pathlib import Path

import pytest
import torch

from rapidash.ops import _probe, channel_mlp, product_libraries, product_library, products_for, use_product_library
from rapidash.ops.channel_mlp.reference import channel_mlp_reference

needs_onednn = pytest.mark.skipif("onednn" not in product_libraries(), reason="this build of torch has no oneDNN")
SLOW, FAST = {"seconds": 2.0, "error": 2e-7}, {"seconds": 1.0, "error": 3e-7}


@pytest.mark.parametrize("library", product_libraries())
def test_the_three_products_by_hand(library: str) -> None:
    x, weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[1.0, 10.0], [2.0, 0.0]])
    with use_product_library(library):
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
        with use_product_library("torch" if name == "exact" else name):
            out = op(*inputs)
            found[name] = [out.detach(), *torch.autograd.grad(out.sin().sum(), inputs)]
    for name in ("torch", "onednn"):
        for got, want in zip(found[name], found["exact"], strict=True):
            assert float((got - want).norm()) <= 1e-6 * float(want.norm())


@needs_onednn
def test_the_library_in_use_is_the_one_that_multiplies() -> None:
    tensors = [torch.ones(shape) for shape in ((4, 3), (4, 2), (3,), (3,), (5, 3), (5,), (2, 5), (2,))]
    for library, operator in {"torch": "aten::mm", "onednn": "mkldnn::_linear_pointwise"}.items():
        activities = [torch.profiler.ProfilerActivity.CPU]
        with use_product_library(library), torch.profiler.profile(activities=activities) as profile:
            channel_mlp(*tensors)
        names = {event.key for event in profile.key_averages()}
        assert operator in names
        assert not names & ({"aten::mm", "aten::addmm_", "mkldnn::_linear_pointwise"} - {operator, "aten::addmm_"})


def test_float64_and_no_rows_go_through_torch() -> None:
    with use_product_library(product_libraries()[-1]):
        for x in (torch.ones(2, 3, dtype=torch.float64), torch.ones(0, 3)):
            assert type(products_for(x)).__name__ == "TorchProducts"


@needs_onednn
def test_a_choice_holds_in_its_block_and_thread_alone() -> None:
    seen = []
    before = product_library()
    flags = torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision
    other = "onednn" if before == "torch" else "torch"
    with use_product_library(other):
        thread = threading.Thread(target=lambda: seen.append(product_library()))
        thread.start()
        thread.join()
        seen.append(product_library())
        assert (torch.get_float32_matmul_precision(), torch.backends.mkldnn.matmul.fp32_precision) == flags
    assert seen == [before, other]
    assert product_library() == before


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
    assert list(probe) == product_libraries()
    assert all(0 < found["error"] < 1e-6 and 0 < found["seconds"] < 10 for found in probe.values())
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
    assert list(_probe.product_probe()) == product_libraries()
    assert json.loads(file.read_text()) == _probe.product_probe()


def test_a_folder_that_cannot_be_written_does_no_harm(fresh: Path) -> None:
    fresh.write_text("a file where the folder should be")
    assert list(_probe.product_probe()) == product_libraries()


def test_a_build_without_the_call_uses_torch(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")

    _probe._has_onednn.cache_clear()
    monkeypatch.setattr(_probe, "onednn_product", missing)
    try:
        assert product_libraries() == ["torch"]
        assert product_library() == "torch"
        with pytest.raises(ValueError, match="library 'onednn': this build of torch has no such product, use 'torch'"):
            use_product_library("onednn").__enter__()
    finally:
        _probe._has_onednn.cache_clear()


def test_the_environment_names_a_library_without_a_probe(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAPIDASH_PRODUCTS", "torch")
    assert product_library() == "torch"
    assert not fresh.exists()
    _forget()
    monkeypatch.setenv("RAPIDASH_PRODUCTS", "mkl")
    with pytest.raises(ValueError, match=r"unknown library of products 'mkl', expected one of \('torch', 'onednn'\)"):
        product_library()


def test_the_probe_leaves_the_random_numbers_alone(fresh: Path) -> None:
    state = torch.get_rng_state()
    _probe.product_probe()
    assert torch.equal(torch.get_rng_state(), state)
