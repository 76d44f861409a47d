"""A study that compares variants with fresh weights with the same ones that begin with saved weights."""

from dataclasses import replace

from rapidash.methods import Variant, build_model
from rapidash.represent import start_from
from rapidash.study._design import StudyDesign
from rapidash.study._init import SavedWeights
from rapidash.tasks import get_task

BEGUN = ", pre-trained"  # behind the name of a variant


def compared_with_saved(design: StudyDesign, init: SavedWeights) -> StudyDesign:
    """The study with one more variant beside each that saved weights fit: the same, but it begins with them.

    Args:
        design: of variants with fresh weights; one that has a beginning of its own is left as it is.
        init: the saved weights.
    Raises: ValueError where they fit no variant, with what stands in the way of the first; FileNotFoundError.
    """
    task = get_task(design.task, **design.task_options)
    variants: list[Variant] = []
    inits = dict(design.inits)
    overrides = dict(design.train_overrides)
    faults = []
    for variant in design.variants:
        variants.append(variant)
        if variant.name in inits:
            continue
        try:
            start_from(build_model(task, variant), init.folder)
        except ValueError as error:
            faults.append(f"{variant.name}: {error}")
            continue
        name = f"{variant.name}{BEGUN}"
        variants.append(replace(variant, name=name, neighbor=variant.name, knob="begins with saved weights"))
        inits[name] = init
        if variant.name in overrides:
            overrides[name] = overrides[variant.name]
    if inits.keys() <= design.inits.keys():
        raise ValueError(faults[0] if faults else f"every variant of {design.task} has a beginning of its own")
    return replace(design, variants=tuple(variants), inits=inits, train_overrides=overrides)
