"""Tasks of the package pass the check, and a broken one of each sort is seen."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch, RowDataset
from rapidash.groups import Permutation, Permutations, Scalar
from rapidash.methods import Variant
from rapidash.models import BaselineConfig, DGCNNConfig, EGNNConfig, RapidashConfig
from rapidash.registry import TASKS
from rapidash.study import get_design
from rapidash.symmetry import Ledger
from rapidash.tasks import get_task
from rapidash.testing import check_task

SMALL = RapidashConfig(grid="platonic", num_orientations=8, channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8)
SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def small(variant: Variant) -> Variant:
    """The variant with a tiny network on a grid that 48 motions permute."""
    if isinstance(variant.model, BaselineConfig):
        return replace(variant, model=replace(variant.model, channels=8, num_layers=2))
    size: dict[str, Any] = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8}
    if isinstance(variant.model.channels, tuple):
        scales = len(variant.model.channels)
        size |= {"channels": (8,) * scales, "num_layers": (1,) * scales}
    return replace(variant, model=replace(variant.model, grid="platonic", num_orientations=8, **size))


def test_nbody_passes() -> None:
    variants = [Variant("orientations", SMALL), Variant("points", replace(SMALL, space="R3"))]
    variants += [Variant("EGNN", EGNNConfig(channels=8)), Variant("DGCNN", DGCNNConfig(channels=8))]
    check_task(get_task("nbody", num_train=8, num_val=8, num_test=8), variants)


@pytest.mark.parametrize(
    ("name", "options", "settings"),
    [
        ("md", {"num_train": 8, "num_val": 8, "num_test": 8}, {"metric_tolerance": 0.75}),
        ("qm9", {"num_train": 8, "num_val": 8, "num_test": 8}, {}),
        ("cmu", {"num_train": 16, "num_val": 16, "num_test": 16}, {}),
        pytest.param("shapes", {}, {}, marks=pytest.mark.slow),
        pytest.param("meshseg", {}, {}, marks=pytest.mark.slow),
        pytest.param("mnist-sp", {}, {}, marks=pytest.mark.slow),
    ],
)
def test_tasks_on_files_pass(name: str, options: dict[str, Any], settings: dict[str, Any], monkeypatch) -> None:
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    monkeypatch.setenv("RAPIDASH_DATA", str(SHARED_DATA))
    variants = [small(variant) for variant in get_design(name).variants]
    check_task(get_task(name, **options), variants[:2], num_samples=4, **settings)


def test_a_task_of_another_package_passes(growth: None) -> None:
    from rapidash_growth.network import GrowthMLP
    from rapidash_growth.task import RingTask

    check_task(RingTask(8), [Variant("mlp", GrowthMLP())])


def test_no_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one network"):
        check_task(Toy(), [])


class Each(nn.Module):
    """The same function of every number of a row: permutations move its output alike."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.linear = nn.Linear(1, 1)
        if fault == "unused weight":
            self.idle = nn.Linear(1, 1)

    def forward(self, batch: RowBatch) -> Tensor:
        out = torch.tanh(self.linear(batch["signal"][..., None]))[..., 0]
        if self.fault == "sees places":
            out = out * torch.arange(4).to(out)
        return out[:2] if self.fault == "too few rows" else out


_COUNTER = itertools.count()


@dataclass
class Toy:
    """Squares of the numbers of a row; with one fault."""

    fault: str = ""
    name: str = "toy"
    dim: int = 0
    metric: str = "MSE of squares"
    unit: str = "1"
    output: Field = Field(Permutation(-1), level="cloud")  # noqa: RUF009
    moves = Permutations(4)

    def dataset(self, split: str) -> RowDataset:
        key = "train" if self.fault == "same samples" else split
        signal = torch.randn(6, 4, generator=seeded("toy", key), dtype=torch.float64)
        if self.fault == "draws globally":
            signal = torch.randn(6, 4, dtype=torch.float64)
        if self.fault == "changes":
            signal = signal + next(_COUNTER)
        moves = Scalar() if self.fault == "target stays" else Permutation(-1)
        fields = {"signal": Field(Permutation(-1), level="cloud"), "target": Field(moves, level="cloud")}
        if self.fault == "one sample":
            signal = signal[:1]
        return RowDataset({"signal": signal, "target": signal.square()}, fields)

    def build(self, variant: Variant) -> nn.Module:
        return Each(self.fault)

    def ledger(self, variant: Variant) -> Any:
        group = Permutations(4)
        match self.fault:
            case "no ledger":
                return group
            case "ledger draws":
                torch.randn(())
            case "no reasons":
                return Ledger(group, group, (), True, False)
        return Ledger(group, group, ("every number enters alike",), True, False)

    def loss(self, prediction: Tensor, batch: RowBatch) -> Tensor:
        square = (prediction - batch["target"][: len(prediction)]).square()
        match self.fault:
            case "loss of rows":
                return square.mean(dim=1)
            case "infinite loss":
                return square.mean() / 0
            case "detached loss":
                return square.mean().detach()
            case "infinite gradient":
                return square.mean() + (prediction * 0).sum().abs().sqrt()
        return square.mean()

    def errors(self, prediction: Tensor, batch: RowBatch) -> Tensor:
        errors = (prediction - batch["target"]).square().mean(dim=1)
        match self.fault:
            case "one error":
                return errors.mean()
            case "errors of points":
                return (prediction - batch["target"]).square()
            case "infinite errors":
                return errors / 0
            case "errors of the batch":
                return errors / errors.mean()
        return errors


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Variant:
    monkeypatch.setitem(TASKS._entries, "toy", Toy)
    return Variant("a", SMALL)


def test_the_toy_passes_without_a_fault(toy: Variant) -> None:
    check_task(Toy(), [toy])


FAULTS = {
    "draws globally": "dataset draws from torch's global generator",
    "changes": r"dataset\('\w+'\) gives other '\w+' when it is asked again",
    "one sample": r"Toy.dataset\('train'\) has 1 samples",
    "same samples": "train and val are the same samples",
    "no ledger": "ledger returned Permutations, not a Ledger",
    "ledger draws": "ledger draws from torch's global generator",
    "no reasons": "the ledger gives no reasons",
    "loss of rows": "the loss must be a finite scalar",
    "infinite loss": "the loss must be a finite scalar",
    "detached loss": "the loss has no gradient",
    "unused weight": "no finite gradient to idle.weight, idle.bias",
    "infinite gradient": "no finite gradient to linear.weight",
    "too few rows": r"the prediction has shape \(2, 4\), output says 6 rows at cloud level",
    "one error": r"errors has shape \(\), expected \(6,\)",
    "errors of points": r"errors has shape \(6, 4\), expected \(6,\)",
    "infinite errors": "errors are not finite",
    "errors of the batch": "an error must not depend on the other samples",
    "target stays": r"moved together by elements of S\(4\) have errors",
    "sees places": r"says that S\(4\) holds exactly, the network with random weights is off by",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str, toy: Variant) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_task(Toy(fault), [toy])


def test_words_that_lack_are_seen(toy: Variant) -> None:
    class Silent(Toy):
        errors = property()  # an attribute that raises is none

    cases = [(Silent(), "Silent is no rapidash.methods.Task, it lacks errors"), (Toy(unit=" "), "Toy.unit is ' '")]
    cases += [(Toy(metric=""), "Toy.metric is ''"), (Toy(name="toi"), "task 'toi' is not registered")]
    for task, message in cases:
        with pytest.raises(AssertionError, match=message):
            check_task(task, [toy])
