"""Every method of the package passes the check, and a broken one of each sort is seen."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.groups import MatrixGroup
from rapidash.methods import Augment, Average, Control, Method, StepView, Variant
from rapidash.models import DGCNNConfig, EGNNConfig, MLPConfig, RapidashConfig, SignalGCNNConfig
from rapidash.registry import METHODS
from rapidash.relax import (
    ACE,
    REMUL,
    Constant,
    ConstraintRelaxation,
    Decay,
    GradNorm,
    LatentEquivariance,
    LearnedLatentAction,
    ProjectionPenalty,
    ResidualPathwayPrior,
)
from rapidash.symmetrize import CanonicalOrder, HaarOrder, IntegrateInvariants, LaplacianFrames, ProbabilisticOrder
from rapidash.symmetry import Ledger
from rapidash.tasks import get_task
from rapidash.testing import check_method

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=8, num_layers=2, basis_dim=8, basis_hidden_dim=8)
FLAT = replace(SMALL, space="R3")
TURNED = (Augment("SO(3)"),)
ACE_8 = ACE(hidden=8)


@pytest.fixture(autouse=True)
def _small_heap() -> Iterator[None]:
    """A run collects garbage before it measures memory; what the tests have made until here is left out of that."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    ("method", "variant", "off"),
    [
        (Augment("SO(3)"), Variant("a", EGNNConfig(channels=8, num_layers=2), methods=TURNED), Augment("trivial")),
        (Augment("O(3)"), Variant("a", DGCNNConfig(channels=8, num_layers=2)), Augment("trivial")),
        (Average("SO(3)", 2), Variant("a", DGCNNConfig(channels=8, num_layers=2), methods=TURNED), None),
        (Average("C4(x)", 0), Variant("a", DGCNNConfig(channels=8, num_layers=2)), None),
        (ACE_8, Variant("a", SMALL, methods=TURNED), ACE(gate=0.0)),
        (ACE_8, Variant("a", FLAT, methods=(Average("SO(3)", 2),)), ACE(gate=0.0)),
        (ACE(hidden=8, form="resilient", bound="norm"), Variant("a", SMALL, methods=TURNED), ACE(gate=0.0)),
        (ACE(hidden=8, form="resilient", sees="positions"), Variant("a", FLAT), ACE(gate=0.0)),
        (ConstraintRelaxation(), Variant("a", SMALL, methods=TURNED), ConstraintRelaxation(height=0.0)),
        (ConstraintRelaxation(schedule=Decay()), Variant("a", FLAT, methods=TURNED), ConstraintRelaxation(height=0.0)),
        (ConstraintRelaxation(moved="finite", schedule=Constant()), Variant("a", FLAT), None),
        (ResidualPathwayPrior(hidden=8, eq=1e-3), Variant("a", SMALL, methods=TURNED), None),
        (ResidualPathwayPrior(hidden=8, free=0.0, sees="positions"), Variant("a", FLAT), None),
        (ProjectionPenalty(), Variant("a", SMALL, methods=TURNED), None),
        (ProjectionPenalty(), Variant("a", FLAT), None),
        (REMUL(), Variant("a", DGCNNConfig(channels=8, num_layers=2), methods=TURNED), REMUL(0.0)),
        (REMUL(0.5, "O(3)", "function", balance=GradNorm()), Variant("a", SMALL, methods=TURNED), REMUL(0.0)),
        (REMUL(0.5, "SE(3)", "derivative"), Variant("a", replace(SMALL, space="R3")), REMUL(0.0)),
        (
            LatentEquivariance(action="grid"),
            Variant("a", replace(SMALL, symmetry="T(3)"), methods=TURNED),
            LatentEquivariance(0.0),
        ),
    ],
    ids=lambda value: getattr(value, "kind", None) or getattr(value, "name", None),
)
def test_all_of_the_package_pass(method: Method, variant: Variant, off: Method | None, tmp_path: Path) -> None:
    task = get_task("nbody", num_train=16, num_val=8, num_test=8)
    check_method(method, task, variant, tmp_path / "runs", off=off)


