"""Advice from end to end on a small task, and what stops it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from rapidash import cli
from rapidash.advise import (
    ADVICE,
    PAGE,
    SETTINGS,
    Advice,
    BudgetError,
    advise,
    candidates,
    page,
    seconds_used,
    terminal_advice,
)
from rapidash.advise import _race as race_module
from rapidash.advise import _trial as trial_module
from rapidash.advise._checks import class_cautions
from rapidash.advise._diagnosis import diagnose
from rapidash.advise._race import read_raced
from rapidash.advise._race_state import Cost
from rapidash.advise._recommend import LONGER
from rapidash.advise._target import Target, find_target
from rapidash.data import CloudDataset
from rapidash.methods import Variant
from rapidash.study import StudyDesign, get_design
from rapidash.tasks import get_task
from rapidash.tasks.solids import SolidsTask

STEP = {"E(3) on R3": 0.4, "T(3) on R3": 0.8, "SO2(z) on R3": 100.0}  # seconds


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs that are known, and a race of few steps; the questions that need no training."""

    def costs(task: Any, variants: dict[str, Variant], *rest: Any, **options: Any) -> dict[str, Cost]:
        slow = Cost(dropped="left out: too slow")
        return {name: Cost(STEP[name], 0.0, 0.0) if name in STEP else slow for name in variants}

    def few(data: CloudDataset, target: Target | None, **options: Any) -> Any:
        return diagnose(data, target, only=["hand", "size"], **options)

    monkeypatch.setattr(race_module, "measured_costs", costs)
    monkeypatch.setattr(race_module, "LEAST_STEPS", 2)
    monkeypatch.setattr("rapidash.advise._advise.diagnose", few)


