"""The measure of pre-trained features, and the score of a pre-training, of encoders whose answers are known."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash.data import Batch, seeded
from rapidash.groups import SO, parse_matrix_group
from rapidash.methods import Subject, Variant
from rapidash.models import OrderedMLPConfig
from rapidash.represent import (
    CHANCE_MRR,
    CLASS,
    CONSTANT,
    CONSTANT_ERROR,
    EQUIVARIANT,
    EQUIVARIANT_ERROR,
    HIT,
    HOMOMORPHISM,
    INVARIANT,
    INVARIANT_ERROR,
    MOTION,
    MRR,
    PAIR_LOSS,
    LinearRepresentation,
    PretrainingModel,
    SieHeads,
    SplitInvariantEquivariant,
    VectorRepresentation,
    figure_of,
    linear_classifier,
    measure_representation,
    retrieved,
)
from rapidash.tasks import get_task

FEW = {"num_points": 3, "num_train": 90, "num_val": 33, "num_test": 45, "num_templates": 3}
MANY = {"num_points": 3, "num_train": 1500, "num_val": 20, "num_test": 300, "num_templates": 300, "noise": 0.1}


class Points(nn.Module):
    """By hand: the lengths of the first two points, and then the points themselves, which turn with the cloud."""

    def __init__(self, *, turns_first: bool = False) -> None:
        super().__init__()
        self.turns_first, self.unused = turns_first, nn.Parameter(torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        points = batch.pos.unflatten(0, (batch.num_samples, -1))[:, :2]  # type: ignore[attr-defined]
        parts = [points.norm(dim=2), points.flatten(1)]
        return torch.cat(parts[::-1] if self.turns_first else parts, dim=1)


def model_of(representation: Any = None, group: Any = None) -> PretrainingModel:
    given = VectorRepresentation("SO(3)", 6) if representation is None else representation
    return PretrainingModel(Points(), 2, 6, SieHeads(nn.Identity(), nn.Identity(), given), group or SO(3)).eval()


def measured(model: PretrainingModel, options: dict[str, Any], moment: Any = "after") -> dict[str, float]:
    task = get_task("template-clouds", **options)
    ledger = task.ledger(Variant("one", OrderedMLPConfig(3)))
    subject = Subject(model, task, task.dataset("val"), ledger, moment, "full", 0)
    return {found.name: found.value for found in measure_representation(subject)}


def test_points_know_their_turn_in_the_frame_of_the_world_and_lengths_know_nothing_of_it() -> None:
    """With as many templates the turn in the frame of the body, R_1^-1 R_2, cannot be told from R_1 x and R_2 x."""
    found = measured(model_of(), MANY)
    assert found[figure_of(MOTION, EQUIVARIANT)] > 0.3
    assert abs(found[figure_of(MOTION, INVARIANT)]) < 0.2
    assert -0.05 < found[figure_of(MOTION, CONSTANT)] <= 0
    assert (found[MRR], found[HIT]) == (1.0, 1.0)  # every view is predicted from the first one
    assert found[CHANCE_MRR] == pytest.approx(sum(1 / rank for rank in range(1, 50)) / 49)  # of the 49 others
    assert found[HOMOMORPHISM] < 1e-6
    assert measured(model_of(), FEW, "before") == {}


def test_views_of_a_map_that_stands_still_are_found_by_chance() -> None:
    """W = 1 predicts the first view itself, which is not among those that are ranked."""
    still = LinearRepresentation("SO(3)", 6)
    still.between = lambda first, second: torch.eye(6).expand(len(first), 6, 6)  # type: ignore[method-assign]
    found = retrieved(model_of(still), get_task("template-clouds", **FEW).dataset("test"), seeded(0))
    assert found.num_views == 49
    assert found.hits[1] < 0.06
    assert found.mrr < found.chance_mrr + 0.03


def test_columns_of_the_motion_that_do_not_vary_are_left_out() -> None:
    """About z five of nine entries are 0 or 1 for ever."""
    group = parse_matrix_group("SO2(z)")
    found = measured(model_of(VectorRepresentation("SO(3)", 6), group), {**MANY, "num_train": 400, "num_test": 100})
    assert found[figure_of(MOTION, EQUIVARIANT)] > 0.5


def test_classes_of_each_part_beside_the_most_frequent_one() -> None:
    task = get_task("template-clouds", **FEW)
    found = measured(model_of(), FEW)
    train, test = task.dataset("train"), task.dataset("test")
    features = [Points()(data.batch(torch.arange(len(data)))).detach() for data in (train, test)]
    labels = [data.tensors["label"] for data in (train, test)]
    for part, columns in ((INVARIANT, slice(0, 2)), (EQUIVARIANT, slice(2, 8))):
        probe = linear_classifier((features[0][:, columns], labels[0]), (features[1][:, columns], labels[1]))
        assert found[figure_of(CLASS, part)] == pytest.approx(probe.score)
    frequent = labels[0].mode().values
    assert found[figure_of(CLASS, CONSTANT)] == pytest.approx(float((labels[1] == frequent).double().mean()))


def test_the_score_is_that_of_the_invariant_part_and_both_error_rates_stand_beside_it() -> None:
    """Of 33 validation samples in batches of 16 the last one is alone: it has no variance, and is left out."""
    task = get_task("template-clouds", **FEW)
    objective = SplitInvariantEquivariant(invariant_dim=2, equivariant_dim=6, projector_dim=8)
    train, val = task.dataset("train"), task.dataset("val")
    score = objective.score(model_of(), task, val, train=train, batch_size=16)
    features = [Points()(data.batch(torch.arange(len(data)))).detach() for data in (train, val)]
    labels = [data.tensors["label"] for data in (train, val)]
    parts = [
        linear_classifier((features[0][:, columns], labels[0]), (features[1][:, columns], labels[1]))
        for columns in (slice(0, 2), slice(2, 8))
    ]
    assert score.error == pytest.approx(100 * parts[0].unexplained)
    assert score.details[INVARIANT_ERROR] == pytest.approx(100 * (1 - parts[0].score))
    assert score.details[EQUIVARIANT_ERROR] == pytest.approx(100 * (1 - parts[1].score))
    assert score.details[CONSTANT_ERROR] == pytest.approx(100 * (1 - parts[0].constant))
    assert parts[0].unexplained < 0.9 < parts[1].unexplained  # so the parts differ
    by_loss = replace(objective, select="loss").score(model_of(), task, val, train=train, batch_size=16)
    assert by_loss.error == pytest.approx(score.details[PAIR_LOSS])
    again = objective.score(model_of(), task, val, train=train, batch_size=16, seed=5)
    assert again.details[PAIR_LOSS] == score.details[PAIR_LOSS]  # pairs that are always the same
    whole = torch.arange(32)
    single = objective.score(model_of(), task, val.subset(whole), train=train, batch_size=16)
    assert single.details[PAIR_LOSS] == pytest.approx(score.details[PAIR_LOSS])


def test_parts_share_the_projected_features_in_proportion() -> None:
    assert SplitInvariantEquivariant(invariant_dim=8, equivariant_dim=24, projector_dim=16).projected == (4, 12)
    assert SplitInvariantEquivariant(invariant_dim=8, projector_dim=16).projected == (16, 0)


def test_batches_of_one_have_no_loss_of_pairs() -> None:
    task = get_task("template-clouds", **FEW)
    objective = SplitInvariantEquivariant(invariant_dim=2, equivariant_dim=6, projector_dim=8)
    with pytest.raises(ValueError, match="at least 2 samples, got batch_size=1"):
        objective.score(model_of(), task, task.dataset("val"), train=task.dataset("train"), batch_size=1)
