"""Two-stage pooling of a user's own rows, without a study."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Batch, RowDataset
from rapidash.measure import Report
from rapidash.represent.pooling._networks import TwoStageNetwork
from rapidash.represent.pooling._objectives import TwoStage
from rapidash.represent.pooling._report import SiteRows, pooling_report
from rapidash.represent.pooling._rows import SITE_FIELDS, PooledModel, check_sites

_HELD = 5  # one row in so many reports, and trains nothing


@dataclass
class TwoStagePooling:
    """Fits a representation of rows of several sites that keeps covariates and forgets the site, see `TwoStage`.

    Args:
        objective: the weights of both stages.
        latent_dim, hidden_dim, num_layers: of `TwoStageNetwork`.
        steps: of both stages.
        batch_size: rows of a step, at least 2.
        learning_rate: of AdamW at first; it falls to 0 along a cosine.
        seed: of weights, of the order and of the rows that are held back.
    Raises: ValueError for a batch of fewer than two rows, which have no difference, or fewer than two steps.
    """

    objective: TwoStage = field(default_factory=TwoStage)
    latent_dim: int = 16
    hidden_dim: int = 64
    num_layers: int = 2
    steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 4e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 2 or self.steps < 2:
            raise ValueError(
                f"batch_size and steps must be at least 2, got {self.batch_size} and {self.steps}: a batch of one row "
                "has no differences of covariates"
            )

    def fit(
        self,
        x: Float[Tensor, "B F"],
        y: Int[Tensor, " B"],
        site: Int[Tensor, " B"],
        covariate: Float[Tensor, " B *K"],
    ) -> Report:
        """Fit to four fifths of the rows of each site, and report on the others (`pooling_report`).

        Args:
            x: columns; they are standardized here.
            y: classes, 0, 1, ...
            site: the site of each row.
            covariate: one number of each row, or K; standardized here.
        Raises: ValueError for rows that `check_sites` refuses, negative classes, or fewer than five rows of a site.
        """
        x, covariate = torch.as_tensor(x).float(), torch.as_tensor(covariate).float()
        y, site = torch.as_tensor(y).long(), torch.as_tensor(site).long()
        check_sites(x, y, site, covariate)
        if int(y.min()) < 0:
            raise ValueError(f"classes must be 0, 1, ..., got {int(y.min())}")
        held = self._held_back(site)
        c = covariate.reshape(len(x), -1)
        self._scales = [_scale(part[~held]) for part in (x, c)]
        rows = {"x": self._scaled(0, x), "label": y, "site": site.unique(return_inverse=True)[1]}
        data = RowDataset(rows | {"covariate": self._scaled(1, c)}, SITE_FIELDS)
        train, rest = (data.subset(part.nonzero()[:, 0]) for part in (~held, held))
        first = train.batch(torch.arange(len(train)))
        check_sites(first["x"], first["label"], first["site"], first["covariate"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeded(self.seed, "weights").initial_seed())
            num_classes = int(y.max()) + 1
            sizes: tuple[Any, ...] = (num_classes, self.latent_dim, self.hidden_dim, self.num_layers, c.shape[1])
            network = TwoStageNetwork(x.shape[1], *sizes)
            self._train(PooledModel(network, int(rows["site"].max()) + 1), train)
        parts = [self._site_rows(part.batch(torch.arange(len(part)))) for part in (train, rest)]
        right = self.predict(x[held]) == y[held]
        return pooling_report(*parts, accuracy=float(right.double().mean()), seed=self.seed)

    def represent(self, x: Float[Tensor, "B F"]) -> Float[Tensor, "B n"]:
        """The representations of rows; neither site nor covariate is needed. Raises: ValueError before `fit`."""
        with torch.no_grad():
            return self._fitted().network.represent(self._scaled(0, torch.as_tensor(x).float()))

    def predict(self, x: Float[Tensor, "B F"]) -> Int[Tensor, " B"]:
        """The classes of rows. Raises: ValueError before `fit`."""
        with torch.no_grad():
            return self._fitted().network.classify(self.represent(x)).argmax(dim=1)

    def _held_back(self, site: Tensor) -> Tensor:
        """A random fifth of the rows of every site."""
        held = torch.zeros(len(site), dtype=torch.bool)
        for number in site.unique().tolist():
            rows = (site == number).nonzero()[:, 0]
            if len(rows) < _HELD:
                raise ValueError(f"site {number} has {len(rows)} rows: at least {_HELD} are needed to hold one back")
            order = torch.randperm(len(rows), generator=seeded(self.seed, "held back", number))
            held[rows[order[: len(rows) // _HELD]]] = True
        return held

    def _train(self, model: PooledModel, train: RowDataset) -> None:
        self._model = model
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        control = self.objective.control(model, self.steps)
        size = min(self.batch_size, len(train))
        for step in range(self.steps):
            control.before(step)
            place = step % (len(train) // size)
            if place == 0:
                order = torch.randperm(len(train), generator=seeded(self.seed, "order", step))
            batch: Batch = train.batch(order[place * size : (place + 1) * size])
            loss = self.objective.loss(model, batch, seeded(self.seed, "objective", step)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        model.eval()

    def _site_rows(self, batch: Batch) -> SiteRows:
        with torch.no_grad():
            z = self._fitted().represent(batch)
        return SiteRows(z, batch["label"], batch["site"], batch["covariate"])

    def _scaled(self, which: int, values: Tensor) -> Tensor:
        self._fitted_scales()
        mean, deviation = self._scales[which]
        return (values - mean) / deviation

    def _fitted_scales(self) -> None:
        if not hasattr(self, "_scales"):
            raise ValueError("nothing is fitted yet: call fit first")

    def _fitted(self) -> PooledModel:
        self._fitted_scales()
        return self._model


def _scale(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each column; 1 where it does not vary."""
    deviation = values.std(dim=0, correction=0)
    return values.mean(dim=0), deviation.where(deviation > 0, 1.0)
