"""One run: what its record says, and that it is safe to ask for it again."""

import errno
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toy_plugin import Equivariant, ToyTask, variant

from rapidash.groups import SO
from rapidash.methods import Average, Measurement, Subject, evaluate
from rapidash.predict import TrainedModel
from rapidash.registry import MEASURES
from rapidash.study import Store, StoreError, load_run, run_one
from rapidash.study._build import fresh_model
from rapidash.study._claims import measure_equivariance
from rapidash.study._data import training_subset
from rapidash.study._weights import save_weights
from rapidash.train import read_checkpoint
from rapidash.train._checkpoint import Checkpoints
from rapidash.train._training import Training

VARYING = ("started", "seconds", "seconds_per_step", "train_seconds", "peak_memory_bytes", "history")


def comparable(record: dict) -> dict:
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in record["history"]]
    return {key: value for key, value in record.items() if key not in VARYING} | {"history": rows}


def test_the_record_says_what_was_done_and_measured(tmp_path: Path, run) -> None:
    config = replace(run("equivariant"), variant=variant("equivariant", methods=(Average("SO(3)", 2),)))
    record = run_one(config, tmp_path)
    assert record == json.loads(Store(tmp_path).record_path(config.key).read_text())
    assert record["status"] == "done"
    assert record["error"] is None
    assert record["config"] == config.to_dict()
    assert set(record["versions"]) == {"python", "torch", "rapidash", "numpy"}
    assert record["device"]
    assert record["threads"] == 1
    assert record["parameters"] == 1
    assert record["num_train"] == 20
    assert [row["step"] for row in record["history"]] == [4, 8]
    assert record["val_error"] == min(row["val_error"] for row in record["history"])
    assert record["symmetry"]["effective"] == "E(3)"
    for name in ("seconds_per_step", "train_seconds", "seconds", "test_error"):
        assert record[name] > 0
    # an equivariant model does not care how the test data are rotated, nor does averaging change it
    assert record["test_error_rotated"] == pytest.approx(record["test_error"], rel=1e-5)
    assert record["test_error_tta"] == pytest.approx(record["test_error"], rel=1e-5)


def test_an_average_at_test_time_needs_no_second_training(tmp_path: Path, run, monkeypatch) -> None:
    plain = run_one(run(), tmp_path)
    average = {"name": "averaged", "methods": (Average("SO(3)", 4),)}
    config = replace(run(), variant=replace(run().variant, **average))
    afresh = run_one(config, tmp_path / "afresh")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", lambda self, step: pytest.fail("it trains"))
        averaged = run_one(config, tmp_path)
    assert comparable(averaged) == comparable(afresh)
    assert averaged["test_error_tta"] != averaged["test_error"] == plain["test_error"]
    assert [averaged[name] for name in ("train_seconds", "history")] == [
        plain[name] for name in ("train_seconds", "history")
    ]
    for other in (replace(config, seed=1), replace(config, train=replace(config.train, learning_rate=1e-4))):
        with monkeypatch.context() as patch:
            patch.setattr(Training, "_step", lambda self, step: pytest.fail("it trains"))
            with pytest.raises(pytest.fail.Exception):
                run_one(other, tmp_path)
    (tmp_path / "work" / plain["key"] / "checkpoint.pt").unlink()
    again = replace(config, variant=replace(config.variant, methods=(Average("SO(3)", 2),)))
    (tmp_path / "work" / config.key / "checkpoint.pt").unlink()
    assert run_one(again, tmp_path)["train_seconds"] != plain["train_seconds"]  # nothing to adopt: it trains


