"""A function that writes into its input, reuses its output or counts its calls is measured as if it did not."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import SO, Position, Scalar, Vector
from rapidash.measure import (
    Action,
    EquivarianceError,
    as_module,
    assert_equivariant,
    check_equivariance,
    defect,
    empirical_equivariance_deviation,
    equivariance_error,
    equivariance_gap,
    error_against_severity,
    invariance_scores,
    invariance_similarity,
    layerwise_equivariance_error,
    lie_derivative,
    local_equivariance_error,
    point_shares,
    portrait,
    precision_check,
    relative_rms_deviation,
    symmetry_loss_share,
)

VECTORS, LOGITS = Action(SO(3), Vector(), Vector()), Action(SO(3), Vector(), Scalar())
WEIGHT = torch.tensor([[1.0, 0.3, 0.0], [0.0, 2.0, 0.0], [0.5, 0.0, 3.0]], dtype=torch.float64)
Fn = Callable[[Tensor], Tensor]
MEASURES: dict[str, Callable[[Fn, Tensor], object]] = {
    "error": lambda f, x: equivariance_error(f, x, VECTORS).per_pair,
    "check": lambda f, x: [row["largest defect"] for row in check_equivariance(f, x, VECTORS).report().rows],
    "defect": lambda f, x: defect(f, x, VECTORS, SO(3).sample(1, generator=seeded(0))[0])["output"],
    "forward": lambda f, x: lie_derivative(f, x, VECTORS, method="forward").value,
    "double backward": lambda f, x: lie_derivative(f, x, VECTORS, method="double_backward").value,
    "difference": lambda f, x: lie_derivative(f, x, VECTORS, method="difference").value,
    "local": lambda f, x: local_equivariance_error(f, x, VECTORS, relative=True).per_pair["output"],
    "layers": lambda f, x: layerwise_equivariance_error(as_module(*[Layer(f)] * 2), x, VECTORS, Vector()).contributions,
    "predictions": lambda f, x: invariance_scores(f, x, LOGITS).effective,
    "features": lambda f, x: invariance_similarity(f, x, VECTORS).mahalanobis,
    "noise": lambda f, x: invariance_similarity(f, x, [lambda v: v.mul_(1.5)]).mahalanobis,
    "deviation": lambda f, x: empirical_equivariance_deviation(f, x, VECTORS),
    "relative deviation": lambda f, x: relative_rms_deviation(f, x, VECTORS),
    "loss share": lambda f, x: symmetry_loss_share(f, x, x.roll(1, 0), VECTORS).broken,
    "gap": lambda f, x: equivariance_gap(f, x, lambda y: y.mul_(2).square().mean(), VECTORS),
    "precision": lambda f, x: precision_check(as_module(f), x.float(), VECTORS).error_float64.per_pair,
}


class Layer(nn.Module):
    def __init__(self, fn: Fn) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(x)


def plain(x: Tensor) -> Tensor:
    return 2 * (x @ WEIGHT.to(x))


def writing(x: Tensor) -> Tensor:
    x *= 2
    return x @ WEIGHT.to(x)


def returning_its_input(x: Tensor) -> Tensor:
    x.copy_(plain(x))
    return x


class Reusing:
    """Every call returns the same memory, as a compiled graph does."""

    def __init__(self) -> None:
        self.buffers: dict[torch.dtype, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.buffers.setdefault(x.dtype, torch.zeros_like(x)).copy_(plain(x))


@pytest.mark.parametrize("fn", [writing, returning_its_input], ids=["input", "input returned"])
@pytest.mark.parametrize("name", MEASURES)
def test_a_function_that_writes_into_its_input_has_the_measure_of_one_that_does_not(name: str, fn: Fn) -> None:
    x = torch.randn(12, 3, generator=seeded(0), dtype=torch.float64)
    before = x.clone()
    found, expected = MEASURES[name](fn, x), MEASURES[name](plain, x)
    assert torch.equal(x, before)
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected))
    assert torch.as_tensor(found).abs().max() > 1e-3


@pytest.mark.parametrize("name", [n for n in MEASURES if n not in ("forward", "double backward", "local", "layers")])
def test_an_output_in_a_buffer_that_is_used_again_is_kept(name: str) -> None:
    x = torch.randn(12, 3, generator=seeded(0), dtype=torch.float64)
    found, expected = MEASURES[name](Reusing(), x), MEASURES[name](plain, x)
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected))


def test_the_equivariant_map_of_the_report_passes() -> None:
    x = torch.randn(20, 3, generator=seeded(0), dtype=torch.float64)

    def double(v: Tensor) -> Tensor:
        v *= 2
        return v

    assert equivariance_error(double, x, VECTORS).max < 1e-14
    assert_equivariant(double, x, VECTORS)


class Pair(NamedTuple):
    v: Tensor
    w: Tensor


@dataclass(frozen=True)
class Edges:
    length: Tensor


@pytest.mark.parametrize("kind", ["mapping", "ordered", "tuple", "named tuple", "nested", "dataclass"])
def test_tensors_in_every_kind_of_input_are_copied(kind: str) -> None:
    v, w = torch.randn(2, 5, 3, generator=seeded(0), dtype=torch.float64)
    before = w.clone()
    kept = {"nested": {"w": [w]}, "ordered": OrderedDict(w=[w]), "dataclass": Edges(w)}.get(kind, w)
    inputs = {"v": Vector(), "w": Scalar()}
    x = {"tuple": (v, w), "named tuple": Pair(v, w)}.get(kind, {"v": v, "w": kept})
    action = Action(SO(3), inputs if isinstance(x, dict) else tuple(inputs.values()), Vector())

    def model(v: Tensor, w: object) -> Tensor:
        assert type(w) is type(kept)
        held = w["w"][0] if isinstance(w, dict) else w.length if isinstance(w, Edges) else w
        held.mul_(3)
        return v * held.norm()

    assert equivariance_error(model, x, action).max < 1e-14
    assert torch.equal(w, before)


def clouds() -> CloudDataset:
    pos = torch.randn(60, 3, generator=seeded(0), dtype=torch.float64)
    fields = {"pos": Field(Position()), "label": Field(Scalar(), level="cloud")}
    return CloudDataset({"pos": pos, "label": torch.arange(6) % 3}, fields, torch.full((6,), 10))


def sums(batch: CloudBatch) -> Tensor:
    return torch.zeros(batch.num_clouds, 3).to(batch.pos).index_add(0, batch.batch.clone(), batch.pos.clone().square())


def careless(batch: CloudBatch) -> Tensor:
    found = sums(batch)
    for tensor in batch.tensors.values():
        tensor.zero_()
    batch.batch.zero_()
    return found


def test_measures_of_clouds_leave_the_clouds_as_they_were() -> None:
    data = clouds()
    before, batch = data.tensors["pos"].clone(), data.batch(torch.arange(3))
    kept, action = batch.pos.clone(), Action(SO(3), outputs=Field(Scalar(), level="cloud"))
    wrong = lambda logits, part: (logits.argmax(dim=1) != part["label"]).double()  # noqa: E731
    options = {"corruptions": ("scale", "jitter"), "seed": 1}
    assert error_against_severity(careless, data, wrong, **options) == error_against_severity(
        sums, data, wrong, **options
    )
    algebra = SO(3).generators()[0]
    torch.testing.assert_close(
        point_shares(careless, batch, action, algebra).share, point_shares(sums, batch, action, algebra).share
    )
    sizes = {"num_clouds": 1, "num_axes": 1, "num_yaws": 3, "num_pitches": 2, "map_rows": 1}
    pages = [portrait(fn, batch, action, title="", **sizes) for fn in (careless, sums)]
    torch.testing.assert_close(pages[0].clouds[0].defect, pages[1].clouds[0].defect)
    assert torch.equal(data.tensors["pos"], before)
    assert torch.equal(batch.pos, kept)
    assert torch.equal(batch.batch, torch.arange(3).repeat_interleave(10))


class Stateful(nn.Module):
    """A counter, its own statistics (replaced, not written to), and a cache that grows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("cache", None)
        self.inner = nn.Linear(3, 3)
        self.register_buffer("table", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean = 0.5 * self.mean + x.detach().mean(dim=0).to(self.mean)
        self.cache = torch.ones(7)
        self.table = torch.ones(9)
        return self.inner(x)


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: lambda x: m(x)], ids=["module", "adapter"])
def test_buffers_are_put_back_and_caches_stay(wrap: Callable[[nn.Module], Fn]) -> None:
    model, x = Stateful().eval(), torch.randn(9, 3, generator=seeded(0))
    calls = model.calls
    for measure in (equivariance_error, lie_derivative, relative_rms_deviation, empirical_equivariance_deviation):
        measure(wrap(model), x, VECTORS)
        assert model.calls is calls
        assert float(model.calls) == 0
        assert model.mean.tolist() == [0.0, 0.0, 0.0]
    assert model.cache.shape == (7,)
    assert model.table.shape == (9,)
    model(x)
    assert float(model.calls) == 1


