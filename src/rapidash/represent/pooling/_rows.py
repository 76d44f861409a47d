"""Rows of several sites: their fields, what is asked of them, and a model of them."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from rapidash.data import Batch, Field
from rapidash.groups import Scalar
from rapidash.represent.pooling._combat import ComBat
from rapidash.represent.pooling._networks import SiteNetwork

SITE_FIELDS: Mapping[str, Field] = {
    name: Field(Scalar(), level="cloud") for name in ("x", "label", "site", "covariate")
}


class PooledModel(nn.Module):
    """A network on batches of rows of several sites: logits (B, K).

    Args:
        network: on the columns.
        num_sites: S, those of the test included.
    """

    only_site: Tensor

    def __init__(self, network: SiteNetwork, num_sites: int) -> None:
        super().__init__()
        if not isinstance(network, SiteNetwork):
            raise ValueError(
                "rows of several sites need a network with a representation, 'site-columns', 'site-encoder' or "
                f"'two-stage-encoder', got {type(network).__name__}"
            )
        self.network, self.num_sites = network, num_sites
        self.correction: ComBat | None = None
        self.register_buffer("only_site", torch.tensor(-1))

    def columns(self, batch: Batch) -> Float[Tensor, "B F"]:
        """The columns of each row, corrected where the model has a correction."""
        x = batch["x"]
        if self.correction is None:
            return x
        return self.correction(x, batch["site"].long(), batch["covariate"])

    def represent(self, batch: Batch) -> Float[Tensor, "B n"]:
        """The representation of each row."""
        return self.network.represent(self.columns(batch))

    def learns_from(self, batch: Batch) -> Bool[Tensor, " B"]:
        """Which rows a model that learns from one site alone may see; of others all."""
        return (batch["site"] == self.only_site) | (self.only_site < 0)

    def forward(self, batch: Batch) -> Float[Tensor, "B K"]:
        """The logits."""
        return self.network(self.columns(batch))


def pooled_model(model: nn.Module) -> PooledModel:
    """The model of sites in a model. Raises: ValueError where there is none."""
    found = next((part for part in model.modules() if isinstance(part, PooledModel)), None)
    if found is None:
        raise ValueError("pooling needs rows of several sites: use the task 'pooled-sites'")
    return found


def check_sites(
    x: Float[Tensor, "B F"], label: Int[Tensor, " B"], site: Int[Tensor, " B"], covariate: Float[Tensor, " B *K"]
) -> None:
    """Refuse rows from which the effects of site and covariate cannot be told apart.

    Raises: ValueError for other numbers of rows; numbers that are not finite; fewer than two sites; a site whose rows
        are all of one class, whose removal would remove the class; a covariate that is constant within a site, where
        its effect is the site's.
    """
    sizes = {name: len(rows) for name, rows in (("x", x), ("y", label), ("site", site), ("covariate", covariate))}
    if len(set(sizes.values())) > 1 or x.dim() != 2:
        raise ValueError(
            f"x (B, F) needs a label, a site and a covariate for each row, got {sizes}, x {tuple(x.shape)}"
        )
    for name, values in (("x", x), ("covariate", covariate)):
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name} has values that are not finite: leave out or fill in those rows")
    known = site.unique().tolist()
    if len(known) < 2:
        raise ValueError(f"site is {known} in every row: pooling needs at least two sites, train without it")
    for number in known:
        rows = site == number
        if len(classes := label[rows].unique().tolist()) < 2:
            raise ValueError(
                f"all {int(rows.sum())} rows of site {number} are of class {classes[0]}: forgetting the site would "
                "forget the class. Leave the site out, or join it with another"
            )
        columns = covariate[rows].reshape(int(rows.sum()), -1)
        if constant := (columns == columns[0]).all(dim=0).nonzero()[:, 0].tolist():
            raise ValueError(
                f"covariate {constant[0]} is constant ({float(columns[0, constant[0]]):.6g}) within site {number}: its "
                "effect cannot be told from the site's. Leave the covariate or the site out"
            )
