"""A run that is killed and continued ends as the one that was not, bit for bit."""

import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rapidash.data import CloudBatch
from rapidash.methods import Control
from rapidash.ops import channel_mlp, product_kind, product_libraries, use_products
from rapidash.train import CheckpointError, read_checkpoint
from rapidash.train._checkpoint import Checkpoints

needs_onednn = pytest.mark.skipif("onednn" not in product_libraries(), reason="this build of torch has no oneDNN")


class CrashError(Exception):
    pass


class Crash(Control):
    """Fails when step ``at`` begins."""

    def __init__(self, at: int) -> None:
        self.at = at

    def before(self, step: int) -> None:
        if step == self.at:
            raise CrashError


class Signal(Crash):
    """Receives a signal in step ``at``."""

    def __init__(self, at: int, number: int) -> None:
        super().__init__(at)
        self.number = number

    def before(self, step: int) -> None:
        if step == self.at:
            os.kill(os.getpid(), self.number)


class Mlp(torch.nn.Module):
    """Points moved by a channel MLP; with ``forces`` by the gradient of its sum instead, as forces are."""

    def __init__(self, backend: str = "auto", *, forces: bool = False) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        shapes = (6,), (6,), (32, 6), (32,), (3, 32), (3,)
        self.weights = torch.nn.ParameterList([torch.randn(shape, generator=rng) / 3 for shape in shapes])
        self.backend, self.forces = backend, forces

    def forward(self, batch: CloudBatch) -> torch.Tensor:
        with torch.set_grad_enabled(self.forces or torch.is_grad_enabled()):
            pos = batch.pos.requires_grad_(self.forces)
            out = channel_mlp(torch.cat([pos, batch["vel"]], dim=1), None, *self.weights, backend=self.backend)
            return torch.autograd.grad(out.sum(), pos, create_graph=self.training)[0] if self.forces else out


class Dual(Control):
    """A control with a state that is no function of the step."""

    def __init__(self) -> None:
        self.weight = 0.01

    def terms(self, view) -> dict[str, torch.Tensor]:
        size = view.model.head.weight.square().sum() + torch.randn((), generator=view.rng)
        self.weight += 0.01 * float(size.detach())
        return {"dual": self.weight * size}

    def state_dict(self) -> dict[str, float]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.weight = state["weight"]


def assert_same(first, second) -> None:
    """Equal weights, buffers and histories (but for the clock)."""
    (model, result), (other, other_result) = first, second
    state = other.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    rows, other_rows = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in r.history] for r in (result, other_result)
    )
    assert rows == other_rows
    assert (result.best_step, result.best_val_error) == (other_result.best_step, other_result.best_val_error)


