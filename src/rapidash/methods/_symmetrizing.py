"""The base of methods that put `Symmetrized` around the network of a variant: its draws, its penalty, its ledger."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash._seed import seeded
from rapidash.data import Batch, Field
from rapidash.groups import Group, MatrixGroup, Trivial, parse_matrix_group
from rapidash.methods._method import Control, Method, StepView
from rapidash.methods._task import Task
from rapidash.symmetry import GroupDistribution, Ledger, Symmetrized, averaged_symmetry

_MAX_BATCH = 2000  # samples in one pass of the backbone: more copies go in several


@dataclass(frozen=True)
class SymmetrizingMethod(Method):
    r"""Base of methods that train and test h(x) = E_{g ~ p(g | x)} [rho(g) f(rho(g)^-1 x)] in place of a network f.

    The loss is that of the mean over the elements of a step, which are drawn from a stream of the run's seed and the
    step. A penalty of the law is added to the loss. In evaluation the elements are the same at every call with as many
    samples.

    Args:
        group: name of the group, e.g. ``"O(3)"``.
    Raises: ValueError for an unknown group.
    """

    group: str

    def __post_init__(self) -> None:
        check_fields(self)
        parse_matrix_group(self.group)

    @property
    def counts(self) -> tuple[int, int]:
        """Elements for each sample in training and in evaluation; laws that give all their elements take no notice."""
        return 1, 1

    @abstractmethod
    def law(self, task: Task) -> GroupDistribution:
        """The law p, with fresh weights where it is learned."""

    @property
    @abstractmethod
    def is_exact(self) -> bool:
        """Whether h has the symmetry exactly, and not only in expectation."""

    @abstractmethod
    def in_words(self) -> str:
        """The elements that predictions are averaged over, for the ledger."""

    def exception(self) -> str:
        """Where an exact symmetry does not hold, in words; empty if it always does."""
        return ""

    @property
    def sees_place(self) -> bool:
        """Whether the law depends on where a cloud is, and so takes away the translations of a network."""
        return False

    def modify(self, model: nn.Module, task: Task) -> nn.Module:
        """The network within the average."""
        num, num_test = self.counts
        return SymmetrizedModel(model, task.output, self.law(task), self, num_samples=num, num_test=num_test)

    def control(self, model: nn.Module, total_steps: int) -> Control:
        """Gives every step its draws."""
        return DrawControl(self, model)

    def ledger(self, before: Ledger, view: str) -> Ledger:
        """The group of the law, with the translations that the network has: exactly, or in expectation."""
        over = parse_matrix_group(self.group)
        found, reason = self._joined(before.effective, over)
        claimed = before.claimed_exactly
        exactly: MatrixGroup | None = over if claimed is None else self._joined(claimed, over)[0]
        if not self.is_exact and (claimed is None or not _has(claimed, over)):
            exactly = _translations(exactly)
        is_exact = exactly is not None and _has(exactly, found)
        added: tuple[str, ...] = ()
        if not is_exact and not self.is_exact:
            added = (f"{over.name} holds in expectation: the error falls with the square root of the elements",)
        elif self.is_exact and self.exception() and not _has(before.effective, over):
            added = (f"not exact for {self.exception()}",)
        reasons = (*before.reasons, f"predictions are averaged over {self.in_words()}: {reason}", *added)
        return replace(
            before,
            effective=found,
            reasons=reasons,
            exact=is_exact,
            exact_part=None if is_exact else exactly,
            exactness=(*before.exactness, *added),
        )

    def _joined(self, kept: MatrixGroup, over: MatrixGroup) -> tuple[MatrixGroup, str]:
        """The symmetry of the average for a network of symmetry ``kept``, and why.

        Of a network that does not have the group itself no more than its translations are counted on.

        Raises: ValueError for groups that act on different data.
        """
        if not isinstance(kept, Group) or not isinstance(over, Group):
            if kept == over:
                return over, f"the network has {over.name} itself"
            if Ledger(kept, kept, (), True, False).is_trivial:
                return over, f"{kept.name} becomes {over.name}"
            raise ValueError(
                f"the ledger of the network says {kept.name}, to which nothing is known to add {over.name}"
            )
        if kept.dim != over.dim:
            raise ValueError(
                f"group {over.name!r} acts on R^{over.dim}, the model on R^{kept.dim}"
                + ("; C4(z) is C4 about an axis" if over.dim == 2 else "")
            )
        if over.is_subgroup(kept) or kept.is_subgroup(over):
            return averaged_symmetry(kept, over)
        if self.sees_place:
            return over, f"elements depend on where the cloud is: of {kept} no more than {over} is left"
        return averaged_symmetry(Group(kept.dim, Trivial(), kept.translations, kept.across), over)


class SymmetrizedModel(Symmetrized):
    """`Symmetrized` in training: its elements are those of the step, in evaluation always the same.

    Args:
        backbone, output, distribution, num_samples: as of `Symmetrized`.
        method: which made it.
        num_test: elements for each sample in eval mode.
    """

    def __init__(
        self,
        backbone: nn.Module,
        output: Field,
        distribution: GroupDistribution,
        method: SymmetrizingMethod,
        *,
        num_samples: int,
        num_test: int,
    ) -> None:
        super().__init__(backbone, output, distribution, num_samples=num_samples, max_batch=_MAX_BATCH)
        self.method, self.num_test = method, num_test
        self.draws: int | None = None  # seed of the step, in training
        self.penalties: list[Tensor] | None = None  # of the passes of the step, where somebody waits for them

    def forward(self, batch: Batch, generator: torch.Generator | None = None, num_samples: int | None = None) -> Tensor:
        """The average; arguments as for `Symmetrized.average`.

        Raises: ValueError in training mode for a law that draws, without a generator and outside a run.
        """
        if self.training:
            if generator is None and self.draws is not None:
                generator = seeded("symmetrize", self.draws)
        elif num_samples is None:
            num_samples = self.num_test
        output, samples = self.average(batch, generator, num_samples)
        if self.training and self.penalties is not None:
            self.penalties.append(samples.penalty)
        return output

    def calibrate(self, batch: Batch) -> None:
        """Calibrate the network, and that of the law."""
        for part in (self.backbone, self.distribution):
            if callable(calibrate := getattr(part, "calibrate", None)):
                calibrate(batch)


class DrawControl(Control):
    """Names the draws of a step by its random stream, and adds the penalty of the law to the loss."""

    def __init__(self, method: SymmetrizingMethod, model: nn.Module) -> None:
        self.method = method
        (self.model, *_) = [
            part for part in model.modules() if isinstance(part, SymmetrizedModel) and part.method == method
        ]

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The same batch; the model draws from here on."""
        self.model.draws, self.model.penalties = rng.initial_seed(), []
        return batch

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The penalty in the pass of the objective, for laws that have one."""
        penalties, self.model.penalties = self.model.penalties, None
        if not penalties or not penalties[0].requires_grad:
            return {}
        return {f"{self.method.kind} penalty": penalties[0]}

    def after(self, view: StepView) -> None:
        """The step is over, and so are its draws."""
        self.model.draws = None


def _has(group: MatrixGroup, part: MatrixGroup) -> bool:
    return part.is_subgroup(group) if isinstance(part, Group) and isinstance(group, Group) else part == group


def _translations(group: MatrixGroup | None) -> Group | None:
    """All translations, where a group has them."""
    return Group(group.dim, Trivial()) if isinstance(group, Group) and group.translations else None