def test_a_measure_needs_no_second_training(tmp_path: Path, run, monkeypatch) -> None:
    """Nor does it take part in it: the run without measures trains the same weights."""

    def size_of_weights(subject: Subject) -> Iterator[Measurement]:
        size = sum(float(parameter.detach().square().sum()) for parameter in subject.model.parameters()) ** 0.5
        yield Measurement("norm of the weights", size, moment=subject.moment, view=subject.view)

    monkeypatch.setitem(MEASURES, "toy-size", size_of_weights)
    plain = run_one(run(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", lambda self, step: pytest.fail("it trains"))
        measured = run_one(replace(run(), measures=("toy-size",)), tmp_path)
    assert measured["test_error"] == plain["test_error"]
    moments = [found["moment"] for found in measured["measurements"] if found["name"] == "norm of the weights"]
    assert sorted(moments) == ["after", "before"]


def test_the_time_of_a_training_is_counted_in_every_session_and_once(tmp_path: Path, run, monkeypatch) -> None:
    save = Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, state: save(self, with_time(state)))

    def with_time(state: dict) -> dict:
        return {**state, "progress": {**state["progress"], "wall_seconds": 1000.0}}

    store = Store(tmp_path)
    plain = run_one(run(), tmp_path)
    assert plain["seconds"] < 1000
    store.record_path(plain["key"]).unlink()  # as if it had been interrupted after the last checkpoint
    assert run_one(run(), tmp_path)["seconds"] > 1000
    averaged = replace(run(), variant=replace(run().variant, name="averaged", methods=(Average("SO(3)", 2),)))
    assert run_one(averaged, tmp_path)["seconds"] < 1000


def test_a_training_that_does_not_fit_any_more_is_made_anew(tmp_path: Path, run) -> None:
    plain = run_one(run(), tmp_path)
    path = tmp_path / "work" / plain["key"] / "checkpoint.pt"
    content = read_checkpoint(path)
    Checkpoints(path.parent, {**content["description"], "train_set": "other clouds"}).save(content["state"])
    averaged = replace(run(), variant=replace(run().variant, name="averaged", methods=(Average("SO(3)", 2),)))
    record = run_one(averaged, tmp_path)
    assert record["status"] == "done"
    assert record["test_error"] == plain["test_error"]


def test_equivariance_is_measured_before_and_after(tmp_path: Path, run) -> None:
    exact, broken = (run_one(run(kind), tmp_path) for kind in ("equivariant", "components"))
    for entry, group in (("equivariance", "SO(3)"), ("equivariance_reflections", "O(3)")):
        assert exact[entry]["group"] == broken[entry]["group"] == group
        for moment in ("before", "after"):
            assert exact[entry][moment]["max"] < 1e-12
            assert broken[entry][moment]["mean"] > 1e-2
            assert broken[entry][moment]["output_norm"] > 0
    assert broken["equivariance"]["before"] != broken["equivariance"]["after"]
    assert broken["test_error_tta"] is None


def test_details_of_the_task_are_on_record_and_in_the_history(tmp_path: Path, run, monkeypatch) -> None:
    def details(self, prediction, batch):
        return {"points": torch.bincount(batch.batch).float(), "nothing": torch.full((batch.num_clouds,), math.nan)}

    monkeypatch.setattr(ToyTask, "details", details, raising=False)
    record = run_one(run(), tmp_path)
    assert record["test_details"]["points"] > 0
    assert record["test_details"]["nothing"] is None
    assert all(row["val/points"] > 0 and row["val/nothing"] is None for row in record["history"])


def test_what_broken_symmetry_costs_is_on_record(tmp_path: Path, run) -> None:
    exact, broken = (run_one(run(name), tmp_path)["symmetry_cost"] for name in ("equivariant", "components"))
    assert (exact["group"], exact["elements"], exact["squared"]) == ("SO(3)", 16, True)
    assert exact["relative"] < 1e-12
    assert abs(exact["share"]) < 1e-9
    assert broken["relative"] > 1e-3
    assert broken["low"] < broken["share"] < broken["high"]
    assert broken["cost"] == pytest.approx(broken["share"] * broken["error"], rel=1e-6)
    assert broken["moved_unit"]
    assert exact["symmetry_error"] < 1e-12
    assert broken["symmetry_error"] > 1e-3


def test_a_zero_output_has_no_relative_error(run) -> None:
    class Zero(torch.nn.Module):
        def forward(self, batch):
            return torch.zeros_like(batch.pos)

    task = ToyTask()
    found = measure_equivariance(Zero(), task, task.dataset("val"), SO(3))
    assert found == {"mean": None, "max": None, "output_norm": 0.0}


def test_measuring_leaves_the_model_and_the_generator_alone(run) -> None:
    task = ToyTask()
    model = fresh_model(task, run())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    measure_equivariance(model, task, task.dataset("val"), SO(3))
    assert model.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_finished_run_is_not_repeated(tmp_path: Path, run, toy_log) -> None:
    first = run_one(run(), tmp_path)
    assert toy_log() == ["components"]
    assert run_one(run(), tmp_path) == first
    assert toy_log() == ["components"]


def test_the_same_configuration_gives_the_same_numbers(tmp_path: Path, run) -> None:
    records = [run_one(run(), tmp_path / name) for name in "ab"]
    torch.manual_seed(5)  # the global generator has no say
    records.append(run_one(run(), tmp_path / "c"))
    assert comparable(records[0]) == comparable(records[1]) == comparable(records[2])
    assert run_one(run(seed=1), tmp_path / "d")["test_error"] != records[0]["test_error"]


def test_a_failure_is_recorded_and_tried_again(tmp_path: Path, run, toy_log, monkeypatch) -> None:
    record = run_one(run("failing"), tmp_path)
    assert record["status"] == "failed"
    assert "RuntimeError: this model always fails" in record["error"]
    assert "Traceback" in record["error"]
    assert "test_error" not in record
    monkeypatch.setattr(
        "toy_plugin.Failing.forward", lambda self, batch: batch.pos + self.linear(batch.pos.repeat(1, 2))
    )
    assert run_one(run("failing"), tmp_path)["status"] == "done"


def test_an_error_that_is_no_unicode_is_recorded_with_escapes(tmp_path: Path, run, monkeypatch) -> None:
    def fail(self, batch):
        raise RuntimeError("no file \udcff.xyz")

    monkeypatch.setattr("toy_plugin.Failing.forward", fail)
    record = run_one(run("failing"), tmp_path)
    assert record["error"].endswith("RuntimeError: no file \\udcff.xyz\n")
    assert Store(tmp_path).load(run("failing").key) == record


def test_an_unknown_task_or_option_is_a_recorded_failure(tmp_path: Path, run) -> None:
    record = run_one(replace(run(), task_options={"sice": 3}), tmp_path)
    assert record["status"] == "failed"
    assert "sice" in record["error"]


@pytest.mark.usefixtures("unwrapped")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of one training is known on Linux only")
def test_a_process_that_has_run_before_measures_the_same_memory(tmp_path: Path, run) -> None:
    peaks = [run_one(run("hungry", seed=seed, steps=2), tmp_path)["peak_memory_bytes"] for seed in range(3)]
    assert min(peaks) > 40e6
    assert max(peaks) < 300e6


def test_an_interrupted_run_continues_from_its_checkpoint(tmp_path: Path, run, monkeypatch) -> None:
    straight = run_one(run(steps=12), tmp_path / "straight")
    calls = 0
    original = ToyTask.loss

    def interrupted(self, prediction, batch):
        nonlocal calls
        calls += 1
        if calls == 8:
            raise KeyboardInterrupt
        return original(self, prediction, batch)

    monkeypatch.setattr(ToyTask, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_one(run(steps=12), tmp_path / "cut")
    assert Store(tmp_path / "cut").records() == []
    resumed = run_one(run(steps=12), tmp_path / "cut")
    assert comparable(resumed) == comparable(straight)
    assert calls == 8 + 12 - 6  # the checkpoint of step 6 was used


def test_a_run_that_another_process_holds_is_left_to_it(tmp_path: Path, run) -> None:
    with Store(tmp_path).claim(run().key) as mine:
        assert mine
        assert run_one(run(), tmp_path) is None
    assert Store(tmp_path).records() == []


def test_a_full_disk_stops_with_a_clear_error(tmp_path: Path, run, monkeypatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        run_one(run(), tmp_path)
    monkeypatch.undo()
    assert Store(tmp_path).records() == []
    assert not list(tmp_path.rglob("*.tmp"))


def test_subsets_are_nested_and_depend_on_the_seed(tmp_path: Path, run) -> None:
    data = ToyTask(20).dataset("train")
    small, large, other = (training_subset(data, f, s).num_points for f, s in ((0.25, 0), (0.5, 0), (0.5, 1)))
    assert (len(small), len(large)) == (5, 10)
    assert torch.equal(small, large[:5])
    assert not torch.equal(large, other)
    assert training_subset(data, 1.0, 0) is data
    assert len(training_subset(data, 0.001, 0)) == 1
    assert run_one(run(fraction=0.5), tmp_path)["num_train"] == 10


def test_saved_weights_reproduce_the_test_error(tmp_path: Path, run) -> None:
    config = run()
    record = run_one(config, tmp_path)
    loaded = load_run(tmp_path / "work" / config.key)
    assert loaded.config == config
    assert not loaded.model.training
    error = evaluate(loaded.model, loaded.task, loaded.task.dataset("test"), batch_size=7).mean
    assert error == pytest.approx(record["test_error"], rel=1e-6)


def test_a_saved_model_knows_the_level_of_its_run(tmp_path: Path, design) -> None:
    config = replace(design, factors={"model.channels": (16, 32), "task.size": (10,)}).runs()[2]
    run_one(config, tmp_path)
    loaded = load_run(tmp_path / "work" / config.key)
    assert loaded.config == config
    assert loaded.config.label == "equivariant, channels 32, size 10 · seed 0"


def test_weights_that_cannot_be_read_are_named(tmp_path: Path, run) -> None:
    run_one(run(), tmp_path)
    path = tmp_path / "work" / run().key / "model" / "model.safetensors"
    whole = path.read_bytes()
    with pytest.raises(FileNotFoundError, match="no saved model at"):
        load_run(tmp_path / "nothing")
    path.write_bytes(whole[: len(whole) - 9])
    with pytest.raises(ValueError, match=r"model.safetensors is not a whole safetensors file"):
        load_run(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="does not have the checksum"):
        load_run(path)
    save_weights(Equivariant(), run("components"), path.parents[1])
    with pytest.raises(ValueError, match=r"model.safetensors do not fit .*'linear.weight' is missing"):
        load_run(path)
    by_hand = TrainedModel("toy", {}, run("equivariant").variant, Equivariant())
    with pytest.raises(ValueError, match=r"config.json: 'training' does not say .*: rapidash predict takes it"):
        load_run(by_hand.save_pretrained(tmp_path / "by_hand"))