def spoil(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"truncated": data[: len(data) // 2], "changed": data, "empty": b""}[damage])


def last_state(run_dir: Path):
    state = read_checkpoint(run_dir / "checkpoint.pt")["state"]
    return state["model"], state["average"], [optimizer["state"] for optimizer in state["optimizers"]]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("crash", [1, 3, 7, 11])  # before the first checkpoint, at one, between two, in the last step
def test_continuation_is_bit_identical(tmp_path: Path, toy, optimizer: str, crash: int) -> None:
    setting = {"optimizer": optimizer, "learning_rate": 0.05}
    straight = toy.run(tmp_path / "straight", methods=[*toy.turned, *toy.acts(Crash(-1), Dual())], **setting)
    with pytest.raises(CrashError):
        toy.run(tmp_path / "killed", methods=[*toy.turned, *toy.acts(Crash(crash), Dual())], **setting)
    continued = toy.run(tmp_path / "killed", methods=[*toy.turned, *toy.acts(Crash(-1), Dual())], **setting)
    assert_same(straight, continued)
    assert straight[1].earlier_seconds == 0
    assert (continued[1].earlier_seconds > 0) == (crash > 1)  # there was a checkpoint
    torch.testing.assert_close(last_state(tmp_path / "straight"), last_state(tmp_path / "killed"), rtol=0, atol=0)


@needs_onednn
@pytest.mark.parametrize("first", ["torch", "onednn"])
def test_a_run_keeps_the_library_of_products_with_which_it_began(tmp_path: Path, toy, first: str) -> None:
    """Whatever is the fastest when it continues; also in its steps, and until the last session alone."""
    seen: list[str] = []

    class Watch(Crash):
        def before(self, step: int) -> None:
            seen.append(product_kind())
            super().before(step)

    other = "onednn" if first == "torch" else "torch"
    with use_products(first), pytest.raises(CrashError):
        toy.run(tmp_path, methods=toy.acts(Watch(7)))
    with use_products(other):
        _, result = toy.run(tmp_path, methods=toy.acts(Watch(-1)))
        assert product_kind() == other
    assert set(seen) == {first}
    assert result.products == first


def test_a_run_in_bfloat16_keeps_its_products_in_every_session(tmp_path: Path, toy) -> None:
    seen: list[str] = []
    setting = {"precision": "bfloat16", "dtype": "float32"}
    straight = toy.run(tmp_path / "straight", model=Mlp(), **setting)
    with pytest.raises(CrashError):
        toy.run(tmp_path / "killed", model=Mlp(), methods=toy.acts(Crash(7)), **setting)
    change_checkpoint(tmp_path / "killed" / "checkpoint.pt", lambda state: seen.append(state["products"]))
    continued = toy.run(tmp_path / "killed", model=Mlp(), methods=toy.acts(Crash(-1)), **setting)
    assert continued[1].products == straight[1].products == "bfloat16"
    assert continued[1].products_made == straight[1].products_made == ("bfloat16",)
    assert 2e-3 < straight[1].product_error < 4e-3
    assert seen == ["bfloat16"]


@pytest.mark.parametrize("model", [lambda: Mlp(backend="reference"), lambda: None], ids=["reference", "no op"])
def test_a_run_that_rounds_nothing_is_not_one_in_bfloat16(tmp_path: Path, toy, model: Callable[[], Any]) -> None:
    """It says so once in every session, and has the bits of a run in float32 through torch."""
    setting = {"precision": "bfloat16", "dtype": "float32"}
    told = "precision='bfloat16' has rounded nothing"
    with pytest.warns(UserWarning, match=told) as first, pytest.raises(CrashError):
        toy.run(tmp_path / "rounded", model=model(), methods=toy.acts(Crash(7)), **setting)
    with pytest.warns(UserWarning, match=told) as second:
        trained, result = toy.run(tmp_path / "rounded", model=model(), methods=toy.acts(Crash(-1)), **setting)
    assert len(first) == len(second) == 1
    assert result.products == "torch"
    assert "bfloat16" not in result.products_made
    assert 0 < result.product_error < 1e-6
    with use_products("torch"):
        float32, _ = toy.run(tmp_path / "float32", model=model(), methods=toy.acts(Crash(-1)), dtype="float32")
    torch.testing.assert_close(trained.state_dict(), float32.state_dict(), rtol=0, atol=0)


def test_gradients_that_are_differentiated_again_are_told_among_those_in_bfloat16(tmp_path: Path, toy) -> None:
    """Energies are rounded, forces are not: the warning would be false, and so would be bfloat16 alone."""
    _, result = toy.run(tmp_path, model=Mlp(forces=True), precision="bfloat16", dtype="float32")
    assert (result.products, result.products_made) == ("bfloat16", ("bfloat16", "torch"))


def test_the_error_of_a_product_is_told_and_one_that_is_none_of_float32_warns(
    tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < toy.run(tmp_path / "a", dtype="float32")[1].product_error < 1e-6
    monkeypatch.setattr("rapidash.ops._products.product_error", lambda kind, like: 2.3e-3)
    with pytest.warns(UserWarning, match=r"a flag of torch rounds .* \(relative error 2\.3e-03\)"):
        assert toy.run(tmp_path / "b", dtype="float32")[1].product_error == 2.3e-3


def test_products_that_were_rounded_in_an_earlier_session_are_told(
    tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process that continues has no flag of torch that rounds."""
    with monkeypatch.context() as first:
        first.setattr("rapidash.ops._products.product_error", lambda kind, like: 2.3e-3)
        with pytest.raises(CrashError), pytest.warns(UserWarning, match="a flag of torch"):
            toy.run(tmp_path, dtype="float32", methods=toy.acts(Crash(7)))
    assert toy.run(tmp_path, dtype="float32", methods=toy.acts(Crash(-1)))[1].product_error == 2.3e-3


@needs_onednn
def test_a_run_of_an_earlier_version_continues_with_the_products_of_torch(tmp_path: Path, toy) -> None:
    with pytest.raises(CrashError):
        toy.run(tmp_path, methods=toy.acts(Crash(7)))
    change_checkpoint(tmp_path / "checkpoint.pt", lambda state: state.pop("products"))
    with use_products("onednn"):
        assert toy.run(tmp_path, methods=toy.acts(Crash(-1)))[1].products == "torch"


def test_products_that_are_not_there_are_said_and_replaced(tmp_path: Path, toy) -> None:
    with pytest.raises(CrashError):
        toy.run(tmp_path, methods=toy.acts(Crash(7)))
    change_checkpoint(tmp_path / "checkpoint.pt", lambda state: state.update(products="abacus"))
    with pytest.warns(UserWarning, match="the run began with matrix products of abacus, which this build of torch"):
        assert toy.run(tmp_path, methods=toy.acts(Crash(-1)))[1].products == "torch"


def change_checkpoint(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write it anew, sealed as before, with another state."""
    content = read_checkpoint(path)
    change(content["state"])
    Checkpoints(path.parent, content["description"]).save(content["state"])


def test_the_comparison_rejects_another_run(tmp_path: Path, toy) -> None:
    with pytest.raises(AssertionError):
        assert_same(toy.run(tmp_path / "a"), toy.run(tmp_path / "b", seed=1))


def test_continuation_in_float64_without_average(tmp_path: Path, toy) -> None:
    setting = {"dtype": "float64", "ema_decay": 0.0, "grad_clip": 0.0}
    straight = toy.run(tmp_path / "straight", methods=toy.acts(Crash(-1)), **setting)
    with pytest.raises(CrashError):
        toy.run(tmp_path / "killed", methods=toy.acts(Crash(8)), **setting)
    assert_same(straight, toy.run(tmp_path / "killed", methods=toy.acts(Crash(-1)), **setting))


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_signal_saves_at_the_step_boundary_and_is_raised(tmp_path: Path, toy, number: int, error: type) -> None:
    straight = toy.run(tmp_path / "straight", methods=toy.acts(Signal(-1, 0)))
    handler = signal.getsignal(number)
    with pytest.raises(error):
        toy.run(tmp_path / "killed", methods=toy.acts(Signal(6, number)), checkpoint_every=1000)
    assert signal.getsignal(number) is handler
    assert read_checkpoint(tmp_path / "killed" / "checkpoint.pt")["state"]["progress"]["step"] == 7
    assert_same(straight, toy.run(tmp_path / "killed", methods=toy.acts(Signal(-1, 0))))


def test_an_ignored_signal_stays_ignored(tmp_path: Path, toy, monkeypatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        toy.run(tmp_path, methods=toy.acts(Signal(6, signal.SIGHUP)), checkpoint_every=1000)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_in_the_last_step_is_not_lost(tmp_path: Path, toy) -> None:
    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path, methods=toy.acts(Signal(11, signal.SIGINT)))
    assert read_checkpoint(tmp_path / "checkpoint.pt")["state"]["progress"]["step"] == 12


def test_a_signal_while_a_finished_run_is_read_is_not_lost(tmp_path: Path, toy) -> None:
    class Late(Dual):
        def load_state_dict(self, state: dict[str, float]) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    toy.run(tmp_path, methods=toy.acts(Late()))
    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path, methods=toy.acts(Late()))


def test_a_finished_run_is_not_repeated(tmp_path: Path, toy) -> None:
    first = toy.run(tmp_path, methods=toy.acts(Crash(-1)))
    assert_same(first, toy.run(tmp_path, methods=toy.acts(Crash(0))))  # no step begins, so nothing crashes


def test_settings_that_do_not_change_the_result_may_change(tmp_path: Path, toy) -> None:
    straight = toy.run(tmp_path / "straight", methods=toy.acts(Crash(-1)))
    with pytest.raises(CrashError):
        toy.run(tmp_path / "killed", methods=toy.acts(Crash(5)))
    assert_same(straight, toy.run(tmp_path / "killed", methods=toy.acts(Crash(-1)), checkpoint_every=7, threads=1))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.5}, r"train\.learning_rate: 0\.001 in the checkpoint, 0\.5 now"),
        ({"width": 8}, r"model\.head\.weight: \(3, 16\) float32 in the checkpoint, \(3, 8\) float32 now"),
        ({"seed": 3}, "seed: 0 in the checkpoint, 3 now"),
        ("dual", r"method Dual: absent in the checkpoint, Acts now"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path, toy, change: dict | str, named: str) -> None:
    toy.run(tmp_path)
    with pytest.raises(ValueError, match=named):
        toy.run(tmp_path, **({"methods": toy.acts(Dual())} if change == "dual" else change))


def test_other_data_are_refused(tmp_path: Path, toy) -> None:
    toy.run(tmp_path)
    with pytest.raises(ValueError, match=r"train_set: 24 samples, .* in the checkpoint, 24 samples"):
        toy.run(tmp_path, train_set=toy.task.dataset("test"))


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, toy, damage: str) -> None:
    straight = toy.run(tmp_path / "straight", methods=toy.acts(Crash(-1)))
    with pytest.raises(CrashError):
        toy.run(tmp_path / "killed", methods=toy.acts(Crash(8)))
    path = tmp_path / "killed" / "checkpoint.pt"
    spoil(path, damage)
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged .*previous"):
        continued = toy.run(tmp_path / "killed", methods=toy.acts(Crash(-1)))
    assert_same(straight, continued)


