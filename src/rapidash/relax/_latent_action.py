"""Exploration: the action of a group on a latent is learned, and its irreducible parts are counted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from rapidash._plain import check_fields
from rapidash.data import Field
from rapidash.groups import finite_table, parse_matrix_group
from rapidash.methods import Control, Method, ParamGroup, StepView
from rapidash.relax._latent_error import latent_error
from rapidash.relax._latent_layer import LatentWatch, latent_layer, latent_level
from rapidash.relax._moving import DataGroup
from rapidash.symmetry import GeneratorAction

if TYPE_CHECKING:
    from rapidash.methods import Task

_NAME = "learned_latent_action"


@dataclass(frozen=True)
class LearnedLatentAction(Method):
    r"""Learns matrices W(g) with W(g) E(x) = E(g x), one for each generator of a finite group, beside the network.

    Adds weight times the error of the latent, divided by its variance, and ``algebra_weight`` times the mean square by
    which the relations of the group are missed, see `rapidash.symmetry.GeneratorAction`. How often each irreducible
    representation is in W stands among the values of the run: a regular representation has each as often as its
    dimension. What is found depends on how W begins (``init``), so run both. The trained network is the plain one.

    Args:
        weight: at least 0; 0 is plain training, and nothing is learned.
        group: name of a finite group, e.g. ``"C4"``.
        dim: width of the latent, at least 1.
        algebra_weight: at least 0.
        init: ``"orthogonal"`` or ``"identity"``.
        layer: as in `LatentEquivariance`.
    Raises: ValueError for values outside the above, an unknown group, or one that is not finite; in ``modify`` for a
        second one.
    Source: Ali et al., arXiv 2506.08244, its exploration; any finite group and the variance are ours.
    """

    weight: float
    group: str
    dim: int
    algebra_weight: float = 1.0
    init: Literal["orthogonal", "identity"] = "orthogonal"
    layer: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if not (0 <= self.weight < math.inf and 0 <= self.algebra_weight < math.inf) or self.dim < 1:
            raise ValueError(
                "weight and algebra_weight must be at least 0 and dim at least 1, got "
                f"{self.weight}, {self.algebra_weight} and {self.dim}"
            )
        if self.init not in ("orthogonal", "identity"):
            raise ValueError(f"init must be 'orthogonal' or 'identity', got {self.init!r}")
        finite_table(parse_matrix_group(self.group))

    def modify(self, model: nn.Module, task: "Task") -> nn.Module:
        """Put the matrices beside the network."""
        if self.weight:
            if any(isinstance(part, GeneratorAction) for part in model.modules()):
                raise ValueError("the model has a learned action already: learn one in a run")
            table = finite_table(parse_matrix_group(self.group))
            model.add_module(_NAME, GeneratorAction(table, self.dim, self.init))
        return model

    def control(self, model: nn.Module, total_steps: int) -> "LearnedActionControl | None":
        """Adds the terms."""
        return LearnedActionControl(self, model) if self.weight else None

    def finish(self, model: nn.Module) -> nn.Module:
        """The network without the matrices."""
        for module in list(model.modules()):
            if _NAME in dict(module.named_children()):
                delattr(module, _NAME)
        return model


class LearnedActionControl(Control):
    """The matrices of a learned action, and how far they are from one."""

    def __init__(self, method: LearnedLatentAction, model: nn.Module) -> None:
        self.method = method
        self.action = next(part for part in model.modules() if isinstance(part, GeneratorAction))
        self.watch = LatentWatch(model, latent_layer(model, method.layer))
        self.group = DataGroup(method.group)
        self._last: Tensor | float = 0.0  # the error of the last step

    def param_groups(self) -> Sequence[ParamGroup]:
        """The matrices: the rate of the run, no decay."""
        return [ParamGroup(list(self.action.parameters()))]

    def before(self, step: int) -> None:
        """Watch the pass of the objective."""
        self.watch.start()

    def terms(self, view: StepView) -> Mapping[str, Tensor]:
        """The error of the latent, and of the relations."""
        z = self.watch.take()
        if z.shape[-1] != self.method.dim:
            raise ValueError(f"the latent {self.watch.name!r} has width {z.shape[-1]}, dim={self.method.dim}: set dim")
        g = self.group.of(view).sample(view.batch.num_samples, generator=view.rng)
        field = Field(self.action, level=latent_level(z, view.batch))
        expected = view.batch.act(field, g, z)
        with self.watch.watching():
            view.predict(self.group.moved(view, g))
        error = latent_error(expected, self.watch.take())
        self._last = error.detach()
        relations = self.method.algebra_weight * self.action.relations()
        return {"learned latent action": self.method.weight * error, "learned latent algebra": relations}

    def values(self) -> Mapping[str, float]:
        """The error of the last step, that of the relations, and how often each irreducible representation occurs."""
        counts = self.action.multiplicities().tolist()
        found = {
            "learned action error": float(self._last),
            "learned action relations": float(self.action.relations().detach()),
        }
        return found | {f"irrep {index}": count for index, count in enumerate(counts)}

    def state_dict(self) -> dict[str, Any]:
        """The last error; the matrices are parameters of the model."""
        return {"last": float(self._last)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self._last = state["last"]
