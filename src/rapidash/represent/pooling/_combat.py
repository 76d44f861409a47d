"""ComBat: location and scale of every column at every site, shrunk towards those of the other columns."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_TOLERANCE, _MOST_ROUNDS = 1e-8, 1000


class SiteEffects(NamedTuple):
    """The shifts of a site in standardized columns, and the factors of their variance, (F,) each."""

    shift: Float[Tensor, "S F"]
    variance: Float[Tensor, "S F"]


class ComBat(nn.Module):
    r"""Removes location and scale of each site from columns and keeps what covariates explain.

    Of :math:`x_{if} = \alpha_f + c_i \beta_f + \sigma_f (\gamma_{sf} + \sqrt{\delta_{sf}}\, \epsilon_{if})` it returns
    :math:`\alpha_f + c_i \beta_f + \sigma_f (\tilde x_{if} - \gamma^*_{sf}) / \sqrt{\delta^*_{sf}}`, with the
    standardized column :math:`\tilde x` and empirical Bayes estimates over the columns of a site (`shrunk_effects`).
    Rows of a site that it was not fitted to are returned as they came: nothing is known of it. Columns without residual
    variance are left alone and take no part; of one that does not vary at a site, only the shift is removed.

    Args:
        num_columns, num_sites, num_covariates: F, S and K.
    Source: Johnson, Li, Rabinovic, Biostatistics 2007; Fortin et al., NeuroImage 2018.
    """

    intercept: Tensor
    slope: Tensor
    scale: Tensor
    shift: Tensor
    variance: Tensor
    is_known: Tensor

    def __init__(self, num_columns: int, num_sites: int, num_covariates: int) -> None:
        super().__init__()
        self.register_buffer("intercept", torch.zeros(num_columns))
        self.register_buffer("slope", torch.zeros(num_covariates, num_columns))
        self.register_buffer("scale", torch.ones(num_columns))
        self.register_buffer("shift", torch.zeros(num_sites, num_columns))
        self.register_buffer("variance", torch.ones(num_sites, num_columns))
        self.register_buffer("is_known", torch.zeros(num_sites, dtype=torch.bool))

    def fit(
        self,
        x: Float[Tensor, "B F"],
        site: Int[Tensor, " B"],
        covariate: Float[Tensor, " B *K"],
        *,
        shrink: bool = True,
    ) -> "ComBat":
        """Estimate everything from rows; in float64.

        Args:
            x, site, covariate: the rows.
            shrink: empirical Bayes; False takes mean and variance of each site and column as they are.
        Raises: ValueError for a single site, fewer than two columns that vary, a site with fewer than two rows, or
            covariates that are a function of the site.
        """
        x, c = x.double(), covariate.double().reshape(len(x), -1)
        known, place, counts = site.unique(return_inverse=True, return_counts=True)
        if len(known) < 2 or x.shape[1] < 2 or int(counts.min()) < 2:
            raise ValueError(
                "ComBat needs at least two columns, and two sites of at least two rows, got "
                f"{x.shape[1]} columns and sites of {counts.tolist()} rows"
            )
        is_member = torch.nn.functional.one_hot(place).double()
        design = torch.cat([is_member, c], dim=1)
        if int(torch.linalg.matrix_rank(design)) < design.shape[1]:
            raise ValueError(
                "the covariates are a function of the site: their effect cannot be told from the site's. Leave out "
                "the covariate, or the sites where it does not vary"
            )
        found = torch.linalg.lstsq(design, x, driver="gels").solution  # gelsy, the default, is not bit-identical twice
        of_site, slope = found[: len(known)], found[len(known) :]
        intercept = (counts / len(x)).double() @ of_site
        scale = (x - design @ found).square().mean(dim=0).sqrt()
        varies = scale > 1e-12 * x.abs().amax(dim=0)
        if int(varies.sum()) < 2:
            raise ValueError(
                f"ComBat compares columns with one another: {int(varies.sum())} of {len(varies)} vary beyond what site "
                "and covariates say, at least two must"
            )
        self.scale.copy_(scale.where(varies, torch.zeros_like(scale)))
        standard = ((x - intercept - c @ slope) / scale)[:, varies]
        for number, row in enumerate(known.tolist()):
            rows = standard[place == number]
            effects = shrunk_effects(rows) if shrink else SiteEffects(rows.mean(dim=0), rows.var(dim=0))
            self.shift[row, varies] = effects.shift.to(self.shift)
            self.variance[row, varies] = effects.variance.where(effects.variance > 0, 1.0).to(self.variance)
        self.is_known[known] = True
        self.intercept.copy_(intercept)
        self.slope.copy_(slope)
        return self

    def forward(
        self, x: Float[Tensor, "B F"], site: Int[Tensor, " B"], covariate: Float[Tensor, " B *K"]
    ) -> Float[Tensor, "B F"]:
        """The rows without the effects of their sites."""
        expected = self.intercept + covariate.reshape(len(x), -1) @ self.slope
        standard = (x - expected - self.scale * self.shift[site]) / self.variance[site].sqrt()
        return torch.where(self.is_known[site, None] & (self.scale > 0), expected + standard, x)


def shrunk_effects(rows: Float[Tensor, "N F"]) -> SiteEffects:
    r"""Empirical Bayes estimates of the shifts and variances of the standardized rows of one site, (F,) each.

    The shifts have a normal prior over columns, the variances an inverse gamma prior, both fitted by moments. They
    solve :math:`\gamma^* = (n t^2 \hat\gamma + \delta^* \bar\gamma) / (n t^2 + \delta^*)` and
    :math:`\delta^* = (b + \frac12 \sum_i (\tilde x_i - \gamma^*)^2) / (n/2 + a - 1)`, found by turns.

    Args:
        rows: standardized columns of one site, at least two rows.
    """
    shift, variance, n = rows.mean(dim=0), rows.var(dim=0), len(rows)
    mean, spread = shift.mean(), shift.var()
    center, width = variance.mean(), variance.var()
    if not width > 0:  # all columns alike: the prior is a point
        return SiteEffects((n * spread * shift + center * mean) / (n * spread + center), variance)
    a = 2 + center.square() / width
    b = center + center**3 / width
    gamma, delta = shift, variance
    for _ in range(_MOST_ROUNDS):
        new_gamma = (n * spread * shift + delta * mean) / (n * spread + delta)
        new_delta = (b + (rows - new_gamma).square().sum(dim=0) / 2) / (n / 2 + a - 1)
        change = max(float((new_gamma - gamma).abs().max()), float((new_delta - delta).abs().max()))
        gamma, delta = new_gamma, new_delta
        if change < _TOLERANCE:
            break
    return SiteEffects(gamma, delta)
