"""The task of finding planted sharing, its model and its network, for studies."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash._names import unknown_name
from rapidash._seed import seeded
from rapidash.data import Batch, Field, RowDataset
from rapidash.groups import MatrixGroup, Scalar
from rapidash.learn.sharing._cases import CASES, Planted, SharingCase
from rapidash.learn.sharing._ledger import no_known_group, sharing_ledger
from rapidash.methods import Split, Variant
from rapidash.models import Interface, NetworkConfig, Takes
from rapidash.symmetry import Ledger

_ROWS = 50  # of a trial in each split, where there may be several


@dataclass(frozen=True)
class SharedWeightsConfig(NetworkConfig):
    """The weights of a task of sharing, which the objective ``"bilevel"`` ties; it has no knobs."""

    symmetry = "trivial"
    space = "rows"

    @property
    def takes(self) -> Takes:
        """Numbers side by side."""
        return "components"

    def build(self, io: Interface) -> nn.Module:
        """Raises: ValueError: the task knows the weights."""
        raise ValueError("shared weights belong to a task: use the task 'planted-sharing', whose case says how many")


class SharedWeights(nn.Module):
    """For every trial a function with its own parameters, and the sharing by which they were found.

    Args:
        case: the function.
        planted: the truth of each trial.
    """

    assignment: Tensor
    gradient_norm: Tensor

    def __init__(self, case: SharingCase, planted: tuple[Planted, ...]) -> None:
        super().__init__()
        self.case, self.planted = case, planted
        num_weights = len(planted[0].assignment)
        self.params = nn.Parameter(torch.zeros(len(planted), case.num_params))
        self.register_buffer("assignment", torch.arange(num_weights).repeat(len(planted), 1))
        self.register_buffer("gradient_norm", torch.zeros(len(planted)))

    def forward(self, batch: Batch) -> Float[Tensor, "B O"]:
        """The prediction for each row by the function of its trial."""
        trial, x = batch["trial"].long(), batch["x"]
        out = torch.empty_like(batch["y"])
        for number in trial.unique().tolist():
            rows = trial == number
            out[rows] = self.case.predict(self.params[number], x[rows])
        return out


@dataclass(frozen=True)
class PlantedSharingTask:
    """Weights of which some are the same, and it is not known which.

    A sample is a row of a trial: input x, target y without noise, and the number of the trial. Every trial has a truth
    of its own. The objective ``"bilevel"`` draws training and validation data of each trial anew from the run's seed;
    the splits here are what its function is asked for afterwards (of means there is one row, the true means).

    Args:
        case: the name of a problem in `rapidash.learn.sharing.CASES`.
        trials: of a run; None: as many as the case says.
    Raises: ValueError for an unknown case, or no trial.
    """

    case: str = "5 means, 1 value"
    trials: int | None = None

    name: str = field(default="planted-sharing", init=False)
    dim: int = field(default=0, init=False)
    metric: str = field(default="squared error", init=False)
    unit: str = field(default="1", init=False)

    def __post_init__(self) -> None:
        if self.case not in CASES:
            raise ValueError(unknown_name("case", self.case, CASES))
        if self.trials is not None and self.trials < 1:
            raise ValueError(f"trials must be at least 1, got {self.trials}")

    @property
    def problem(self) -> SharingCase:
        """The case."""
        return CASES[self.case]

    @property
    def planted(self) -> tuple[Planted, ...]:
        """The truth of each trial."""
        count = self.trials or self.problem.trials
        return tuple(self.problem.plant(seeded("planted-sharing", self.case, trial)) for trial in range(count))

    @property
    def output(self) -> Field:
        """The target."""
        return self.problem.fields[1]

    @property
    def moves(self) -> None:
        """None: test data are not moved."""

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """The group whose orbits were planted, if any."""
        return tuple(self.problem.known)

    def dataset(self, split: Split) -> RowDataset:
        """Rows of every trial."""
        parts = []
        for trial, planted in enumerate(self.planted):
            x, y = self.problem.rows(planted, _ROWS, seeded("planted-sharing", self.case, split, trial))
            parts.append((x, y, torch.full((len(x),), trial)))
        x, y, trial_of = (torch.cat(part) for part in zip(*parts, strict=True))
        into, out = self.problem.fields
        return RowDataset(
            {"x": x, "y": y, "trial": trial_of}, {"x": into, "y": out, "trial": Field(Scalar(), level="cloud")}
        )

    def build(self, variant: Variant) -> nn.Module:
        """Weights of zero that share nothing. Raises: ValueError for a network of its own."""
        if not isinstance(variant.model, SharedWeightsConfig):
            raise ValueError(
                f"planted-sharing ties weights: use the network 'shared-weights', not {variant.model.kind!r}"
            )
        return SharedWeights(self.problem, self.planted)

    def ledger(self, variant: Variant) -> Ledger:
        """That of the orbits where the sharing is given; a sharing that is yet to be found claims nothing."""
        given = getattr(variant.objective, "search", "none") == "given"
        return sharing_ledger(self.planted[0].assignment, self.problem.known) if given else no_known_group()

    def loss(self, prediction: Float[Tensor, "B O"], batch: Batch) -> Float[Tensor, ""]:
        """Mean of the errors."""
        return self.errors(prediction, batch).mean()

    def errors(self, prediction: Float[Tensor, "B O"], batch: Batch) -> Float[Tensor, " B"]:
        """|prediction - y|^2."""
        return (prediction - batch["y"]).square().sum(dim=1)