@pytest.mark.parametrize("damage", ["changed", "empty"])
def test_a_run_whose_checkpoints_are_damaged_begins_anew(tmp_path: Path, toy, damage: str) -> None:
    straight = toy.run(tmp_path)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        spoil(tmp_path / name, damage)
    both = r"checkpoint\.pt is damaged.*checkpoint\.previous\.pt is damaged.*begins anew"
    with pytest.warns(UserWarning, match=both) as told:
        again = toy.run(tmp_path)
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert_same(straight, again)
    assert {path.name for path in tmp_path.glob("*.corrupt")} == {
        "checkpoint.pt.corrupt",
        "checkpoint.previous.pt.corrupt",
    }
    assert read_checkpoint(tmp_path / "checkpoint.pt")["state"]["progress"]["step"] == 12


def sealed(payload: bytes) -> bytes:
    return payload + b"\nrapidash-sha256:" + hashlib.sha256(payload).hexdigest().encode()


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"no file of torch", "does not load it: UnpicklingError"),
        (b"", "does not load it: EOFError"),
        (saved([1, 2]), "it holds no checkpoint: list"),
        (saved({"format": 1, "description": {}}), "no description or no state"),
    ],
    ids=["no torch", "empty", "list", "no state"],
)
def test_a_sealed_file_that_is_no_checkpoint_is_damaged(tmp_path: Path, toy, payload: bytes, reason: str) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(sealed(payload))
    with pytest.raises(CheckpointError, match=reason) as raised:
        read_checkpoint(path)
    assert "documentation" not in str(raised.value)  # torch's advice is about files of one's own
    straight = toy.run(tmp_path / "straight")
    toy.run(tmp_path / "run", steps=6)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(sealed(payload))
    (tmp_path / "run" / "checkpoint.previous.pt").unlink()
    with pytest.warns(UserWarning, match="begins anew"):
        assert_same(straight, toy.run(tmp_path / "run"))


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one_before(tmp_path: Path, toy, monkeypatch) -> None:
    toy.run(tmp_path, steps=12)
    good = (tmp_path / "checkpoint.previous.pt").read_bytes()
    spoil(tmp_path / "checkpoint.pt", "truncated")
    monkeypatch.setattr("rapidash.train._checkpoint.Checkpoints.save", lambda *_: pytest.fail("stopped before saving"))
    with pytest.warns(UserWarning, match="previous"), pytest.raises(pytest.fail.Exception):
        toy.run(tmp_path, steps=12)
    assert not (tmp_path / "checkpoint.pt").exists()
    assert (tmp_path / "checkpoint.previous.pt").read_bytes() == good


