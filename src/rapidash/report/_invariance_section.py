"""The section of a study that measured effective invariance: does it tell, without labels, which model generalizes?"""

from collections.abc import Mapping

from rapidash.measure import Correlation, correlation_study
from rapidash.report import _format as fmt
from rapidash.report._chart_types import Point, Series, XYChart
from rapidash.report._charts import apart
from rapidash.report._scale import scale_for
from rapidash.report._sections import Section
from rapidash.study import StudySummary
from rapidash.study.measures.effective_invariance import CONFIDENCE, CONSISTENCY, DEVIATION, EFFECTIVE, MEASURED

_MOVED, _UNMOVED = "accuracy on moved test data", "accuracy on unmoved test data"
_FEWEST = 4  # variants that a correlation needs, see `correlation_study`
_ROUNDING = 1e-6  # an equivariance error below it is exact invariance
Model = tuple[str, int]  # variant and seed


def invariance_section(summary: StudySummary) -> Section | None:
    """Correlations, over the trained models of a study, of what needs no labels with the accuracy on moved test data.

    None for a study that did not measure it, or whose metric is no error rate.
    """
    columns = _columns(summary)
    models = sorted(set.intersection(*map(set, columns.values()))) if columns else []
    if not models or summary.unit != "%":
        return None
    head = ("measured without labels", "Pearson r", "Spearman", "r with the accuracy on unmoved data")
    rows, failures, first = [], [], None
    variants = len({variant for variant, _ in models})
    if variants < _FEWEST:
        failures.append(f"{fmt.plural(variants, 'variant')}: at least {_FEWEST} are needed for a correlation.")
    for name in MEASURED if variants >= _FEWEST else ():
        try:
            moved, unmoved = (_correlation(columns, models, name, target) for target in (_MOVED, _UNMOVED))
        except ValueError as error:
            failures.append(f"No correlation for {name}: {error}.")
            continue
        first = first or moved
        cells = (
            _entry(moved.pearson, moved.pearson_interval),
            _entry(moved.spearman, moved.spearman_interval),
            _entry(unmoved.pearson, unmoved.pearson_interval),
        )
        rows.append((name, *cells))
    return Section(
        "Does invariance tell which model generalizes?",
        _text(first, models),
        head if rows else (),
        rows,
        (*failures, *_notes(columns, models)),
        (_scatter(summary, columns, models),),
    )


def _columns(summary: StudySummary) -> dict[str, Mapping[Model, float]]:
    """Every figure and both accuracies (%), by variant and seed; empty where one of them was not measured at all."""
    columns: dict[str, dict[Model, float]] = {name: {} for name in (*MEASURED, _MOVED, _UNMOVED)}
    for variant in summary.variants:
        for figure in variant.figures:
            if figure.name in MEASURED and not figure.view and "after" in figure.moments:
                by_seed = figure.moments["after"].by_seed
                columns[figure.name] |= {(variant.name, seed): value for seed, value in by_seed.items()}
        for target, error in ((_MOVED, variant.rotated), (_UNMOVED, variant.test)):
            if error is not None:
                columns[target] |= {(variant.name, seed): 100 - value for seed, value in error.by_seed.items()}
    return {} if any(not column for column in columns.values()) else dict(columns)


def _correlation(
    columns: Mapping[str, Mapping[Model, float]], models: list[Model], name: str, target: str
) -> Correlation:
    x, y = ([columns[column][model] for model in models] for column in (name, target))
    return correlation_study(x, y, x_name=name, y_name=target, clusters=[variant for variant, _ in models])


def _text(found: Correlation | None, models: list[Model]) -> str:
    variants = len({variant for variant, _ in models})
    text = f"{fmt.plural(len(models), 'trained model')} of {fmt.plural(variants, 'variant')}. "
    if found is not None:
        text += (
            f"Effective invariance on moved validation data has r = {found.pearson:.2f} "
            f"[{found.pearson_interval[0]:.2f}, {found.pearson_interval[1]:.2f}] with the accuracy on moved test data. "
        )
    text += (
        "Effective invariance is 0 where the prediction changes with the motion, and else the geometric mean of the "
        "two confidences."
    )
    intervals = " Intervals are 95 % bootstraps over variants, all seeds of a variant together."
    return text if found is None else text + intervals


def _notes(columns: Mapping[str, Mapping[Model, float]], models: list[Model]) -> list[str]:
    """A note on exactly invariant models: for them effective invariance measures confidence, not invariance."""
    exact = [model for model in models if columns[CONSISTENCY][model] == 1 and columns[DEVIATION][model] < _ROUNDING]
    if not exact:
        return []
    worst = max(abs(columns[EFFECTIVE][model] - columns[CONFIDENCE][model]) for model in exact)
    return [
        f"{fmt.plural(len(exact), 'model')} of {len(models)} are exactly invariant: there effective invariance is the "
        f"confidence (they differ by {fmt.power_of_ten(worst)} at most), and says nothing of invariance."
    ]


def _scatter(summary: StudySummary, columns: Mapping[str, Mapping[Model, float]], models: list[Model]) -> XYChart:
    """Accuracy against effective invariance, a mark per model."""
    x = scale_for([columns[EFFECTIVE][model] for model in models], log=False)
    y = scale_for([columns[_MOVED][model] for model in models], log=False)
    series = []
    for variant in summary.variants:
        points = [
            Point(
                x(columns[EFFECTIVE][model]),
                place := round(100 - y(columns[_MOVED][model]), 3),
                place,
                place,
                f"seed {model[1]}: {columns[EFFECTIVE][model]:.2f}, accuracy {columns[_MOVED][model]:.1f} %",
            )
            for model in models
            if model[0] == variant.name
        ]
        series.append(Series(variant.index, variant.letter, variant.name, "", points=tuple(points)))
    return XYChart(
        "invariance",
        "Accuracy against effective invariance",
        "A mark per trained model.",
        apart([one for one in series if one.points]),
        x,
        y,
        "effective invariance on moved validation data, which needs no labels",
        f"{_MOVED} (%)",
    )


def _entry(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} [{interval[0]:.2f},{fmt.TIE}{interval[1]:.2f}]".replace("-", fmt.MINUS)
