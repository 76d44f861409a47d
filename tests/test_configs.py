"""Every design that ships can be run: it loads, its models build, its settings survive the trip to YAML and back."""

import math
import tomllib
from itertools import product
from pathlib import Path

import pytest
import torch
import yaml

from rapidash import cli
from rapidash.models import Rapidash
from rapidash.registry import TASKS
from rapidash.study import RunConfig, StudyDesign, designs, get_design
from rapidash.tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
PAPERS = {
    tomllib.loads(path.read_text(encoding="utf-8"))["study"] for path in (ROOT / "docs" / "systems").glob("*.toml")
}
SHIPPED = sorted(
    path.stem.replace("_", "-")
    for path in Path(designs.__file__).parent.glob("[!_]*.py")
    if "def make_design(" in path.read_text(encoding="utf-8")  # that of own data is made of a user's files
)
FAMILIES = {"planted": 2, "planted-modelnet10": 3, "planted-shapes": 3, "sie": 2, "sie-modelnet10": 2, "transfer": 5}
"""Studies with several networks whose errors are not compared."""
TOGETHER = {"two stages": {"network", "objective"}}
"""Variants of an objective that runs with a network of its own only."""
EVERY_DESIGN = list(product(SHIPPED, (False, True)))  # not those that other tests add to DESIGNS


def differing_fields(design: StudyDesign) -> dict[str, set[str]]:
    """By name of each variant, the parts in which it differs from its neighbor."""
    known = {variant.name: variant for variant in design.variants}
    parts = {}
    for variant in design.variants:
        if variant.neighbor is not None:
            other = known[variant.neighbor]
            mine, theirs = vars(variant.model), vars(other.model)
            if type(variant.model) is not type(other.model):  # a baseline: of the same symmetry and space
                mine, theirs = (
                    {"network": type(model), "symmetry": model.symmetry, "space": model.space}
                    for model in (variant.model, other.model)
                )
                if "rows" in (mine["space"], theirs["space"]):  # the same numbers side by side
                    mine["space"] = theirs["space"]
            parts[variant.name] = {name for name in mine if mine[name] != theirs[name]} | {
                name for name in ("inputs", "methods", "objective") if getattr(variant, name) != getattr(other, name)
            }
            if design.inits.get(variant.name) != design.inits.get(other.name):
                parts[variant.name].add("init")
    return parts


@pytest.mark.parametrize(("task", "full"), EVERY_DESIGN)
def test_design_loads_and_says_what_it_is(task: str, full: bool) -> None:
    design = get_design(task, full=full)
    assert design.name == task
    assert design.task in TASKS
    of_a_paper = task in PAPERS
    assert task == design.task or task not in TASKS  # a study of a method or a paper has a name of its own
    assert design.setting == ("full" if full else "quick")
    assert len(design.seeds) >= (1 if of_a_paper and not full else 3)  # a quick look at a population of models
    runs = design.runs()
    levels = math.prod(len(values) for values in design.factors.values())
    expected = len(design.variants) * len(design.seeds) * len(design.fractions) * levels
    assert len({run.key for run in runs}) == len(runs) == expected
    assert all(RunConfig.from_dict(run.to_dict()) == run for run in runs)


@pytest.mark.parametrize(("task", "full"), EVERY_DESIGN)
def test_each_variant_is_one_knob_from_its_neighbor_and_names_it(task: str, full: bool) -> None:
    design = get_design(task, full=full)
    changes = differing_fields(design)
    compared = len(design.variants) - FAMILIES.get(task, 1)
    assert len(changes) == compared, "all but the first of every family are compared with a neighbor"
    for name, parts in changes.items():
        assert len(parts) == 1 or parts == TOGETHER.get(name), f"{name} differs from its neighbor in {sorted(parts)}"
    assert all(variant.knob for variant in design.variants if variant.neighbor)


@pytest.mark.parametrize(("task", "full"), EVERY_DESIGN)
def test_every_variant_builds_with_its_ledger(task: str, full: bool) -> None:
    design = get_design(task, full=full)
    problem = get_task(design.task, **design.task_options)
    for variant in design.variants:
        torch.manual_seed(0)
        try:
            model = problem.build(variant)
        except FileNotFoundError as missing:  # the columns of a table are known from its file alone
            assert design.task in ("tables", "pooled-sites")
            pytest.skip(str(missing))
        assert sum(parameter.numel() for parameter in model.parameters()) > 0
        ledger = problem.ledger(variant)
        assert ledger.effective == ledger.layers or ledger.effective.is_subgroup(ledger.layers)
        assert ledger.reasons


