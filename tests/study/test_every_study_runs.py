"""Every study that ships runs from its first run to its published table, shortened: for `make nightly`."""

from dataclasses import replace
from pathlib import Path

import pytest

from rapidash.datasets import DataError
from rapidash.report import publish, write_report
from rapidash.study import Pretrained, get_design, run_study
from tests.test_configs import SHIPPED

SHORT = {"steps": 4, "warmup_steps": 0, "eval_every": 4, "checkpoint_every": 4}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shortened_study_runs_to_its_table(name: str, tmp_path: Path) -> None:
    """All variants at the first level, one seed, four steps; all that is measured is measured."""
    design = get_design(name, full=False)
    inits = {key: replace(init, train=replace(init.train, **SHORT)) if isinstance(init, Pretrained) else init
             for key, init in design.inits.items()}  # fmt: skip
    short = replace(
        design,
        seeds=design.seeds[:1],
        fractions=design.fractions[-1:],
        factors={factor: values[:1] for factor, values in design.factors.items()},
        train=replace(design.train, **SHORT),
        train_overrides={
            variant: {knob: value for knob, value in knobs.items() if knob not in SHORT}
            for variant, knobs in design.train_overrides.items()
        },
        equal="steps",
        inits=inits,
    )
    try:
        records = run_study(short, tmp_path / "study", workers=1, progress=False)
    except (FileNotFoundError, DataError) as error:
        pytest.skip(f"no data: {error}")
    failed = [record["error"] for record in records if record["status"] != "done"]
    assert not failed
    assert len(records) == len(short.runs())
    write_report(tmp_path / "study")
    table, figure = publish(tmp_path / "study", tmp_path / "it_table.rst", command=f"rapidash study {name}")
    assert figure.is_file()
    text = table.read_text(encoding="utf-8")
    assert f":Command: ``rapidash study {name}``" in text
    assert all(variant.name in text for variant in short.variants)