@pytest.fixture
def without_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the test part is an error."""
    read: Callable[..., CloudDataset] = SolidsTask.dataset

    def guarded(task: SolidsTask, split: Any) -> CloudDataset:
        assert split != "test", "the test part was read"
        return read(task, split)

    monkeypatch.setattr(SolidsTask, "dataset", guarded)


def asked(design: StudyDesign, folder: Path, **options: Any) -> Advice:
    """The time is that of the costs: what else the machine does takes none of it."""
    return advise(design, folder, **{"minutes": 1.0, "clock": lambda: 0.0, **options})


@pytest.mark.usefixtures("cheap", "without_test_part")
def test_advice_from_end_to_end(solids: StudyDesign, tmp_path: Path) -> None:
    said: list[str] = []
    advice = asked(solids, tmp_path, say=said.append)
    raced = read_raced(tmp_path)
    assert [list(found) for found in raced.rounds] == [["E(3) on R3", "T(3) on R3"]] * 3
    assert [next(iter(found.values()))[0].num_train for found in raced.rounds] == [24, 38, 60]
    assert [len(found["E(3) on R3"]) for found in raced.rounds] == [1, 2, 2]
    for found in raced.rounds:  # equal time: a step of T(3) costs twice as much
        distance, plain = (found[name][0].steps for name in ("E(3) on R3", "T(3) on R3"))
        assert distance in (2 * plain, 2 * plain + 1)
    assert advice.variant in ("E(3) on R3", "T(3) on R3")
    assert advice.runner_up in ("E(3) on R3", "T(3) on R3")
    assert sum(row.probability for row in advice.rows) == pytest.approx(1.0)
    assert advice["SO2(z) on R3"].expected is None
    assert "30" not in advice["SO2(z) on R3"].note
    assert advice["SO2(z) on R3"].note.startswith("left out: 2 steps of it take 3.3 min")
    assert advice["T(3) on R3 + frames"].note == "left out: too slow"
    last = raced.rounds[-1][advice.variant][0]
    for name, curves in raced.curves.items():  # half of the last length on less data, a quarter and a half on all
        longest = raced.rounds[-1][name][0].steps
        assert [(trial.steps, trial.num_train) for trial in curves["data"]] == [
            (round(longest / 2), num) for num in (24, 38, 60)
        ]
        assert sorted(trial.steps for trial in curves["time"]) == [
            round(longest / 4), round(longest / 2), longest, longest
        ]  # fmt: skip
    assert advice.steps == LONGER * last.steps
    assert len(last.errors) == len(last.turned) == 40
    assert any("preferred" not in line and "hand" not in line and "round 1 of 3" in line for line in said)
    assert [said.title for said in advice.changes] == [
        "More data", "More time", "Turned test data", "More validation clouds"
    ]  # fmt: skip
    written = json.loads((tmp_path / ADVICE).read_text(encoding="utf-8"))
    assert written["schema"] == 1
    assert written["variant"] == advice.variant
    assert written["headline"] == advice.headline
    settings = yaml.safe_load((tmp_path / SETTINGS).read_text(encoding="utf-8"))
    assert settings["task"] == "solids"
    assert settings["train"]["steps"] == advice.steps
    text = page(advice)
    assert advice.headline in text.replace("&#39;", "'")
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "Read with care" in text
    assert terminal_advice(advice).startswith(advice.headline)


@pytest.mark.slow
@pytest.mark.usefixtures("cheap", "without_test_part")
def test_an_interrupted_race_repeats_nothing(
    solids: StudyDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    train = trial_module.train

    def counted(*arguments: Any, **options: Any) -> Any:
        if len(trained) == 4:
            trained.append("interrupted")
            raise KeyboardInterrupt
        trained.append(str(options["run_dir"]))
        return train(*arguments, **options)

    monkeypatch.setattr(trial_module, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        asked(solids, tmp_path)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "trials").glob("*.json")}
    assert len(kept) == 4
    first = asked(solids, tmp_path)
    assert {name: (tmp_path / "trials" / name).read_bytes() for name in kept} == kept
    runs = [name for name in trained if name != "interrupted"]
    assert len(runs) == len(set(runs)) == len(list((tmp_path / "trials").glob("*.json"))) == 2 + 4 + 4 + 8
    again = asked(solids, tmp_path)
    assert len([name for name in trained if name != "interrupted"]) == len(runs)
    assert (again.variant, again.expected, again.rows) == (first.variant, first.expected, first.rows)


@pytest.mark.usefixtures("cheap")
def test_a_folder_answers_one_question(solids: StudyDesign, tmp_path: Path) -> None:
    asked(solids, tmp_path, minutes=0.6)
    with pytest.raises(ValueError, match=r"another question: minutes was 0\.6 and is 3\.0"):
        asked(solids, tmp_path, minutes=3.0)
    with pytest.raises(ValueError, match=r"another question: seed was 0 and is 1"):
        asked(solids, tmp_path, minutes=0.6, seed=1)


@pytest.mark.usefixtures("cheap")
def test_more_minutes_are_welcome_before_any_training(solids: StudyDesign, tmp_path: Path) -> None:
    """What the error about too short a time says to do works in the same folder."""
    with pytest.raises(BudgetError):
        asked(solids, tmp_path, minutes=0.12)
    findings = (tmp_path / "diagnosis.json").read_bytes()
    assert asked(solids, tmp_path, minutes=0.6).minutes == 0.6
    assert (tmp_path / "diagnosis.json").read_bytes() == findings


@pytest.mark.usefixtures("cheap")
def test_a_budget_below_one_run_of_the_cheapest_variant(solids: StudyDesign, tmp_path: Path) -> None:
    # two steps at 0.4 s, in rounds of 1, 2 and 4 and curves of 3.5: 8.4 s, or 8.75 s with 4 % kept back, and a bit
    words = (
        r"0\.12 minutes are too short for a race: reading and asking the data took .* s, and even the cheapest "
        r"variant, E\(3\) on R3, needs about (8\.8|8\.9|9|9\.\d|1\d) s after it\. Give --minutes 0\.\d for it alone"
    )
    with pytest.raises(BudgetError, match=words):
        asked(solids, tmp_path, minutes=0.12)
    with pytest.raises(ValueError, match=r"at least 0\.1 and finite, got 0"):
        asked(solids, tmp_path / "other", minutes=0)


def test_too_few_clouds_say_how_many_are_needed(solids: StudyDesign, tmp_path: Path) -> None:
    few = replace(solids, task_options={**solids.task_options, "num_train": 10})
    with pytest.raises(ValueError, match=r"10 training and 40 validation clouds are too few.*at least 20 and 8"):
        asked(few, tmp_path)


def test_classes_that_are_seen_once() -> None:
    def target(*labels: int) -> Target:
        label = torch.tensor(labels)
        return Target("label", "label", torch.nn.functional.one_hot(label).double(), label)

    assert class_cautions(target(0, 0, 1, 1)) == []
    assert class_cautions(None) == []
    assert class_cautions(target(0, 0, 1, 1, 2)) == ["1 of 3 classes is seen once: nothing is said about it."]
    with pytest.raises(ValueError, match="3 of 4 classes are seen once"):
        class_cautions(target(0, 0, 1, 2, 3))
    with pytest.raises(ValueError, match="1 of 2 classes are seen once"):  # half of them
        class_cautions(target(0, 0, 1))


def test_data_without_positions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="about clouds"):
        advise(get_design("glyphs"), tmp_path, minutes=1)
    with pytest.raises(ValueError, match="toy-gen generates clouds, and its denoising loss says little about samples"):
        advise(get_design("toy-gen"), tmp_path, minutes=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("cheap")
def test_a_training_that_fails_leaves_the_race(
    solids: StudyDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = trial_module.build_model

    def broken(task: Any, variant: Variant, **options: Any) -> Any:
        if variant.name == "T(3) on R3":
            raise RuntimeError("out of luck")
        return build(task, variant, **options)

    monkeypatch.setattr(trial_module, "build_model", broken)
    advice = asked(solids, tmp_path)
    assert advice.variant == "E(3) on R3"
    assert advice.runner_up is None
    assert "Only E(3) on R3 could be raced in 1 min, so nothing is compared; the reasons stand" in advice.headline
    assert "no other variant was raced" in {said.title: said.text for said in advice.changes}["Turned test data"]
    assert advice["T(3) on R3"].note == "failed in round 1: RuntimeError: out of luck"


def test_the_target_is_what_only_the_loss_reads(solids: StudyDesign) -> None:
    task = get_task(solids.task, **solids.task_options)
    data = task.dataset("train")
    assert isinstance(data, CloudDataset)
    given, target = find_target(task, solids.variants[0], data)
    assert list(given.tensors) == ["pos"]
    assert target is not None
    assert (target.name, target.values.shape) == ("label", (60, 8))
    nbody = get_task("nbody", num_train=6, num_val=2, num_test=2)
    found, moved = find_target(nbody, get_design("nbody").variants[0], nbody.dataset("train"))  # type: ignore[arg-type]
    assert list(found.tensors) == ["pos", "vel", "charge"]
    assert moved is not None
    whole = nbody.dataset("train").batch(torch.arange(6))
    means = (whole["target"] - whole["pos"]).double().reshape(6, 5, 3).mean(dim=1)
    assert moved.vectors is not None
    assert torch.allclose(moved.vectors, means)


def test_the_variants_of_a_race() -> None:
    names = [variant.name for variant in candidates(get_design("solids").variants)]
    assert names == [
        "E(3) on R3xS2", "E(3) on R3", "T(3) on R3", "T(3) on R3 + rotations", "E(3) on R3xS2 + global frame",
        "SE(3) on R3xS2", "E(3) on R3xS2 + ace", "SO2(z) on R3", "T(3) on R3 + frames",
    ]  # fmt: skip
    walking = [variant.name for variant in candidates(get_design("cmu").variants)]
    assert "SO2(y) on R3" in walking
    assert "SO2(z) on R3" not in walking
    assert "SO2(x) on R3" in [variant.name for variant in candidates(get_design("cmu").variants, axis="x")]
    flat = [variant.name for variant in candidates(get_design("mnist-sp").variants)]
    assert not any("SO2" in name for name in flat)
    with pytest.raises(ValueError, match="the study has none"):
        candidates(get_design("qm9").variants[-2:])


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("known", [True, False])
def test_the_settings_train_the_variant(
    solids: StudyDesign, tmp_path: Path, capsys: pytest.CaptureFixture[str], known: bool
) -> None:
    """A variant of the study stands there by its name, one of narrow networks with all its parts."""
    names = [variant.name for variant in solids.variants]
    design = replace(get_design("solids").select(names), train=solids.train, task_options=solids.task_options)
    design = design if known else solids
    advice = asked(design, tmp_path / "advice")
    given = yaml.safe_load((tmp_path / "advice" / SETTINGS).read_text(encoding="utf-8"))
    assert isinstance(given["variant"], str) == known
    given["train"] |= {"steps": 3, "warmup_steps": 1, "eval_every": 3}
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(given), encoding="utf-8")
    named = [] if known else ["--variant", advice.variant]  # the name of the one in the file, which no study has
    assert cli.main(["train", "--config", str(path), *named, "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert advice.variant in capsys.readouterr().out
    (record,) = (tmp_path / "run" / "records").glob("*.json")
    channels = json.loads(record.read_text(encoding="utf-8"))["config"]["variant"]["model"]["channels"]
    wanted = next(variant for variant in design.variants if variant.name == advice.variant)
    assert channels == wanted.model.channels


@pytest.mark.usefixtures("cheap")
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"num_points": 8, "num_train": 40, "num_val": 30, "num_test": 5}
    words = [f"--task_options.{name}={value}" for name, value in sizes.items()]
    out = tmp_path / "of a disk"
    words += ["--variants", "E(3) on R3", "T(3) on R3", "--minutes", "1", "--out", str(out)]
    assert cli.main(["advise", "solids", *words]) == 0
    shown = capsys.readouterr()
    assert "round 1 of 3: E(3) on R3" in shown.err
    assert shown.out.startswith(
        ("Train ", "No variant can be told from another by 30 valid", "Nothing is clearly learned")
    )
    command = f"rapidash train --config '{out / SETTINGS}'"  # as a shell takes it
    assert f"train it: {command}\n" in shown.out
    assert f"# {command}\n" in (out / SETTINGS).read_text(encoding="utf-8")
    assert (out / PAGE).is_file()
    assert cli.main(["advise", "solids", *words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    used = seconds_used(out)
    race = json.loads((out / "race.json").read_text(encoding="utf-8"))
    (out / "race.json").write_text(json.dumps({**race, "used": used + 3600}), encoding="utf-8")
    assert cli.main(["advise", "solids", *words]) == 0  # an hour was used before
    assert capsys.readouterr().err.splitlines()[0].startswith("[60:0")


def test_wrong_words_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["advise", "solids", "--minutes", "soon"])
    assert ended.value.code == 2
    with pytest.raises(SystemExit):
        cli.main(["advise", "solids", "--variants", "E(9) on R3"])
    assert "did you mean 'E(3) on R3'" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert cli.main(["advise", "solids", "--out", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert cli.main(["advise", "solid"]) == 2
    path = tmp_path / "wrong.yaml"
    path.write_text("task: solids\nvariant: {name: x}\n", encoding="utf-8")
    assert cli.main(["train", "--config", str(path)]) == 2
    assert "variant is no variant of a study" in capsys.readouterr().err
