"""The report on a representation of several sites: what it tells of labels, of the covariate, and of the site."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.measure import Report
from rapidash.represent.pooling._discrepancy import covariate_bins, maximum_mean_discrepancy
from rapidash.represent.pooling._probes import explained_share, linear_answer, probe

ACCURACY = "accuracy"
ADVERSARY = "site accuracy"
ADVERSARY_GIVEN_C = "site accuracy with the covariate"
ADVERSARY_C_ONLY = "site accuracy of the covariate alone"
LEAK = "leak of the site given the covariate"
COVARIATE = "R2 of the covariate, linear"
COVARIATE_ANYHOW = "R2 of the covariate, perceptron"
DISCREPANCY = "100 MMD of sites"
CONDITIONAL = "100 MMD of sites, given the covariate"
FIGURES = (
    ACCURACY,
    ADVERSARY,
    ADVERSARY_GIVEN_C,
    ADVERSARY_C_ONLY,
    LEAK,
    COVARIATE,
    COVARIATE_ANYHOW,
    DISCREPANCY,
    CONDITIONAL,
)
BINS = 4  # of the covariate, in the conditional discrepancy
_MOST_ROWS = 1000  # of a discrepancy


class SiteRows(NamedTuple):
    """Rows with their representations."""

    representation: Float[Tensor, "B n"]
    label: Int[Tensor, " B"]
    site: Int[Tensor, " B"]
    covariate: Float[Tensor, " B *K"]


def pooling_report(fitted: SiteRows, held: SiteRows, *, accuracy: float | None = None, seed: int = 0) -> Report:
    """The figures of `FIGURES` in one row: probes learn from ``fitted`` rows and answer for ``held`` ones.

    The accuracy is that of a linear probe of labels, unless it is given. The site is guessed by perceptrons of three
    hidden layers (`probe`) from the representation, from representation and covariate, and from the covariate alone;
    the leak is the second less the third: it is 0 for a representation that is independent of the site given the
    covariate, however much the covariates of sites differ. (A probe is noisy: it can be a little below 0.) How much is
    left of the covariate is R^2 of a linear map and of a perceptron: a discrepancy that forgets what goes with the site
    takes the first away sooner than the second. The discrepancies are `maximum_mean_discrepancy` on at most 1,000 held
    rows, mean over pairs of sites, with the median distance of rows as bandwidth, the second within 4 bins of the
    covariate.

    Args:
        fitted, held: rows of the same sites; those of ``held`` were not trained on.
        accuracy: of the model's own classifier on ``held``.
        seed: of the probes.
    Raises: ValueError for fewer than two sites, sites of ``held`` that ``fitted`` lacks, or no rows.
    """
    known = fitted.site.unique()
    if min(len(fitted.site), len(held.site)) == 0 or len(known) < 2:
        raise ValueError(f"the report needs rows of at least two sites, got sites {known.tolist()}")
    if missing := set(held.site.unique().tolist()) - set(known.tolist()):
        raise ValueError(f"sites {sorted(missing)} are not among the fitted rows: nobody could guess them")
    c, asked = (rows.covariate.reshape(len(rows.site), -1).double() for rows in (fitted, held))
    mean, deviation = c.mean(dim=0), c.std(dim=0, correction=0).clamp(min=1e-12)
    c, asked = (c - mean) / deviation, (asked - mean) / deviation
    z, new = fitted.representation.double(), held.representation.double()
    site, place = torch.searchsorted(known, fitted.site), torch.searchsorted(known, held.site)

    def guessed(name: str, inputs: Tensor, new: Tensor) -> float:
        found = probe(inputs, site, new, "class", generator=seeded(seed, "probe", name))
        return float((found.argmax(dim=1) == place).double().mean())

    if accuracy is None:
        found = probe(z, fitted.label, new, "class", num_layers=0, generator=seeded(seed, "probe", ACCURACY))
        accuracy = float((found.argmax(dim=1) == held.label).double().mean())
    of_c = guessed(ADVERSARY_C_ONLY, c, asked)
    given = guessed(ADVERSARY_GIVEN_C, torch.cat([z, c], dim=1), torch.cat([new, asked], dim=1))
    anyhow = probe(z, c, new, "number", generator=seeded(seed, "probe", COVARIATE_ANYHOW))
    row: dict[str, Any] = {
        ACCURACY: accuracy,
        ADVERSARY: guessed(ADVERSARY, z, new),
        ADVERSARY_GIVEN_C: given,
        ADVERSARY_C_ONLY: of_c,
        LEAK: given - of_c,
        COVARIATE: explained_share(asked, linear_answer(z, c, new)),
        COVARIATE_ANYHOW: explained_share(asked, anyhow.double()),
    }
    row |= _discrepancies(held, seeded(seed, "discrepancy"))
    return Report(
        "representation of several sites", (row,), {"rows": len(held.site), "sites": len(known), "seed": seed}
    )


def _discrepancies(rows: SiteRows, generator: torch.Generator) -> dict[str, float]:
    kept = torch.randperm(len(rows.site), generator=generator)[:_MOST_ROWS]
    z, site = rows.representation[kept].double(), rows.site[kept]
    num_sites = len(site.unique())
    pairs = max(1, num_sites * (num_sites - 1) // 2)
    bandwidth = float(torch.pdist(z).median()) if len(z) > 1 else math.nan
    bandwidth = bandwidth if bandwidth > 0 else 1.0  # all rows alike: any will do
    bins = covariate_bins(rows.covariate[kept], BINS)
    return {
        DISCREPANCY: 100 * float(maximum_mean_discrepancy(z, site, bandwidth=bandwidth)) / pairs,
        CONDITIONAL: 100 * float(maximum_mean_discrepancy(z, site, within=bins, bandwidth=bandwidth)) / pairs,
    }
