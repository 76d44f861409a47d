"""Real tables: the packaged classifier against those of scikit-learn, on rows that none of them has seen.

``python -m rapidash.symmetrize.tabular.evaluate --data FOLDER`` prints the error rate of every classifier on every
table of ``tabular_multiclass.npz``, their means, and who wins where. A scikit-learn estimator is fitted once and has no
steps: it is no network of a training run, so these figures come from a command of their own and not from a study.
"""

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rapidash._files import atomic_write
from rapidash.datasets import Table, tabular_dataset

TABLES = (
    "letter",
    "spectrometer",
    "abalone",
    "audiology",
    "primary_tumor",
    "soybean",
    "arrhythmia",
    "vowel",
    "optdigits",
    "pendigits",
    "ecoli",
    "segment",
    "zoo",
    "dermatology",
    "glass",
    "page_blocks",
    "anneal",
    "vehicle",
    "lymph",
    "waveform5000",
    "wine",
)  # the first eight have more than ten classes
OURS, MAJORITY, NEIGHBOR, BOOSTING = "EquiTabPFN", "majority", "1-nearest neighbor", "boosting"
Rows = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Result:
    """Error rates in per cent of every classifier on one table, and the seconds of one core for fit and prediction.

    Args:
        table: its name.
        num_classes, num_train, num_test: of it.
        errors, seconds: by classifier.
    """

    table: str
    num_classes: int
    num_train: int
    num_test: int
    errors: Mapping[str, float]
    seconds: Mapping[str, float]


def encoded(table: Table) -> Rows:
    """The columns that every classifier is given: numbers as they are, a column for each category, NaN where missing.

    Categorical columns of two values are one column.
    """
    x, observed = table.tensors["x"].double().numpy(), table.tensors["observed"].numpy()
    columns: list[Rows] = []
    for place, column in enumerate(table.columns):
        values, there = x[:, place], observed[:, place]
        parts = [values] if len(column.categories) <= 2 else [(values == c).astype(float) for c in column.categories]
        columns += [np.where(there, part, np.nan) for part in parts]
    return np.stack(columns, axis=1)


def classifiers(seed: int = 0) -> dict[str, Callable[[], Any]]:
    """The classifiers by name, fresh ones, with scikit-learn's settings but for what is written here.

    All but boosting and ours see missing values as the mean of their column; neighbors and regression see columns of
    mean 0 and deviation 1; boosting sees the columns that vary, as it fails at others in scikit-learn 1.9.
    Raises: ImportError where scikit-learn is not installed.
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from rapidash.symmetrize.tabular._classifier import EquiTabPFNClassifier  # names what to install

    def filled(*steps: Any) -> Any:
        return make_pipeline(SimpleImputer(keep_empty_features=True), *steps)

    return {
        OURS: lambda: EquiTabPFNClassifier(dtype="float32", random_state=seed),
        MAJORITY: DummyClassifier,
        NEIGHBOR: lambda: filled(StandardScaler(), KNeighborsClassifier(1)),
        "logistic regression": lambda: filled(StandardScaler(), LogisticRegression(max_iter=1000)),
        "random forest": lambda: filled(RandomForestClassifier(random_state=seed)),
        BOOSTING: lambda: make_pipeline(VarianceThreshold(), HistGradientBoostingClassifier(random_state=seed)),
    }


def compare(make: Callable[[], Any], train: tuple[Rows, Labels], test: tuple[Rows, Labels]) -> tuple[float, float]:
    """Error rate in per cent on the test rows, and seconds of one core; a class may be missing from training."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a regression that has not converged in 1000 steps
        said = make().fit(*train).predict(test[0])
    return 100 * float(np.mean(said != test[1])), time.process_time() - started


