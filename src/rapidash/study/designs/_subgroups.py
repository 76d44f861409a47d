"""The parts of the studies of subgroups: groups stated for layers, the two searches, and how they are trained."""

from collections.abc import Sequence
from dataclasses import replace

from rapidash.learn import SubgroupEvolution, SubgroupMixing
from rapidash.methods import Variant
from rapidash.models import ImageGCNNConfig, RapidashConfig
from rapidash.train import TrainConfig


def stated_and_searched(
    network: ImageGCNNConfig | RapidashConfig,
    groups: Sequence[str],
    stated: Sequence[tuple[Sequence[str], str]],
    generation: int,
) -> tuple[Variant, ...]:
    """A variant for every assignment, each beside the one before it, and two searches beside the first.

    Args:
        network: whose layers keep its whole group.
        groups: among which the searches choose, the whole group first.
        stated: assignments of a group to every layer, with their knobs; the first is the whole group everywhere.
        generation: steps of a generation of the evolution.
    """
    variants: list[Variant] = []
    for assigned, knob in stated:
        model = network if set(assigned) == {groups[0]} else replace(network, subgroups=tuple(assigned))
        neighbor = variants[-1].name if variants else None
        variants.append(Variant(", ".join(assigned), model, neighbor=neighbor, knob=knob))
    names = tuple(groups)
    evolution = SubgroupEvolution(names, start=generation, generation=generation, generations=4, places=5)
    searches = (
        ("evolution", evolution, "groups by evolution"),
        ("mixing", SubgroupMixing(names, lr=0.02), "groups by logits"),
    )
    whole = variants[0].name
    return (
        *variants,
        *(Variant(name, network, methods=(method,), neighbor=whole, knob=knob) for name, method, knob in searches),
    )


def training(steps: int, generation: int) -> TrainConfig:
    """A validation after every generation; no average of weights and no joint clip, as the searches need it."""
    return TrainConfig(
        steps=steps,
        batch_size=50,
        learning_rate=5e-3,
        weight_decay=0.0,
        warmup_steps=20,
        grad_clip=0.0,
        ema_decay=0.0,
        eval_every=generation,
        checkpoint_every=generation,
    )