def test_a_checkpoint_of_another_format_is_left_alone(tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("rapidash.train._checkpoint.FORMAT_VERSION", 7)
        toy.run(tmp_path)
    with pytest.raises(CheckpointError, match="format 7"):
        toy.run(tmp_path)
    assert not list(tmp_path.glob("*.corrupt"))


def test_a_checkpoint_lost_between_two_renames_is_no_loss(tmp_path: Path, toy) -> None:
    straight = toy.run(tmp_path, methods=toy.acts(Crash(-1)))
    (tmp_path / "checkpoint.pt").unlink()
    assert_same(straight, toy.run(tmp_path, methods=toy.acts(Crash(-1))))


def test_a_checkpoint_of_another_format_is_named(tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapidash.train._checkpoint.FORMAT_VERSION", 7)
    toy.run(tmp_path, steps=3)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format 7, this version reads 1"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_looking_at_the_losses_less_often_changes_nothing(tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch) -> None:
    often = toy.run(tmp_path / "often", methods=toy.acts(Dual()))
    monkeypatch.setattr("rapidash.train._training.steps_between_looks", lambda device: 32)  # as on a GPU
    assert_same(often, toy.run(tmp_path / "seldom", methods=toy.acts(Dual())))


@pytest.mark.gpu
def test_a_run_on_the_gpu_continues(tmp_path: Path, toy) -> None:
    setting = {"device": "cuda", "dtype": "float64"}
    _, straight = toy.run(tmp_path / "straight", methods=toy.acts(Crash(-1)), **setting)
    with pytest.raises(CrashError):
        toy.run(tmp_path / "killed", methods=toy.acts(Crash(7)), **setting)
    model, continued = toy.run(tmp_path / "killed", methods=toy.acts(Crash(-1)), **setting)
    assert model.head.weight.device.type == "cuda"
    assert continued.best_val_error == pytest.approx(straight.best_val_error, rel=1e-9)
    assert continued.peak_memory_bytes > 0


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path: Path, toy, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = toy.run(tmp_path / "straight")
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 4:  # a checkpoint calls it for the file and for its directory: the third one fails
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match=r"the last good one is intact: .*No space left on device"):
            toy.run(tmp_path / "full")
    assert {path.name for path in (tmp_path / "full").iterdir()} == {"checkpoint.pt", "checkpoint.previous.pt"}
    assert read_checkpoint(tmp_path / "full" / "checkpoint.pt")["state"]["progress"]["step"] == 6
    assert_same(straight, toy.run(tmp_path / "full"))


def test_a_checkpoint_is_also_an_ordinary_torch_file(tmp_path: Path, toy) -> None:
    toy.run(tmp_path)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["description"]["train.steps"] == "12"


_CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import Acts, run_toy
from rapidash.methods import Control
class Kill(Control):
    def before(self, step):
        if step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
run_toy(Path(sys.argv[1]), methods=[Acts(Kill())])
"""


def test_a_process_killed_without_notice_continues(tmp_path: Path, toy) -> None:
    class Kill(Crash):  # the same name: methods are part of the configuration
        pass

    Kill.__qualname__ = "Kill"
    here = str(Path(__file__).parent)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.run([sys.executable, "-c", _CHILD, str(tmp_path / "killed"), here], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    straight = toy.run(tmp_path / "straight", methods=toy.acts(Kill(-1)), threads=1)
    assert_same(straight, toy.run(tmp_path / "killed", methods=toy.acts(Kill(-1)), threads=1))
