"""The sections of a study of Lie derivatives: which motions its networks follow, and which layer breaks rotations."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from rapidash.report import _format as fmt
from rapidash.report._phrases import moments_text
from rapidash.report._sections import Section
from rapidash.study import Estimate, FigureSummary, StudySummary, VariantSummary
from rapidash.study.measures.lie_derivative import CLOSURE, FINITE, SHARE, SLOPE

_HEAD = ("variant", "translations", "rotations", "scaling", "finite error, rotations")


def derivative_section(summary: StudySummary) -> Section | None:
    """Relative Lie derivatives by kind of motion beside the finite error, and what became of the paper's claims."""
    rows = []
    for variant in summary.variants:
        cells = [_figure(variant, SLOPE, group) for group in ("T(", "SO(", "scaling(")]
        cells.append(_figure(variant, FINITE, "SO("))
        if any(cells):
            shown = (fmt.NOTHING if cell is None else moments_text(cell.moments) for cell in cells)
            rows.append((f"{variant.letter} {variant.name}", *shown))
    if not rows:
        return None
    text = (
        "How fast the output leaves its place while the input starts to move: per unit of length, per radian, and per "
        "unit of the logarithm of the size, in deviations of the output over the data; 0 is exact. The finite error "
        "is the change of the output under random rotations, in the same deviations. Before "
        f"{fmt.ARROW} after training, means over seeds."
    )
    notes = (*_by_orientations(summary), *_by_augmentation(summary), *_finite_over_slope(summary))
    return Section("Lie derivatives", text, _HEAD, rows, notes)


def layer_section(summary: StudySummary) -> Section | None:
    """The signed share of every layer in the Lie derivative under rotations, after training."""
    shares = {
        variant.letter: {f.name.removeprefix(SHARE): f.moments["after"].mean for f in _own(variant) if _is_share(f)}
        for variant in summary.variants
    }
    shown = [variant for variant in summary.variants if shares[variant.letter]]
    if not shown:
        return None
    found = [shares[variant.letter] for variant in shown]
    layers = sorted({name for one in found for name in one}, key=_place)
    rows = [(name, *(_percent(one.get(name)) for one in found)) for name in layers]
    closure = [_figure(variant, CLOSURE, "SO(") for variant in shown]
    rows.append(
        (CLOSURE, *(fmt.NOTHING if c is None else fmt.relative_error(c.moments["after"].mean) for c in closure))
    )
    largest: dict[str, list[str]] = {}
    for variant, one in zip(shown, found):
        largest.setdefault(max(one, key=lambda name: one[name]), []).append(variant.letter)
    note = "; ".join(f"{name} in {fmt.listed(letters)}" for name, letters in largest.items())
    text = (
        "The Lie derivative of a network under rotations is a sum over its layers. Signed shares, which with that of "
        "the remainder (what the inputs break before the first layer) add up to 100 %; the last line is the size of "
        "the remainder over that of the total. After training, means over seeds, kernels evaluated exactly, hidden "
        "features declared as polynomials on the sphere: another declaration gives other shares."
    )
    head = ("layer", *(variant.letter for variant in shown))
    return Section("Which layer breaks rotations", text, head, rows, (f"Largest share: {note}.",))


def _is_share(figure: FigureSummary) -> bool:
    return figure.name.startswith(SHARE)


def _own(variant: VariantSummary) -> list[FigureSummary]:
    """The figures of the view by which a variant is judged, after training."""
    return [figure for figure in variant.figures if not figure.view and "after" in figure.moments]


def _figure(variant: VariantSummary, name: str, group: str) -> FigureSummary | None:
    return next((f for f in _own(variant) if f.name == name and f.group.startswith(group)), None)


def _turning(variant: VariantSummary) -> Estimate | None:
    """The Lie derivative under rotations after training."""
    figure = _figure(variant, SLOPE, "SO(")
    return None if figure is None else figure.moments["after"]


def _model(variant: VariantSummary) -> dict[str, Any]:
    """The settings of its network, a copy."""
    found = variant.runs[0].get("config", "variant", "model") if variant.runs else None
    return dict(found or {})


def _methods(variant: VariantSummary) -> list[str]:
    return [method["kind"] for run in variant.runs[:1] for method in run.get("config", "variant", "methods") or []]


def _by_orientations(summary: StudySummary) -> Iterator[str]:
    """A sentence on the violation against the number of orientations, among variants that differ in nothing else."""
    alike: dict[str, dict[int, Estimate]] = {}
    for variant in summary.variants:
        found, model = _turning(variant), _model(variant)
        size = model.pop("num_orientations", None)
        if found is not None and "x" in str(model.get("space")) and isinstance(size, int) and not _methods(variant):
            alike.setdefault(repr(sorted(model.items())), {})[size] = found
    grids = max(alike.values(), key=len, default={})
    if len(grids) < 2:
        return
    sizes = sorted(grids)
    lower = [f"with {last} than with {first} in {_lower(grids[last], grids[first])}" for first, last in pairwise(sizes)]
    values = fmt.listed([fmt.number(grids[size].mean) for size in sizes])
    yield (
        f"With {fmt.listed([str(size) for size in sizes])} orientations the Lie derivative under rotations is {values} "
        f"after training: lower {fmt.listed(lower)}."
    )


def _by_augmentation(summary: StudySummary) -> Iterator[str]:
    """Sentences on the effect of rotated training samples on the violation."""
    known = {variant.name: variant for variant in summary.variants}
    for variant in summary.variants:
        plain = known.get(variant.neighbor)
        if plain is None or "augment" not in _methods(variant) or "augment" in _methods(plain):
            continue
        with_it, without = _turning(variant), _turning(plain)
        if with_it is not None and without is not None:
            yield (
                f"Rotated training samples take the Lie derivative under rotations of {plain.name} from "
                f"{fmt.number(without.mean)} to {fmt.number(with_it.mean)}; it is lower in {_lower(with_it, without)}."
            )


def _finite_over_slope(summary: StudySummary) -> Iterator[str]:
    ratios = {}
    for variant in summary.variants:
        slope, finite = _turning(variant), _figure(variant, FINITE, "SO(")
        if slope is not None and finite is not None and slope.mean > 1e-8:
            ratios[variant.letter] = finite.moments["after"].mean / slope.mean
    if len(ratios) > 1:
        least, most = min(ratios, key=lambda k: ratios[k]), max(ratios, key=lambda k: ratios[k])
        yield (
            f"Finite error over Lie derivative: {fmt.number(ratios[least], 2)} ({least}) to "
            f"{fmt.number(ratios[most], 2)} ({most}). The slope at the start is not the difference at the end."
        )


def _lower(first: Estimate, second: Estimate) -> str:
    """In how many of the common seeds the first is lower."""
    seeds = first.by_seed.keys() & second.by_seed.keys()
    return f"{sum(first.by_seed[s] < second.by_seed[s] for s in seeds)} of {fmt.plural(len(seeds), 'seed')}"


def _place(name: str) -> tuple[int, str]:
    """Layers in the order of the data, the remainder last."""
    order = ("embedding", "pair_attributes", "spatial_basis", "spherical_basis", "blocks", "readout", "remainder")
    return next((i for i, part in enumerate(order) if part in name), len(order) - 2), name


def _percent(value: float | None) -> str:
    if value is None:
        return fmt.NOTHING
    rounded = round(100 * value)
    sign = "+" if rounded > 0 else fmt.MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded)}{fmt.TIE}%"
