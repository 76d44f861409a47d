"""The arms of studies of symmetrization: one backbone without rotations, and how it is given them."""

from dataclasses import dataclass, replace

from rapidash.methods import Augment, Method, Variant
from rapidash.models import NetworkConfig
from rapidash.symmetrize import Canonicalization, FrameAveraging, GroupAveraging, ProbabilisticSymmetrization


@dataclass(frozen=True)
class Arms:
    """The settings of all arms.

    Args:
        group: O(3), or SO(3); learned elements have the translations too, which take the origin to the centroid.
        num, num_test: elements in training and in the test, of laws that draw them.
        canonical: the method of canonicalization, whose network probabilistic symmetrization has too.
    """

    group: str
    num: int
    num_test: int
    canonical: Canonicalization

    def variants(self, name: str, model: NetworkConfig, neighbor: Variant) -> dict[str, Variant]:
        """By arm, variants of a backbone; those with one element in training are neighbors of those with more.

        Args:
            name: of the backbone.
            model: it keeps no rotation.
            neighbor: of the bare one, a network of another kind with the same symmetry.
        """
        bare = Variant(name, model, neighbor=neighbor.name, knob="another network of the same symmetry")

        def arm(plus: str, method: Method, knob: str, neighbor: Variant = bare) -> Variant:
            return replace(bare, name=f"{name}, {plus}", methods=(method,), neighbor=neighbor.name, knob=knob)

        num, num_test = self.num, self.num_test
        learned = ProbabilisticSymmetrization(**vars(self.canonical), num=num, num_test=num_test)
        averaged = arm(
            f"averaged over {num}",
            GroupAveraging(self.group, num, num_test),
            f"trained as the average over {num} random elements of {self.group}, tested over {num_test}",
        )
        probabilistic = arm(
            f"probabilistic, {num}",
            learned,
            f"trained as the average over {num} elements that an equivariant network and noise choose",
        )
        return {
            "bare": bare,
            "augmented": arm("augmented", Augment(self.group), f"training samples moved by {self.group}"),
            "averaged": averaged,
            "averaged, one": arm(
                "averaged over 1",
                GroupAveraging(self.group, 1, num_test),
                "one element in training",
                averaged,
            ),
            "frames": arm("frames", FrameAveraging(self.group), "the average over all frames of principal axes"),
            "canonical": arm("canonical", self.canonical, "moved to the one pose that an equivariant network chooses"),
            "probabilistic": probabilistic,
            "probabilistic, one": arm(
                "probabilistic, 1", replace(learned, num=1), "one element in training", probabilistic
            ),
        }