def results(
    tables: Sequence[str],
    made: Mapping[str, Callable[[], Any]],
    *,
    data_dir: Path | str | None = None,
    test_fold: int = 0,
    on_validation: bool = False,
    records: Path | None = None,
) -> Iterator[Result]:
    """One table after the other.

    Args:
        tables: names.
        made: classifiers.
        data_dir: folder of ``tabular_multiclass.npz``.
        test_fold: the fifth of the rows that is the test; all others train.
        on_validation: leave the test rows out: the validation fold is predicted from the three that are left, to choose
            by.
        records: a file of errors and seconds by table and classifier, of these folds: what it has is not computed
            again, and what is computed is added to it at once.
    """
    kept: dict[str, dict[str, tuple[float, float]]] = {}
    if records is not None and records.exists():
        kept = json.loads(records.read_text(encoding="utf-8"))
    for name in tables:
        parts = [tabular_dataset(name, part, data_dir=data_dir, test_fold=test_fold) for part in ("train", "val")]
        test = parts.pop() if on_validation else tabular_dataset(name, "test", data_dir=data_dir, test_fold=test_fold)
        x = np.concatenate([encoded(part) for part in parts])
        y = np.concatenate([part.tensors["label"].numpy() for part in parts])
        held = kept.setdefault(name, {})
        for classifier, make in made.items():
            if classifier not in held:
                held[classifier] = compare(make, (x, y), (encoded(test), test.tensors["label"].numpy()))
                if records is not None:
                    atomic_write(records, json.dumps(kept, indent=1) + "\n")
        errors, seconds = ({classifier: held[classifier][place] for classifier in made} for place in (0, 1))
        yield Result(name, len(test.names["label"]), len(x), len(test), errors, seconds)


def mean_difference(found: Sequence[Result], name: str, other: str) -> tuple[float, float]:
    """Mean over tables of the error of one classifier minus another's, and half the width of its 95 % interval."""
    differences = [result.errors[name] - result.errors[other] for result in found]
    if len(differences) < 2:
        return fmean(differences), math.nan
    spread = stdev(differences) / math.sqrt(len(differences))
    return fmean(differences), spread * float(stdtrit(len(differences) - 1, 0.975))


def page(found: Sequence[Result]) -> list[str]:
    """The table of errors, means and comparisons, as lines of text."""
    names = list(found[0].errors)
    widths = [max(7, len(name)) for name in names]
    lines = [
        f"{'table':<14}{'classes':>8}{'train':>7}{'test':>6}  " + "  ".join(f"{n:>{w}}" for n, w in zip(names, widths))
    ]
    for result in found:
        row = "  ".join(f"{result.errors[name]:>{width}.1f}" for name, width in zip(names, widths))
        lines.append(f"{result.table:<14}{result.num_classes:>8}{result.num_train:>7}{result.num_test:>6}  {row}")
    groups = {"mean of all": found, "over 10 classes": [r for r in found if r.num_classes > 10]}
    for title, part in groups.items():
        if part:
            row = "  ".join(f"{fmean(r.errors[n] for r in part):>{w}.1f}" for n, w in zip(names, widths))
            lines.append(f"{title:<14}{'':>8}{'':>7}{'':>6}  {row}")
    seconds = "  ".join(f"{sum(r.seconds[n] for r in found):>{w}.0f}" for n, w in zip(names, widths))
    lines += [f"{'seconds':<14}{'':>8}{'':>7}{'':>6}  {seconds}", ""]
    lines.append("error rates in per cent on the test rows")
    for other in names:
        if OURS in names and other != OURS:
            mean, half = mean_difference(found, OURS, other)
            wins = [r.table for r in found if r.errors[OURS] < r.errors[other]]
            losses = [r.table for r in found if r.errors[OURS] > r.errors[other]]
            ties = len(found) - len(wins) - len(losses)
            lines.append(
                f"{OURS} minus {other}: {mean:+.1f} ± {half:.1f} points; better on {len(wins)} tables, worse on "
                f"{len(losses)}, equal on {ties}"
            )
            if other == BOOSTING:
                lines += [f"  better: {', '.join(wins) or 'none'}", f"  worse: {', '.join(losses) or 'none'}"]
    return lines


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m rapidash.symmetrize.tabular.evaluate", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of tabular_multiclass.npz; default: RAPIDASH_DATA")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), help="names; default: all")
    parser.add_argument("--only", nargs="*", help="names of classifiers; default: all")
    parser.add_argument("--test-fold", type=int, default=0)
    parser.add_argument("--validation", action="store_true", help="predict the validation fold, to choose by")
    parser.add_argument("--weights", help="folder of a network in place of the packaged one")
    parser.add_argument("--records", type=Path, help="file that keeps what is computed, and is continued")
    options = parser.parse_args()
    made = classifiers()
    if options.weights is not None:
        from rapidash.symmetrize.tabular._classifier import EquiTabPFNClassifier

        made[OURS] = lambda: EquiTabPFNClassifier(weights=options.weights, dtype="float32")
    if options.only:
        made = {name: made[name] for name in options.only}
    found = results(
        options.tables,
        made,
        data_dir=options.data,
        test_fold=options.test_fold,
        on_validation=options.validation,
        records=options.records,
    )
    print("\n".join(page(list(found))))


if __name__ == "__main__":
    main()
