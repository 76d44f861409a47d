"""Errors under corruptions relative to those of a reference model."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class CorruptionError(NamedTuple):
    """Errors relative to a reference model, averaged over severities: CE, RCE by corruption, and their means."""

    ce: dict[str, float]
    rce: dict[str, float]
    mce: float
    rmce: float


def relative_errors(
    errors: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]
) -> dict[str, float | None]:
    """CE_c = mean_l E_cl / mean_l E_cl^ref over the severities l, by corruption c; None where the reference makes none.

    Args:
        errors: by corruption, the error at every severity, at least 0, in any unit.
        reference: the same of the reference variant, measured on the same clouds.
    Raises: ValueError for different corruptions or numbers of severities, none, or an error below 0 or not finite.
    Source: Ren et al., ICML 2022, where E is the error rate.
    """
    if set(errors) != set(reference) or not errors:
        raise ValueError(
            f"errors has {sorted(errors)}, reference {sorted(reference)}: they must have the same, not none"
        )
    for name in errors:
        both = [*errors[name], *reference[name]]
        if not both or len(errors[name]) != len(reference[name]) or not all(0 <= value < math.inf for value in both):
            raise ValueError(
                f"errors of {name!r} must be finite, at least 0 and as many as those of the reference, got "
                f"{list(errors[name])} and {list(reference[name])}"
            )
    return {name: sum(errors[name]) / total if (total := sum(reference[name])) else None for name in errors}


def corruption_error(
    accuracy: Mapping[str, Sequence[float]],
    reference: Mapping[str, Sequence[float]],
    *,
    clean: float,
    clean_reference: float,
) -> CorruptionError:
    """The errors of a model under corruptions relative to those of a reference variant.

    CE_c = (1 - OA_c) / (1 - OA_c^ref) and RCE_c = (OA_clean - OA_c) / (OA_clean^ref - OA_c^ref), where OA_c is the
    accuracy averaged over severities; mCE and RmCE are the means over corruptions. The reference has 1 in all of them.
    Args:
        accuracy: by corruption, the accuracy in [0, 1] at every severity.
        reference: the same of the reference variant, measured on the same clouds.
        clean, clean_reference: accuracies without corruption.
    Raises: ValueError for different corruptions, accuracies outside [0, 1], or a reference that makes no error, or
        loses nothing under a corruption: the quotient does not exist.
    Source: Ren et al., ICML 2022.
    """
    if set(accuracy) != set(reference) or not accuracy:
        raise ValueError(
            f"accuracy has {sorted(accuracy)}, reference {sorted(reference)}: they must have the same, not none"
        )
    for name, values in [*accuracy.items(), *reference.items(), ("clean", (clean, clean_reference))]:
        if not values or not all(0 <= value <= 1 for value in values):
            raise ValueError(f"accuracies of {name!r} must be in [0, 1], got {list(values)}")
    ce, rce = {}, {}
    for name in accuracy:
        own, other = (sum(values[name]) / len(values[name]) for values in (accuracy, reference))
        if other == 1 or other == clean_reference:
            raise ValueError(
                f"the reference has the accuracy {other} under {name!r}, {clean_reference} clean: no quotient"
            )
        ce[name] = (1 - own) / (1 - other)
        rce[name] = (clean - own) / (clean_reference - other)
    return CorruptionError(ce, rce, sum(ce.values()) / len(ce), sum(rce.values()) / len(rce))
