"""The symmetry of a generator in words: what that of its network says of the density of samples."""

from dataclasses import replace

from rapidash.generate._objective import Denoising
from rapidash.methods import Variant
from rapidash.symmetry import Ledger


def density_ledger(ledger: Ledger, variant: Variant) -> Ledger:
    """The ledger of a network with a sentence on the samples that come from it.

    The noise has no pose, so the density of samples has the symmetry of the network, and all rotations where the
    variant turns its samples, or their states, at random.
    """
    kept = ledger.keeps
    if isinstance(variant.objective, Denoising) and variant.objective.pose == "canonical":
        said = "clouds are learned in one pose and samples turned at random: every pose is as likely as another, and "
        said += "left and right are those that the network has learned"
        return replace(ledger, reasons=(*ledger.reasons, said))
    if isinstance(variant.objective, Denoising) and variant.objective.pose == "turned":
        said = "states are turned at random in sampling: every pose is as likely as another, and left and right are "
        said += "those that the network has learned"
        return replace(ledger, reasons=(*ledger.reasons, said))
    if "rotations" in kept and "reflections" in kept:
        said = "every pose is as likely as another, and a sample as its mirror image: no handedness can be learned"
    elif "rotations" in kept:
        said = "every pose is as likely as another, and left and right may differ"
    else:
        said = "poses and left and right are those that the network has learned"
    return replace(ledger, reasons=(*ledger.reasons, f"the noise has no pose, so of the samples {said}"))