@pytest.mark.parametrize(("task", "full"), EVERY_DESIGN)
@pytest.mark.parametrize("command", ["study", "train"])
def test_printed_settings_are_those_of_the_design(capsys, task: str, full: bool, command: str) -> None:
    words = [command, task, "--print_config", *(["--full"] if full else [])]
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert not stopped.value.code
    printed = yaml.safe_load(capsys.readouterr().out)
    design = get_design(task, full=full)
    expected = dict(vars(design.train))
    assert printed["train"] == expected
    if command == "train":
        built = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(design.variants[0].model).items()}
        assert printed.get("model", {}) == built


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_settings_in_studies_are_accepted_and_have_their_own_directory(capsys, path: Path) -> None:
    """``TASK-WHAT.yaml``, which names its task and an ``out`` of its own, not that of the study it varies."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(["study", "--config", str(path), "--print_config"])
    assert not stopped.value.code
    printed, given = yaml.safe_load(capsys.readouterr().out), yaml.safe_load(path.read_text(encoding="utf-8"))
    given["train"] = {**printed["train"], **given.get("train", {})}  # the rest is the design's
    assert {name: printed[name] for name in given} == given
    assert path.stem.startswith(f"{given['task']}-")
    assert given["out"] == f"runs/{path.stem}"


def test_a_wrong_setting_is_not_accepted(tmp_path: Path, capsys) -> None:
    (tmp_path / "study.yaml").write_text("seeeds: [0, 1]\n")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["study", "nbody", "--config", str(tmp_path / "study.yaml"), "--print_config"])
    assert stopped.value.code == 2
    assert "seeeds" in capsys.readouterr().err


def test_the_check_of_knobs_sees_two_at_once() -> None:
    from dataclasses import replace

    design = get_design("nbody")
    first, second = design.variants[:2]
    twice = replace(second, model=replace(second.model, symmetry="T(3)"), neighbor=first.name)
    assert differing_fields(replace(design, variants=(first, twice)))[second.name] == {"space", "symmetry"}


def test_every_default_of_the_network_is_that_of_its_config() -> None:
    """`RapidashConfig` and the constructor say the same, or a study would train another network than a script."""
    from rapidash.models import RapidashConfig

    network = Rapidash(in_scalars=1)
    assert network.config == RapidashConfig(ratios=())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": "8"}, "channels must be .*, got '8'"),
        ({"channels": (8, 2.5)}, r"channels must be .*, got \(8, 2.5\)"),
        ({"num_layers": 2.5}, "num_layers must be .*, got 2.5"),
        ({"layer_scale": "a"}, "layer_scale must be a number or null, got 'a'"),
        ({"symmetry": 3}, "symmetry must be text, got 3"),
        ({"ratios": "x"}, "ratios must be .*, got 'x'"),
        ({"skip_connections": 1}, "skip_connections must be true or false, got 1"),
    ],
    ids=str,
)
def test_values_of_another_type_are_named(values: dict[str, object], message: str) -> None:
    from rapidash.models import EGNNConfig, RapidashConfig

    with pytest.raises(ValueError, match=message):
        RapidashConfig(**values)
    if set(values) <= {"num_layers"}:
        with pytest.raises(ValueError, match=message.replace(".*", "a whole number")):
            EGNNConfig(**values)
    assert RapidashConfig(channels=(8, 16), ratios=(0.5,), layer_scale=1).channels == (8, 16)


def test_numbers_of_numpy_are_numbers() -> None:
    import numpy as np

    from rapidash._plain import to_plain

    values = {"num_layers": np.int64(2), "layer_scale": np.float32(0.5), "channels": (np.int32(4), 8)}
    plain = to_plain(Rapidash(in_scalars=1, **values).config)
    assert {name: plain[name] for name in values} == {"num_layers": [2, 2], "layer_scale": 0.5, "channels": [4, 8]}