@pytest.mark.parametrize(
    ("method", "off"),
    [
        (REMUL(1.0, anchor="function"), REMUL(0.0)),
        (LatentEquivariance(), LatentEquivariance(0.0)),
        (LearnedLatentAction(1.0, "C4 x C4", 64), LearnedLatentAction(0.0, "C4 x C4", 64)),
    ],
    ids=lambda value: value.kind,
)
def test_those_for_images_pass(method: Method, off: Method, tmp_path: Path) -> None:
    task = get_task("glyphs", num_train=16, num_val=8, num_test=8)
    variant = Variant("a", MLPConfig(hidden_dim=8, num_layers=1), methods=(Augment("C4 x C4"),))
    check_method(method, task, variant, tmp_path / "runs", off=off)


@pytest.mark.parametrize(
    ("method", "off"),
    [
        (HaarOrder("S(8)", 2, 3), None),
        (LaplacianFrames("S(8)", 2, 3), None),
        (CanonicalOrder("S(8)", channels=8, num_layers=2), None),
        (ProbabilisticOrder("S(8)", 2, 3, channels=8, num_layers=2), None),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_those_for_graphs_pass(method: Method, off: Method | None, tmp_path: Path) -> None:
    task = get_task("graphs", num_nodes=8, num_train=16, num_val=8, num_test=8)
    variant = Variant("a", MLPConfig(hidden_dim=8, num_layers=1), methods=(Augment("S(8)"),))
    check_method(method, task, variant, tmp_path / "runs", off=off)


def test_that_for_invariants_passes(tmp_path: Path) -> None:
    task = get_task("necklaces", num_train=16, num_val=8, num_test=8)
    variant = Variant("a", SignalGCNNConfig(symmetry="C8"))
    check_method(IntegrateInvariants("weighted-sum", kernel_size=1), task, variant, tmp_path / "runs")


def test_all_of_the_package_are_checked() -> None:
    checked = {
        "augment",
        "average",
        "ace",
        "constraint-relaxation",
        "projection-penalty",
        "rpp",
        "remul",
        "latent-equivariance",
        "learned-latent-action",
        "haar-order",
        "laplacian-frames",
        "canonical-order",
        "probabilistic-order",
        "invariant-integration",
    }
    in_tests_relax = {"relaxed-conv", "relaxed-networks", "residual-networks", "shared-networks"}
    in_tests_symmetrize = {"canonical", "frames", "group-averaging", "probabilistic"}
    in_tests_learn = {"augerino", "group-histogram", "subgroup-evolution", "subgroup-mixing"}
    in_tests_represent = {"combat", "largest-site"}
    elsewhere = in_tests_relax | in_tests_symmetrize | in_tests_learn | in_tests_represent
    assert checked | elsewhere == set(METHODS.own_names())


def test_methods_of_another_package_pass(growth: None, tmp_path: Path) -> None:
    from rapidash_growth.gate import Gate
    from rapidash_growth.network import GrowthMLP
    from rapidash_growth.noise import Noise
    from rapidash_growth.shifts import SameUnderShifts
    from rapidash_growth.task import RingTask

    base = Variant("a", GrowthMLP())
    check_method(Gate(), RingTask(16), replace(base, methods=(Noise(),)), tmp_path / "gate")
    check_method(Noise(), RingTask(16), replace(base, methods=(Gate(),)), tmp_path / "noise", off=Noise(0.0))
    other = replace(base, objective=SameUnderShifts())
    check_method(Noise(), RingTask(16), other, tmp_path / "another objective", off=Noise(0.0))


@dataclass(frozen=True)
class Toy(Method):
    """Pulls the weights to zero; with one fault."""

    fault: str = ""
    weight: float = 0.1

    def __post_init__(self) -> None:
        if self.fault == "forgets":
            object.__setattr__(self, "weight", self.weight + 1)

    @property
    def primary_view(self) -> str:  # type: ignore[override]
        return "nowhere" if self.fault == "no such view" else "full"

    @property
    def is_plain(self) -> bool:
        return self.weight == 0 and not self.fault.startswith("off")

    def modify(self, model: nn.Module, task: Any) -> nn.Module:
        model.register_buffer("age", torch.zeros(()), persistent=self.fault == "an old buffer")
        model.late = 0.0
        if self.fault in ("off: predicts later", "view keeps"):
            model.register_forward_hook(lambda module, args, out: out + module.late)
        if self.fault == "claims, zero at first" and self.weight:
            for parameter in model.backbone.head.parameters():
                nn.init.zeros_(parameter)
        return Renamed(model) if self.fault == "off: renames" and self.weight == 0 else model

    def control(self, model: nn.Module, total_steps: int) -> Control | None:
        return None if self.is_plain else ToyControl(self, model)

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        faults = {
            "view wakes": awake,
            "view draws": drawn,
            "view draws nothing": drawn_idly,
            "view keeps": kept,
            "view scales": scaled,
        }
        return {"other": faults[self.fault]} if self.fault in faults and self.weight else {}

    def finish(self, model: nn.Module) -> nn.Module:
        match self.fault:
            case "finish nothing":
                return None  # type: ignore[return-value]
            case "finish scales":
                with torch.no_grad():
                    next(model.parameters()).mul_(1.01)
            case "finish grows":
                model.more = nn.Linear(1, 1)
        return model

    def ledger(self, before: Ledger, view: str) -> Ledger:
        if self.fault.startswith("claims") and view == "full":
            return replace(before, effective=shifts(), exact=True)
        return before


class Subclass(Toy):
    """No dataclass of its own."""


@dataclass(frozen=True)
class Silent(Toy):
    """Has a setting that does not compare."""

    note: float = field(default=0.0, compare=False)


def shifts() -> MatrixGroup:
    from rapidash_growth.ring import Shifts

    return Shifts(6)


class Renamed(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.core, self.late = model.backbone, 0.0
        self.register_forward_hook(next(iter(model._forward_hooks.values())))

    def forward(self, batch: Batch) -> Tensor:
        return self.core(batch["signal"])


@contextmanager
def awake(model: nn.Module) -> Iterator[None]:
    model.backbone.head.train()
    yield


@contextmanager
def drawn(model: nn.Module) -> Iterator[None]:
    hook = model.register_forward_hook(lambda module, args, out: out + torch.randn(()))
    yield
    hook.remove()


@contextmanager
def drawn_idly(model: nn.Module) -> Iterator[None]:
    torch.randn(())
    yield


@contextmanager
def kept(model: nn.Module) -> Iterator[None]:
    model.late = 1.0
    yield
    model.late = 0.0


@contextmanager
def scaled(model: nn.Module) -> Iterator[None]:
    weight = next(model.parameters())
    with torch.no_grad():
        weight *= 3
    yield
    with torch.no_grad():
        weight /= 3


class ToyControl(Control):
    def __init__(self, method: Toy, model: nn.Module) -> None:
        self.fault, self.weight, self.model, self.count = method.fault, method.weight, model, 0

    def before(self, step: int) -> None:
        self._draw("before")

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        self._draw("batch")
        if self.fault == "writes":
            batch["signal"].mul_(1.5)
        return batch

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        self._draw("terms")
        weight = next(view.model.parameters())
        scale = self.weight * (self.count if self.fault == "loses its state" else 1)
        if self.fault == "counts nothing":
            view.model(view.batch)
        if self.fault == "off: passes" or (self.fault == "late passes" and self.count >= 6):
            view.predict(view.batch)
        if self.fault == "off: pulls":
            scale += 1e-3
        is_quiet = self.fault in ("off: draws", "off: passes", "off: predicts later")
        return {} if is_quiet else {"pull": scale * weight.square().sum()}

    def after(self, view: StepView) -> None:
        self._draw("after")
        self.count += 1
        if self.fault == "an old buffer":
            self.model.age.fill_(self.count)

    def values(self) -> Mapping[str, float]:
        self._draw("values")
        match self.fault:
            case "new values":
                return {f"count {self.count}": 1.0}
            case "nan":
                return {"gate": float("nan")}
            case "off: predicts later" if self.weight == 0:
                self.model.late = 1.0 if self.count == 8 else 0.0
        return {"gate": 1.0}

    def state_dict(self) -> dict[str, Any]:
        lost = ("loses its state", "late passes", "an old buffer")
        return {} if self.fault in lost else {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = state.get("count", 0)

    def _draw(self, part: str) -> None:
        if self.fault == f"draws in {part}" or (self.fault == "off: draws" and self.weight == 0 and part == "values"):
            torch.randn(())


@pytest.fixture
def toy(growth: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Checks a method with one fault on the rings of the growth package."""
    from rapidash_growth.network import GrowthMLP
    from rapidash_growth.task import RingTask

    for kind in (Toy, Subclass, Silent):
        METHODS[kind.__name__] = kind

    def check(method: Method, task: Any = None, **options: Any) -> None:
        check_method(method, task or RingTask(16), Variant("a", GrowthMLP()), tmp_path, **options)

    return check


def test_the_toy_passes_without_a_fault(toy: Any) -> None:
    toy(Toy(), off=Toy(weight=0.0))


@pytest.mark.parametrize("part", ["terms", "after"])
def test_draws_that_a_run_keeps_apart_pass(toy: Any, part: str) -> None:
    toy(Toy(f"draws in {part}"), off=Toy(weight=0.0))


FAULTS = {
    "forgets": "comes back from its plain form as another one",
    "no such view": "primary_view is 'nowhere'",
    "claims": r"shifts\(6\) holds exactly, the model is off by .* before training",
    "claims, zero at first": r"shifts\(6\) holds exactly, the model is off by .* after training",
    "draws in before": r"moves torch's global generator in before\(\)",
    "draws in batch": r"moves torch's global generator in batch\(\)",
    "draws in values": r"moves torch's global generator in values\(\)",
    "counts nothing": "calls the model 1 times more in a step than plain training, counted are 0",
    "new values": "have other names at later validations",
    "nan": "value/gate are not finite",
    "loses its state": "interrupted and continued has another .* at step 6",
    "an old buffer": "has other weights age",
    "late passes": "a continued run counts other passes",
    "off: passes": "takes 8 more passes",
    "off: draws": r"does nothing, and moves torch's global generator in values\(\)",
    "off: pulls": "gives another train_loss than plain training at step 3|gives another val_error",
    "off: renames": "the weight backbone.* after training is another one",
    "off: predicts later": "the trained model predicts otherwise",
    "view draws": "the view 'other' of one model gives two predictions",
    "view draws nothing": "its views move torch's global generator",
    "view keeps": "when the view 'other' is left, the model is another one than before .in what it predicts",
    "view wakes": "is another one than before .backbone.head, training",
    "view scales": "when the view 'other' is left, the model is another one than before .backbone",
    "finish nothing": "finish returned NoneType",
    "finish scales": "finish changes the function",
    "finish grows": "finish adds parameters, 137 before and 139 after",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str, toy: Any) -> None:
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        toy(Toy(fault), off=Toy(fault, weight=0.0))


def test_a_method_that_writes_into_batches_is_seen(toy: Any) -> None:
    """A data set may hand out what it has, where a batch is all of it: what was written comes back."""
    from rapidash_growth.ring import Rings
    from rapidash_growth.task import RingTask

    class Alone(Rings):
        def batch(self, indices: Tensor) -> "Rings":
            return self if len(self) == 1 else super().batch(indices)

        subset = batch

    class Task(RingTask):
        def dataset(self, split: str) -> Rings:
            made = super().dataset(split)
            return Alone(made.tensors, made.fields)

    with pytest.raises(AssertionError, match=r"the data of step \d are others with it than without it .in 'signal'"):
        toy(Toy("writes"), Task(1))


def test_settings_that_name_no_run_are_seen(toy: Any) -> None:
    with pytest.raises(AssertionError, match="Subclass is no frozen dataclass"):
        toy(Subclass())
    with pytest.raises(AssertionError, match="have one key"):
        toy(Silent())
    with pytest.raises(AssertionError, match="have one key"):
        toy(Toy(), off=Toy())
    del METHODS["Toy"]
    with pytest.raises(AssertionError, match="Toy is not registered as a method"):
        toy(Toy())


def test_a_folder_with_runs_is_refused(toy: Any, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(ValueError, match="is not empty"):
        toy(Toy())
