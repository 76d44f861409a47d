"""A variant: one frozen, named configuration of a study."""

from dataclasses import dataclass

from rapidash._plain import check_types
from rapidash.groups import parse_group
from rapidash.models import NetworkConfig


@dataclass(frozen=True)
class Variant:
    """One frozen, named configuration, which differs from its neighbor in one knob.

    Args:
        name: unique within a study, e.g. ``"E(3) on R3xS2"``.
        model: the network, a Rapidash or a baseline.
        inputs: how geometric inputs enter, tokens that the task defines, e.g. ``("velocity:vector", "frame:vector")``.
        augment: name of a group; every training sample is moved by its own random element. None: no augmentation.
        tta: test-time averaging over this many random elements of ``tta_group``; 0: none.
        tta_group: name of the group of the test-time average; needed when ``tta`` > 0.
        neighbor: name of the variant from which this one differs in one knob, for paired differences.
        knob: that knob, in words.
    Raises: ValueError for a field of another type, an empty name, a negative ``tta``, averaging without a group or a
        group without averaging, or an unknown group.
    """

    name: str
    model: NetworkConfig
    inputs: tuple[str, ...] = ()
    augment: str | None = None
    tta: int = 0
    tta_group: str | None = None
    neighbor: str | None = None
    knob: str = ""

    def __post_init__(self) -> None:
        check_types(self)
        if not isinstance(self.model, NetworkConfig):
            raise ValueError(f"variant {self.name!r}: model must be the configuration of a network, got {self.model!r}")
        if not self.name:
            raise ValueError("a variant needs a name")
        if self.tta < 0:
            raise ValueError(f"variant {self.name!r}: tta must be at least 0, got {self.tta}")
        if self.tta and self.tta_group is None:
            raise ValueError(f"variant {self.name!r}: tta={self.tta} needs a tta_group, e.g. 'SO({self.model.dim})'")
        if self.tta_group is not None and not self.tta:
            raise ValueError(f"variant {self.name!r}: tta_group={self.tta_group!r} needs a tta of at least 1")
        if self.neighbor == self.name:
            raise ValueError(f"variant {self.name!r} cannot be its own neighbor: name another variant, or None")
        for group in (self.augment, self.tta_group):
            if group is not None:
                parse_group(group, self.model.dim)
