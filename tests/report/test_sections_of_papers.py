"""What the sections and measures of paper studies count, and what they must not: intervals, ties, exact networks."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.data import moved
from rapidash.groups import SO
from rapidash.measure import Action, correlation_study, invariance_scores
from rapidash.methods import Subject, Variant
from rapidash.models import RapidashConfig
from rapidash.registry import MEASURES
from rapidash.report._invariance_section import invariance_section
from rapidash.report._lie_sections import derivative_section
from rapidash.report._methods_text import methods_text
from rapidash.study import study_of, summarize
from rapidash.study.measures.effective_invariance import EFFECTIVE, MEASURED
from rapidash.study.measures.lie_derivative import FINITE, SLOPE
from rapidash.tasks import get_task
from tests.report._studies import small_record


def record(name: str, seed: int, figures: Mapping[tuple[str, str], float], **config: Any) -> dict[str, Any]:
    """A record with figures after training, by name and group."""
    model = {"kind": "rapidash", "space": "R3xS2", "num_orientations": config.get("size", 8)}
    return small_record(
        name,
        seed,
        config.get("error", 10.0),
        key=f"{name}{seed}",
        metric="error rate",
        unit="%",
        test_error_rotated=config.get("rotated", 20.0),
        variant={"model": model, "methods": []},
        measurements=[
            {"name": n, "value": v, "unit": "1", "group": g, "moment": "after", "view": "", "better": ""}
            for (n, g), v in figures.items()
        ],
    )


def test_intervals_of_correlations_draw_whole_variants() -> None:
    """Two seeds of a variant are no two models: the interval is that of a bootstrap over variants."""
    records, x, y, names = [], [], [], []
    noise = (0.3, 0.9, 0.2, 0.8, 0.5, 0.1)
    for place in range(6):
        for seed in (0, 1):
            value, accuracy = 0.2 + 0.1 * place + 0.02 * seed, 20 + 40 * noise[place] + 2.0 * place + seed
            figures = dict.fromkeys(((name, "SO(3)") for name in MEASURED), noise[place] + 0.01 * seed)
            figures[EFFECTIVE, "SO(3)"] = value
            records.append(record(f"model {place}", seed, figures, error=10.0 + place + seed, rotated=100 - accuracy))
            x.append(value)
            y.append(accuracy)
            names.append(f"model {place}")
    section = invariance_section(summarize(study_of(records)))
    assert section is not None
    cell = dict(zip(section.head, section.rows[0], strict=True))["Pearson r"]
    found, alone = (correlation_study(x, y, clusters=clusters) for clusters in (names, None))
    texts = [f"{c.pearson:.2f} [{c.pearson_interval[0]:.2f}, {c.pearson_interval[1]:.2f}]" for c in (found, alone)]
    assert texts[0] != texts[1]
    assert cell.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ") == texts[0]


def slopes(slope: float, finite: float) -> dict[tuple[str, str], float]:
    return {(SLOPE, "SO(3)"): slope, (FINITE, "SO(3)"): finite}


def test_a_tie_is_not_lower() -> None:
    """With seed 0 both have the same Lie derivative: 12 orientations are lower with one of two seeds."""
    records = [
        record(f"of {size}", seed, slopes(value, 0.5), size=size)
        for size, values in ((8, (0.5, 0.5)), (12, (0.5, 0.25)))
        for seed, value in enumerate(values)
    ]
    section = derivative_section(summarize(study_of(records)))
    assert section is not None
    assert "lower with 12 than with 8 in 1 of 2 seeds" in " ".join(section.notes)


def test_an_exact_network_has_no_ratio_of_errors() -> None:
    """Rounding over rounding says nothing, and zero over zero is no number."""
    values = {"a": (0.5, 0.25), "b": (0.25, 0.5), "exact": (1e-12, 1e-9), "zero": (0.0, 0.0)}
    records = [record(name, seed, slopes(*pair)) for name, pair in values.items() for seed in (0, 1)]
    section = derivative_section(summarize(study_of(records)))
    assert section is not None
    [note] = [note for note in section.notes if note.startswith("Finite error over")]
    assert note.startswith("Finite error over Lie derivative: 0.50 (A) to 2.0 (B).")


class Turned(nn.Module):
    """Logits of two classes: (x, -x) of the first point of each cloud."""

    def forward(self, batch: Any) -> Tensor:
        x = batch.pos[::24, :1]
        return torch.cat([x, -x], dim=1)


def test_each_seed_draws_its_own_elements_on_moved_and_unmoved_data() -> None:
    task = get_task("solids", num_train=10, num_val=12)
    variant = Variant("it", RapidashConfig(channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8, space="R3"))
    data, action, model = task.dataset("val"), Action(SO(3), outputs=task.output), Turned().eval()
    subject = Subject(model, task, data, task.ledger(variant), "after", "full", 3)
    found = {m.name: m.value for m in MEASURES.get("effective-invariance")(subject)}
    for name, source in ((MEASURED[0], moved(data, SO(3), 3)), (MEASURED[1], data)):
        batch = source.batch(torch.arange(12)).to("cpu", torch.float64)
        own, zero = (invariance_scores(model, batch, action, num_elements=4, seed=seed).mean for seed in (3, 0))
        assert found[name] == pytest.approx(own, rel=1e-9)
        assert abs(own - zero) > 1e-3


def test_the_paragraph_says_that_some_variants_have_not_all_seeds() -> None:
    def text(seeds: Mapping[str, tuple[int, ...]]) -> str:
        records = [small_record(name, seed, 1.0 + seed) for name, own in seeds.items() for seed in own]
        return methods_text(summarize(study_of(records)))

    assert "each with 3 seeds (0, 1, 2) or some of these." in text({"A": (0, 1, 2), "B": (0, 2)})
    assert "each with 3 seeds (0, 1, 2)." in text({"A": (0, 1, 2), "B": (0, 1, 2)})
