"""The section of a study of transfer: invariances of features, what later tasks read off them, and their relation."""

from collections.abc import Iterator

from rapidash.measure import correlation_study
from rapidash.report import _format as fmt
from rapidash.report._chart_types import Point, Series, XYChart
from rapidash.report._charts import apart
from rapidash.report._figure_table import Figures, difference_text, figure_table, variants_with
from rapidash.report._phrases import means
from rapidash.report._scale import scale_for
from rapidash.report._sections import Section
from rapidash.represent import (
    APPEARANCE_SIMILARITY,
    CLASS_ACCURACY,
    MOST_FREQUENT,
    PART_ACCURACY,
    PROBES,
    RANK,
    SIZE_R2,
    YAW_R2,
    similarity_under,
)
from rapidash.study import StudySummary

ROTATION_SIMILARITY = similarity_under("rotation")
INVARIANCES = (ROTATION_SIMILARITY, APPEARANCE_SIMILARITY)
_SHORT = {
    ROTATION_SIMILARITY: "similarity, rotation",
    APPEARANCE_SIMILARITY: "similarity, appearance",
    CLASS_ACCURACY: "class (%)",
    YAW_R2: "yaw (R^2)",
    SIZE_R2: "size (R^2)",
    PART_ACCURACY: "same part (%)",
    RANK: "rank",
}
_FEWEST = 4  # variants that a correlation needs, see `correlation_study`
Model = tuple[str, int]  # variant and seed


def transfer_section(summary: StudySummary) -> Section | None:
    """Table, correlations and scatter plots; None for a study that did not measure transfer."""
    known = variants_with(summary, YAW_R2)
    if not known:
        return None
    return Section(
        "Invariance and transfer",
        "Features of encoders that see no label any more. Similarity: mean cosine of whitened features of a cloud and "
        "of the transformed one, 1 for invariant features; rotations of 30 to 180 degrees, and changes of proportions, "
        "jitter and dropped points. Probes are linear, on features of shapes of two other sets: the class, the yaw "
        "(with weights of its own for each class) and the size of models of ModelNet10, and whether two points of a "
        "segmented shape are in one part (50 % by chance). Rank: directions with at least 1e-4 of the variance of the "
        f"largest. {means(summary)}.",
        *figure_table(summary, known, {name: _SHORT[name] for name in (*INVARIANCES, *PROBES, RANK)}),
        [*_correlations(known), *_against_neighbors(summary, known), *_chance(known)],
        tuple(_scatter(summary, known, target) for target in (YAW_R2, CLASS_ACCURACY)),
    )


def _pairs(known: Figures, x: str, y: str) -> tuple[list[Model], list[float], list[float]]:
    """The models that have both figures, and these."""
    models = [
        (name, seed)
        for name, figures in known.items()
        if x in figures and y in figures
        for seed in sorted(figures[x].by_seed.keys() & figures[y].by_seed.keys())
    ]
    xs, ys = ([known[name][figure].by_seed[seed] for name, seed in models] for figure in (x, y))
    return models, xs, ys


def _correlations(known: Figures) -> Iterator[str]:
    """Over all encoders, how each probe goes with each invariance."""
    if len(known) < _FEWEST:
        yield f"{fmt.plural(len(known), 'variant')}: at least {_FEWEST} are needed for a correlation."
        return
    for x in INVARIANCES:
        found = []
        for y in PROBES:
            models, xs, ys = _pairs(known, x, y)
            try:
                one = correlation_study(xs, ys, x_name=x, y_name=y, clusters=[name for name, _ in models])
            except ValueError as error:
                found.append(f"none with {_SHORT[y]}, {error}")
                continue
            interval = f"[{one.spearman_interval[0]:.2f}, {one.spearman_interval[1]:.2f}]"
            found.append(f"{one.spearman:.2f} {interval} with {_SHORT[y]}".replace("-", fmt.MINUS))
        yield f"Rank correlation of {_SHORT[x]}, over {fmt.plural(len(known), 'encoder')}: {'; '.join(found)}."
    yield "Intervals of correlations are 95 % bootstraps over variants, all seeds of a variant together."


def _against_neighbors(summary: StudySummary, known: Figures) -> Iterator[str]:
    """Differences of the probes from the neighbor, paired by seed, where a neighbor was pre-trained too."""
    for name, figures in known.items():
        variant = summary[name]
        other = known.get(variant.neighbor, {})
        changes = {probe: difference_text(figures.get(probe), other.get(probe)) for probe in PROBES}
        if found := [f"{_SHORT[probe]} {change}" for probe, change in changes.items() if change]:
            yield f"{name} less {variant.neighbor}: {', '.join(found)}."


def _chance(known: Figures) -> Iterator[str]:
    shares = [figures[MOST_FREQUENT].mean for figures in known.values() if MOST_FREQUENT in figures]
    if shares:
        yield f"The most frequent class is right for {fmt.number(shares[0])} % of the models."


def _scatter(summary: StudySummary, known: Figures, target: str) -> XYChart:
    """A probe against the similarity under rotation, a mark per encoder."""
    _, xs, ys = _pairs(known, ROTATION_SIMILARITY, target)
    x, y = scale_for(xs, log=False), scale_for(ys, log=False)
    series = []
    for name in known:
        models, at, values = _pairs({name: known[name]}, ROTATION_SIMILARITY, target)
        points = [
            Point(
                x(similarity),
                place := round(100 - y(value), 3),
                place,
                place,
                f"seed {seed}: similarity {similarity:.2f}, {_SHORT[target]} {value:.2f}",
            )
            for (_, seed), similarity, value in zip(models, at, values, strict=True)
        ]
        variant = summary[name]
        series.append(Series(variant.index, variant.letter, variant.name, "", points=tuple(points)))
    return XYChart(
        f"transfer-{_SHORT[target].split()[0]}",
        f"{_SHORT[target]} against invariance to rotations",
        "A mark per encoder and seed.",
        apart([one for one in series if one.points]),
        x,
        y,
        "similarity of whitened features under rotations",
        target,
    )
