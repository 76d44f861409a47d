"""What methods are to each other, which `check_method` relies on: weights, passes, draws, settings, views."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.data import Batch
from rapidash.methods import Augment, Control, Method, StepView, Variant, build_model, in_view
from rapidash.models import RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.registry import METHODS
from rapidash.relax import ACE
from rapidash.tasks import get_task
from rapidash.train import TrainConfig, TrainResult, train

SMALL = RapidashConfig(grid="platonic", num_orientations=12, channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4)
TASK = get_task("nbody", num_train=8, num_val=8, num_test=8)
STEPS = TrainConfig(steps=4, batch_size=4, warmup_steps=1, eval_every=4, checkpoint_every=2)


class Halved(nn.Module):
    """Another function around a model, which `closed` leaves out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.is_closed = model, False

    def forward(self, batch: Batch) -> Tensor:
        out = self.model(batch)
        return out if self.is_closed else 0.5 * out


@contextmanager
def closed(model: Halved) -> Iterator[None]:
    model.is_closed = True
    yield
    model.is_closed = False


class LooksAgain(Control):
    """Calls the model after the step, which draws."""

    def after(self, view: StepView) -> None:
        view.predict(view.batch)
        torch.randn(())


@dataclass(frozen=True)
class Other(Method):
    hidden: float = field(default=1.0, repr=False)
    looks: bool = False
    halves: bool = False

    @property
    def primary_view(self) -> str:  # type: ignore[override]
        return "closed" if self.halves else "full"

    def modify(self, model: nn.Module, task: Any) -> nn.Module:
        return Halved(model) if self.halves else model

    def control(self, model: nn.Module, total_steps: int) -> Control | None:
        return LooksAgain() if self.looks else None

    def views(self, model: nn.Module) -> Mapping[str, Any]:
        return {"closed": closed} if self.halves else {}

    def finish(self, model: nn.Module) -> nn.Module:
        return model.model if self.halves else model


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS._entries, "other", Other)


def run(run_dir: Path, *methods: Method) -> tuple[nn.Module, TrainResult]:
    variant = Variant("a", SMALL, methods=methods)
    model = build_model(TASK, variant)
    model.register_forward_hook(lambda module, args, out: nn.functional.dropout(out, 0.1, module.training))
    sets = {"train_set": TASK.dataset("train"), "val_set": TASK.dataset("val"), "seed": 0, "run_dir": run_dir}
    return model, train(model, TASK, STEPS, methods=methods, progress=False, **sets)


def test_the_weights_of_a_method_do_not_depend_on_those_before_it() -> None:
    alone = build_model(TASK, Variant("a", SMALL, methods=(ACE(hidden=4),))).state_dict()
    behind = build_model(TASK, Variant("a", SMALL, methods=(Augment("SO(3)"), ACE(hidden=4)))).state_dict()
    assert all(torch.equal(tensor, behind[name]) for name, tensor in alone.items())


def test_passes_after_a_step_count_and_leave_the_dropout_of_others(tmp_path: Path) -> None:
    plain, looking = run(tmp_path / "plain", Other()), run(tmp_path / "looking", Other(looks=True))
    assert (plain[1].extra_passes, looking[1].extra_passes) == (0, 1)
    state = looking[0].state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain[0].state_dict().items())


def test_a_setting_that_is_not_shown_makes_another_run(tmp_path: Path) -> None:
    run(tmp_path, Other(hidden=1.0))
    with pytest.raises(ValueError, match=r"another configuration \(method other"):
        run(tmp_path, Other(hidden=2.0))


def test_what_another_view_uses_is_not_finished() -> None:
    """In the view of the second method the first is as it is: full."""
    variant = Variant("a", SMALL, methods=(ACE(hidden=4), Other(halves=True)))
    assert variant.primary_view == "closed"
    model = build_model(TASK, variant).eval()
    batch = TASK.dataset("val").batch(torch.arange(3)).to(dtype=torch.float32)
    finished = TrainedModel("nbody", {}, variant, model, view="closed").finished()
    with torch.no_grad(), in_view(model, variant.methods, "closed"):
        assert torch.equal(finished(batch), model(batch))