def test_buffers_are_put_back_when_the_measurement_fails() -> None:
    model, x = Stateful().eval(), torch.randn(9, 3, generator=seeded(0))
    with pytest.raises(ValueError, match="not finite"):
        equivariance_error(lambda v: model(v) / 0, x, VECTORS)
    assert float(model.calls) == 0


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return 2 * x


def test_the_counter_of_an_exported_model_is_put_back() -> None:
    x = torch.randn(9, 3, generator=seeded(0))
    exported = torch.export.export(Counting().eval(), (x,)).module()
    assert equivariance_error(exported, x, VECTORS).max < 1e-5
    assert float(exported.calls) == 0
    exported(x)
    assert float(exported.calls) == 1


def test_buffers_of_inference_mode_are_put_back() -> None:
    with torch.inference_mode():
        model = Counting().eval()
    x = torch.randn(9, 3, generator=seeded(0))

    def run(v: Tensor) -> Tensor:
        with torch.inference_mode():
            return model(v)

    assert equivariance_error(run, x, VECTORS).max < 1e-5
    assert float(model.calls) == 0


class Learning(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.weight += 1
        return x * self.weight


def test_a_model_that_changes_its_parameters_is_named() -> None:
    with pytest.warns(RuntimeWarning, match=r"changes its parameters when it is called \(Learning\.weight\)"):
        equivariance_error(Learning().eval(), torch.randn(9, 3, generator=seeded(0)), VECTORS)


def test_a_result_does_not_follow_the_elements_that_were_given() -> None:
    elements = SO(3).sample(2, generator=seeded(0))
    result: EquivarianceError = equivariance_error(
        plain, torch.ones(1, 3, dtype=torch.float64), VECTORS, elements=elements
    )
    kept = result.elements.clone()
    elements.zero_()
    assert torch.equal(result.elements, kept)
