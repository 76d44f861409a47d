"""Does effective invariance, which needs no labels, tell which model generalizes to rotated data?

    python benchmarks/effective_invariance.py            # writes docs/effective_invariance.{rst,svg}; some minutes
    python benchmarks/effective_invariance.py --check    # fewer models, asserts the paper's direction, writes nothing

A population of classifiers of eight solids (24 points each), fixed before it is trained: T(3) and E(3) networks on R^3
and E(3) networks on R^3 x S^2, with and without rotated training samples, for several numbers of steps. Correlation
over the models of each label-free measure on rotated test clouds with the accuracy on them (after Deng, Gould, Zheng,
NeurIPS 2022), with intervals.
"""

import argparse
import math
import textwrap
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.groups import SO, Position, Scalar, random_rotation
from rapidash.measure import (
    Action,
    Correlation,
    as_module,
    correlation_study,
    equivariance_error,
    invariance_scores,
    local_equivariance_error,
)
from rapidash.models import Rapidash

DOCS = Path(__file__).parents[1] / "docs"
POINTS, CLASSES, TILT = 24, 8, 0.15


class Setting(NamedTuple):
    """One model of the population."""

    symmetry: str
    space: str
    is_augmented: bool
    steps: int


POPULATION = [
    *(Setting("T(3)", "R3", augmented, steps) for augmented in (False, True) for steps in (60, 150, 400)),
    *(Setting("E(3)", "R3", False, steps) for steps in (30, 60, 150, 400)),
    *(Setting("E(3)", "R3xS2", augmented, steps) for augmented in (False, True) for steps in (60, 150)),
]
QUICK = [setting for setting in POPULATION if setting.space == "R3" and setting.steps in (60, 150)]


