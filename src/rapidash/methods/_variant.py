"""A variant: one frozen, named configuration of a study."""

from dataclasses import dataclass, field

from rapidash._plain import check_fields
from rapidash.methods._average import OrbitAverage
from rapidash.methods._method import FULL, Method
from rapidash.methods._objective import Objective
from rapidash.models import NetworkConfig


@dataclass(frozen=True)
class Variant:
    """One frozen, named configuration, which differs from its neighbor in one knob.

    Args:
        name: unique within a study, e.g. ``"E(3) on R3xS2"``.
        model: the network.
        inputs: how geometric inputs enter, tokens that the task defines, e.g. ``("velocity:vector", "frame:vector")``.
        methods: training methods in the order in which they act, e.g. ``(Augment("SO(3)"),)``.
        objective: what a run minimizes and is scored by; None: the loss and the metric of the task.
        neighbor: name of the variant from which this one differs in one knob, for paired differences.
        knob: that knob, in words.
    Raises: ValueError for a field of another type, an empty name, a variant that is its own neighbor,
        several averages at test time, or a method
        that does not fit the network.
    """

    name: str
    model: NetworkConfig
    inputs: tuple[str, ...] = ()
    methods: tuple[Method, ...] = field(default=(), metadata={"absent": ()})
    objective: Objective | None = field(default=None, metadata={"absent": None})
    neighbor: str | None = None
    knob: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.model, NetworkConfig):
            raise ValueError(f"variant {self.name!r}: model must be the configuration of a network, got {self.model!r}")
        for method in self.methods:
            if not isinstance(method, Method):
                raise ValueError(f"variant {self.name!r}: methods must be training methods, got {method!r}")
        if self.objective is not None and not isinstance(self.objective, Objective):
            raise ValueError(f"variant {self.name!r}: objective must be an objective or None, got {self.objective!r}")
        if not self.name:
            raise ValueError("a variant needs a name")
        if self.neighbor == self.name:
            raise ValueError(f"variant {self.name!r} cannot be its own neighbor: name another variant, or None")
        for method in self.methods:
            try:
                method.check(self.model)
            except ValueError as error:
                raise ValueError(f"variant {self.name!r}: {method.kind} does not fit: {error}") from error
        if sum(method.average() is not None for method in self.methods) > 1:
            raise ValueError(f"variant {self.name!r} has several averages at test time: name one")

    @property
    def average(self) -> OrbitAverage | None:
        """The average that predictions take at test time, None for none."""
        return next((found for method in self.methods if (found := method.average()) is not None), None)

    @property
    def primary_view(self) -> str:
        """The view of the model whose result is that of the variant, of the last method that has a word in it."""
        return next((m.primary_view for m in reversed(self.methods) if m.primary_view != FULL), FULL)