def solids(num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on eight kinds of surfaces in a canonical pose with a small tilt (num, POINTS, 3), and the kinds."""
    kind = torch.randint(CLASSES, (num,), generator=generator)
    u, v = torch.rand(2, num, POINTS, generator=generator).unbind()
    angle, height = 2 * math.pi * u, 2 * v - 1
    ring = torch.stack([angle.cos(), angle.sin()], dim=-1)
    normal = torch.randn(num, POINTS, 3, generator=generator)
    sphere = normal / normal.norm(dim=-1, keepdim=True)
    cube = normal.clamp(-1, 1) / normal.clamp(-1, 1).abs().amax(dim=-1, keepdim=True)

    def turned(radius: Tensor, z: Tensor) -> Tensor:
        return torch.cat([radius[..., None] * ring, z[..., None]], dim=-1)

    tube = 2 * math.pi * v
    shapes = torch.stack(
        [
            sphere,
            cube * 0.75,
            cube * torch.tensor([0.3, 0.3, 1.3]),
            cube * torch.tensor([1.1, 1.1, 0.15]),
            turned(0.5 * (1 - height), height),
            turned(torch.full_like(height, 0.55), height),
            turned(0.9 + 0.3 * tube.cos(), 0.3 * tube.sin()),
            sphere * torch.tensor([1.2, 0.7, 0.4]),
        ]
    )
    points = shapes[kind, torch.arange(num)] * (0.9 + 0.2 * torch.rand(num, 1, 1, generator=generator))
    tilt = TILT * torch.randn(num, 3, generator=generator).double()
    small = torch.linalg.matrix_exp(torch.einsum("bk,kij->bij", tilt, SO(3).generators()[:, :3, :3])).float()
    return torch.einsum("bij,bnj->bni", small, points), kind


def classifier(setting: Setting) -> torch.nn.Module:
    """A network from clouds (B, N, 3) to logits (B, 8)."""
    network = Rapidash(
        symmetry=setting.symmetry, space=setting.space, num_orientations=6, grid="platonic", in_scalars=1,
        out_scalars=CLASSES, channels=24, num_layers=2, basis_dim=24, basis_hidden_dim=32, pool="mean", kernel="exact",
    )  # fmt: skip

    def logits(clouds: Tensor) -> Tensor:
        num = len(clouds)
        batch = torch.arange(num).repeat_interleave(clouds.shape[1])
        ones = clouds.new_ones(len(batch), 1)
        return network(clouds.reshape(-1, 3), batch, scalars=ones).scalars

    return as_module(logits, network)


def rotated(clouds: Tensor, generator: torch.Generator) -> Tensor:
    return torch.einsum("bij,bnj->bni", random_rotation(len(clouds), 3, generator=generator).float(), clouds)


def trained(setting: Setting, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    model, rng = classifier(setting), seeded(seed, "train")
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(setting.steps):
        clouds, labels = solids(32, rng)
        loss = torch.nn.functional.cross_entropy(
            model(rotated(clouds, rng) if setting.is_augmented else clouds), labels
        )
        optimizer.param_groups[0]["lr"] = 5e-3 * 0.5 * (1 + math.cos(math.pi * step / setting.steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def measures(model: torch.nn.Module, num: int) -> dict[str, float]:
    """Accuracies, and what can be known without labels, on test clouds."""
    rng = seeded("test")
    clouds, labels = solids(num, rng)
    turned = rotated(clouds, rng)
    action = Action(SO(3), Position(), Scalar())
    with torch.no_grad():
        accuracy = {
            name: float((model(x).argmax(-1) == labels).float().mean())
            for name, x in (("accuracy, rotated", turned), ("accuracy, canonical", clouds))
        }
    scores = invariance_scores(model, turned, action, num_elements=4)
    small = turned[:32]
    return accuracy | {
        "effective invariance": scores.mean,
        "effective invariance, canonical": invariance_scores(model, clouds, action, num_elements=4).mean,
        "consistency": float(scores.consistent.mean()),
        "confidence": float(scores.confidence.mean()),
        "equivariance error": equivariance_error(model, small, action, num_elements=4, normalization="variance").mean,
        "Lie derivative of the softmax": local_equivariance_error(
            model, small, action, output=lambda y: y.softmax(-1)
        ).total(),
    }


def correlations(rows: list[dict[str, float]], target: str) -> dict[str, Correlation]:
    names = [name for name in rows[0] if not name.startswith("accuracy")]
    columns = {name: [row[name] for row in rows] for name in (*names, target)}
    return {name: correlation_study(columns[name], columns[target], x_name=name, y_name=target) for name in names}


def page(settings: list[Setting], rows: list[dict[str, float]], studies: dict[str, Correlation]) -> str:
    title = "Does invariance tell which model generalizes?"
    best = studies["effective invariance"]
    lines = [title, "=" * len(title), "", *_wrapped(INTRODUCTION.format(num=len(rows), r=best.pearson)), ""]
    lines += [
        ".. image:: effective_invariance.svg",
        "   :alt: Accuracy against effective invariance, a mark per model",
        "",
    ]
    table = [("measure on rotated clouds", "Pearson with the accuracy on them", "Spearman")]
    for name, study in studies.items():
        table.append(
            (name, _entry(study.pearson, study.pearson_interval), _entry(study.spearman, study.spearman_interval))
        )
    lines += [".. list-table::", "   :header-rows: 1", "", *_rows(table), "", "The models:", ""]
    header = ("model", "steps", "effective invariance", "accuracy, rotated", "accuracy, canonical")
    models = [header]
    for setting, row in zip(settings, rows):
        label = f"{setting.symmetry} on {setting.space}" + (", augmented" if setting.is_augmented else "")
        models.append((label, str(setting.steps), *(f"{row[name]:.2f}" for name in header[2:])))
    return "\n".join([*lines, ".. list-table::", "   :header-rows: 1", "", *_rows(models)]) + "\n"


INTRODUCTION = (
    "Written by ``python benchmarks/effective_invariance.py``: {num} classifiers of eight kinds of solids, fixed "
    "before training, one seed each. Effective invariance needs no labels; over these models its correlation with"
    " the accuracy on rotated test clouds is r = {r:.2f}. Intervals are 95 %: Fisher's for Pearson, a bootstrap "
    "over models for Spearman. For an exactly invariant model it equals the confidence, so it does not measure "
    "invariance there: consistency and confidence stand beside it."
)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 118)


def _entry(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _rows(table: list[tuple[str, ...]]) -> list[str]:
    return [f"   {'*' if index == 0 else ' '} - {value}" for row in table for index, value in enumerate(row)]


def figure(settings: list[Setting], rows: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "rapidash", "font.size": 9}
    from matplotlib import pyplot

    drawing, axis = pyplot.subplots(figsize=(4.6, 3.4), layout="constrained")
    kinds = sorted({(s.symmetry, s.space, s.is_augmented) for s in settings})
    for index, kind in enumerate(kinds):
        mine = [row for s, row in zip(settings, rows) if (s.symmetry, s.space, s.is_augmented) == kind]
        label = f"{kind[0]} on {kind[1]}" + (", augmented" if kind[2] else "")
        x, y = ([row[name] for row in mine] for name in ("effective invariance", "accuracy, rotated"))
        axis.plot(x, y, "os^Dv"[index % 5], label=label, markersize=6)
    axis.set(xlabel="effective invariance (rotated clouds, no labels)", ylabel="accuracy on rotated clouds")
    axis.grid(color="#e4e7eb")
    axis.legend(frameon=False, fontsize=8)
    drawing.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fewer models; assert a correlation of at least 0.85")
    options = parser.parse_args()
    settings, num = (QUICK, 120) if options.check else (POPULATION, 400)
    rows = []
    for seed, setting in enumerate(settings):
        rows.append(measures(trained(setting, seed), num))
        print(setting, {name: round(value, 3) for name, value in rows[-1].items()}, flush=True)
    studies = correlations(rows, "accuracy, rotated")
    for study in studies.values():
        print(study.report())
    if options.check:
        assert studies["effective invariance"].pearson > 0.85, studies["effective invariance"]
        return
    figure(settings, rows, DOCS / "effective_invariance.svg")
    (DOCS / "effective_invariance.rst").write_text(page(settings, rows, studies), encoding="utf-8")


if __name__ == "__main__":
    main()
