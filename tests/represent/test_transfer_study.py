"""The study of transfer: its zoo, its measure on shapes whose answers are known, and its section."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rapidash.data import CloudBatch, CloudDataset, Field, seeded
from rapidash.datasets import modelnet10_dataset
from rapidash.groups import SO, Position
from rapidash.measure import Whitening
from rapidash.methods import Subject, Variant, build_model
from rapidash.models import RapidashConfig
from rapidash.report import terminal_table
from rapidash.report._transfer_section import transfer_section
from rapidash.represent import (
    APPEARANCE,
    APPEARANCE_SIMILARITY,
    CLASS_ACCURACY,
    PART_ACCURACY,
    POSE,
    RANK,
    SIZE_R2,
    TRANSFORMS,
    YAW_R2,
    ConcatenatedEncoder,
    ContrastivePretraining,
    PretrainingModel,
    Untrained,
    _transfer_measure,
    distance_under,
    measure_transfer,
    similarity_under,
)
from rapidash.represent._transfer_measure import _by_class, _models, _point_pairs, _Shapes, pairs_of_parts, unit_of_each
from rapidash.study import get_design, read_study, run_study, study_of, summarize
from rapidash.study.designs.transfer import CHANNELS, WIDE
from rapidash.tasks import get_task
from tests.report._studies import small_record

POINTS = 64


def skewed(size: int, seed: int) -> np.ndarray:
    """Clouds in the unit ball that are long in y, with a tail along x; every second one is flat."""
    rng = np.random.default_rng(seed)
    pos = rng.normal(size=(size, POINTS, 3)) * np.array([0.1, 0.4, 0.15])
    pos[..., 0] += rng.exponential(0.4, size=(size, POINTS))
    pos[::2, :, 2] *= 0.1
    pos -= pos.mean(axis=1, keepdims=True)
    return pos / np.linalg.norm(pos, axis=2).max(axis=1)[:, None, None]


def write_files(folder: Path, size: int = 90) -> None:
    """ModelNet10 and segmentations of such shapes: the class is whether it is flat, a part is one side of it."""
    bits = np.round((skewed(size, 0) + 1) / 2 * 1023).astype(np.int64)
    code = sum((bits[..., axis] >> bit & 1) << (3 * bit + axis) for bit in range(10) for axis in range(3))
    delta = np.diff(np.sort(code, axis=1), axis=1, prepend=0)
    arrays = {"delta": np.stack([(delta >> 8 * byte & 255).astype(np.uint8) for byte in range(4)])}
    arrays |= {"label": np.arange(size) % 2, "number": np.arange(size), "is_test": np.arange(size) >= 60}
    np.savez(folder / "modelnet10.npz", **arrays, class_name=np.array([f"class{k}" for k in range(10)]))
    pos = skewed(20, 1)
    people = (pos[:, None, :, 1] > 0).astype(np.int8)
    arrays = {"points": pos, "normals": np.ones(pos.shape), "category": np.zeros(20, int), "segmentation": people}
    arrays |= {"category_name": np.array(["cup"]), "reference": np.zeros(20, int), "is_test": np.arange(20) > 12}
    np.savez(folder / "princeton_meshseg.npz", **arrays)
    pos, fold = skewed(40, 2), np.arange(40) % 5
    arrays = {"points": pos, "normals": np.ones(pos.shape), "label": np.arange(40) % 2, "fold": fold}
    arrays |= {"class_name": np.array([f"class{k}" for k in range(69)]), "shape_id": np.arange(40)}
    np.savez(folder / "shapes69.npz", **arrays)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    write_files(tmp_path)
    return {"num_points": POINTS, "data_dir": str(tmp_path), "verify": False}


class Moments(nn.Module):
    """By hand: means over the points of rho^2 (x, y), and of rho^2, z^2 and z^4, rho the distance from the z axis."""

    def __init__(self, chosen: tuple[int, ...]) -> None:
        super().__init__()
        self.chosen, self.unused = list(chosen), nn.Parameter(torch.zeros(()))

    def forward(self, batch: CloudBatch) -> Tensor:
        x, y, z = (batch.pos - self._mean(batch, batch.pos)[batch.batch]).unbind(dim=1)
        rho2 = x**2 + y**2
        return self._mean(batch, torch.stack([rho2 * x, rho2 * y, rho2, z**2, z**4], dim=1)[:, self.chosen])

    @staticmethod
    def _mean(batch: CloudBatch, values: Tensor) -> Tensor:
        total = values.new_zeros(batch.num_clouds, values.shape[1]).index_add(0, batch.batch, values)
        return total / torch.bincount(batch.batch)[:, None]


def measured(model: PretrainingModel, options: dict[str, Any], moment: Any = "after") -> dict[str, float]:
    task = get_task("shapes", **options)
    ledger = task.ledger(Variant("one", RapidashConfig(channels=4, num_layers=1)))
    subject = Subject(model, task, task.dataset("val"), ledger, moment, "full", 0)
    return {found.name: found.value for found in measure_transfer(subject)}


def test_features_that_turn_with_the_shape_know_the_yaw_and_invariant_ones_the_rest(options: dict[str, Any]) -> None:
    turning = measured(PretrainingModel(Moments((0, 1)), 2, 0, nn.Identity(), SO(3)), options)
    assert turning[YAW_R2] > 0.5
    assert turning[similarity_under("yaw")] < 0.3  # cosines of the angles of the grid: their mean is 0.02
    assert turning[similarity_under("translation")] == pytest.approx(1, abs=1e-4)
    assert PART_ACCURACY not in turning  # no network, no features of points
    fixed = measured(PretrainingModel(Moments((2, 3, 4)), 3, 0, nn.Identity(), SO(3)), options)
    assert fixed[similarity_under("yaw")] == pytest.approx(1, abs=1e-4)
    assert fixed[distance_under("yaw")] == pytest.approx(0, abs=1e-2)
    assert fixed[YAW_R2] < 0.1
    assert fixed[SIZE_R2] > 0.4 > 0.1 + turning[SIZE_R2]
    assert fixed[CLASS_ACCURACY] > 90
    assert fixed[RANK] == 2  # z^4 has less than 1e-4 of the variance of rho^2
    appearance = [fixed[similarity_under(name)] for name in APPEARANCE]
    assert fixed[APPEARANCE_SIMILARITY] == pytest.approx(sum(appearance) / 3)
    assert {similarity_under(name) for name in TRANSFORMS} <= fixed.keys()


def test_before_training_nothing_is_measured_and_other_models_are_refused(options: dict[str, Any]) -> None:
    assert measured(PretrainingModel(Moments((0, 1)), 2, 0, nn.Identity(), SO(3)), options, "before") == {}
    with pytest.raises(ValueError, match="give the variants of task 'shapes' an objective of pre-training"):
        measured(nn.Linear(2, 2), options)  # type: ignore[arg-type]
    (Path(options["data_dir"]) / "princeton_meshseg.npz").unlink()
    with pytest.raises(FileNotFoundError, match="mesh segmentations"):
        measured(PretrainingModel(Moments((0, 1)), 2, 0, nn.Identity(), SO(3)), options, "before")


def test_pairs_of_points_are_in_one_part_and_in_two_equally_often() -> None:
    segment = torch.tensor([0, 0, 0, 1, 1, 2])
    pairs = pairs_of_parts(segment, 3, seeded(0))
    same = segment[pairs[:, 0]] == segment[pairs[:, 1]]
    assert same.tolist() == [True] * 3 + [False] * 3
    assert len(pairs.unique(dim=0)) == 6
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(pairs_of_parts(segment, 16, seeded(0))) == 8  # 3 + 1 pairs in one part, as many of the 11 others
    assert len(pairs_of_parts(torch.zeros(4).long(), 16, seeded(0))) == 0


def test_each_encoder_has_a_unit_of_its_own() -> None:
    block = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, -0.5]], dtype=torch.float64)
    unit = unit_of_each(torch.cat([block, 1e-6 * block, 0 * block], dim=1), 3)
    largest = (2 / 3) ** 0.5  # of the first column
    assert unit.tolist() == pytest.approx([largest, largest, 1e-6 * largest, 1e-6 * largest, 1, 1])


def test_pairs_of_points_are_compared_in_white_directions_by_hand() -> None:
    pos = torch.tensor([[0.0, 0.0, 0.0], [1.0, 3.0, 5.0], [0.0, 4.0, 1.0]])
    data = CloudDataset({"pos": pos}, {"pos": Field(Position())}, torch.tensor([3]))
    whitening = Whitening(torch.ones(3).double(), torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double(), 2)
    found = _point_pairs(lambda batch: batch.pos, whitening, _Shapes(data, torch.tensor([[0, 1], [1, 2]])), pos.dtype)
    assert found.tolist() == [[4.0, 9.0], [4.0, 1.0]]  # (2 * 1)^2, 3^2; z is left out, and so is the mean


def test_models_stand_at_the_yaw_and_have_the_size_that_the_probes_are_asked_for(options: dict[str, Any]) -> None:
    train, test = _models(**options)
    assert (len(train.data), len(test.data)) == (54, 30)  # six are those of validation
    for part, split in ((train, "train"), (test, "test")):
        read = modelnet10_dataset(split, **options)
        place = torch.randperm(len(read), generator=seeded("transfer", "modelnet10", split))
        own = read.tensors["pos"].view(len(read), POINTS, 3)[place].double()
        assert torch.equal(part.label, read.tensors["label"][place])
        (cos, sin), size = part.yaw.T, part.log_size.exp()[:, 0]
        x = size[:, None] * (cos[:, None] * own[..., 0] - sin[:, None] * own[..., 1])
        y = size[:, None] * (sin[:, None] * own[..., 0] + cos[:, None] * own[..., 1])
        expected = torch.stack([x, y, size[:, None] * own[..., 2]], dim=2)
        assert torch.allclose(part.data.tensors["pos"].view_as(expected).double(), expected, atol=1e-5)
        assert 0.3 < part.log_size.abs().max() <= 0.4
        assert part.yaw.norm(dim=1) == pytest.approx(torch.ones(len(part.yaw)).numpy())
    again, _ = _models(**options)
    assert torch.equal(again.yaw, train.yaw)  # the same for every run


def test_weights_and_a_mean_for_every_class_by_hand() -> None:
    found = _by_class(torch.tensor([[2.0, 3.0], [5.0, 7.0]]), torch.tensor([1, 0]))
    assert found.shape == (2, 30)
    assert found[0].tolist() == [0, 0, 0, 2, 3, 1, *[0] * 24]
    assert found[1].tolist() == [5, 7, 1, *[0] * 27]


class Faint(Moments):
    """Heights, and beside them a ten-thousandth of what turns with the shape."""

    def __init__(self) -> None:
        super().__init__((2, 3, 0, 1))

    def forward(self, batch: CloudBatch) -> Tensor:
        return super().forward(batch) * torch.tensor([1.0, 1.0, 1e-4, 1e-4])


def test_probes_do_not_see_directions_that_hardly_vary(options: dict[str, Any]) -> None:
    found = measured(PretrainingModel(Faint(), 4, 0, nn.Identity(), SO(3)), options)
    assert found[RANK] == 2
    assert found[YAW_R2] < 0.1


def test_encoders_side_by_side_have_larger_penalties_and_units_of_their_own(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[float, ...]] = []
    probe = _transfer_measure.linear_probe

    def spied(*args: Any, **given: Any) -> Any:
        asked.append(given["penalties"])
        return probe(*args, **given)

    monkeypatch.setattr(_transfer_measure, "linear_probe", spied)
    measured(PretrainingModel(Moments((0, 1)), 2, 0, nn.Identity(), SO(3)), options)
    both = ConcatenatedEncoder([Moments((2, 3)), Scaled()])
    found = measured(PretrainingModel(both, 4, 0, nn.Identity(), SO(3)), options)
    assert {min(one) for one in asked[:3]} == {1e-6}
    assert {round(min(one), 12) for one in asked[3:]} == {1e-4}
    assert found[RANK] == 4
    assert found[YAW_R2] > 0.4  # however small its features are


class Scaled(Moments):
    """What turns with the shape, in a unit a million times as large."""

    def __init__(self) -> None:
        super().__init__((0, 1))

    def forward(self, batch: CloudBatch) -> Tensor:
        return 1e-6 * super().forward(batch)


@pytest.mark.parametrize("full", [False, True])
def test_the_zoo(full: bool) -> None:
    design = get_design("transfer", full=full)
    zoo = {variant.name: variant for variant in design.variants}
    assert len(zoo) == 18
    assert sum(isinstance(variant.objective, Untrained) for variant in zoo.values()) == 4
    trained = [v.objective for v in zoo.values() if type(v.objective) is ContrastivePretraining]
    assert sorted(map(len, (o.augmentations for o in trained))) == [3] * 8 + [6] * 5
    assert {o.augmentations for o in trained} == {POSE, APPEARANCE, POSE + APPEARANCE}
    assert design.train.weight_decay == 0
    assert len(design.seeds) == (3 if full else 1)
    for variant in zoo.values():
        assert variant.neighbor is None or variant.knob


def test_the_wide_control_has_the_weights_of_two_encoders() -> None:
    zoo = {variant.name: variant for variant in get_design("transfer").variants}
    task = get_task("shapes")
    both, wide = (
        sum(p.numel() for p in build_model(task, zoo[name]).encoder.parameters())  # type: ignore[union-attr]
        for name in ("T(3), pose beside appearance", "T(3), both, wide")
    )
    assert abs(wide / both - 1) < 0.05
    assert CHANNELS < WIDE


def test_records_and_the_section(options: dict[str, Any], tmp_path: Path) -> None:
    design = get_design("transfer")
    names = ["T(3), untrained", "T(3), pose", "messages, both", "T(3), pose beside appearance"]
    tiny = {"steps": 2, "eval_every": 2, "checkpoint_every": 2, "batch_size": 6, "warmup_steps": 1}
    design = replace(design.select(names), task_options=options, train=replace(design.train, **tiny))
    run_study(design, tmp_path / "study", progress=False)
    study = read_study(tmp_path / "study")
    assert len(study.done) == 4, [run.raw["error"] for run in study.runs]
    for run in study.done:
        names_of = {m["name"] for m in run.measurements if m["moment"] == "after"}
        assert {CLASS_ACCURACY, YAW_R2, SIZE_R2, PART_ACCURACY, RANK} <= names_of
    table = terminal_table(summarize(study))
    assert "Invariance and transfer" in table
    assert "class accuracy, ModelNet10 (%): A" in table  # the unit once


def records(num: int = 5) -> list[Any]:
    """The yaw falls as the similarity rises, variant by variant; two seeds."""
    made = []
    for place in range(num):
        for seed in (0, 1):
            x = 0.1 + 0.2 * place + 0.01 * seed
            values = {
                similarity_under("rotation"): x,
                APPEARANCE_SIMILARITY: 0.5 + 0.1 * (place % 2) + 0.01 * seed,
                CLASS_ACCURACY: 40.0 + place,
                YAW_R2: 0.9 - x,
                SIZE_R2: 0.5 + 0.02 * seed + 0.1 * (place % 3),
                RANK: 8.0,
            }
            plain = {"unit": "1", "group": "", "view": "full", "better": "", "moment": "after"}
            measurements = [{"name": k, "value": v, **plain} for k, v in values.items()]
            one = small_record(f"arm {place}", seed, 50.0, metric="error", unit="%", measurements=measurements)
            one["config"]["variant"] |= {"neighbor": "arm 0" if place else ""}
            made.append(one)
    return made


def test_the_section_of_records() -> None:
    section = transfer_section(summarize(study_of(records())))
    assert section is not None
    assert section.head[:4] == ("variant", "similarity, rotation", "similarity, appearance", "class (%)")
    assert "same part (%)" not in section.head  # not measured
    assert [row[0][:1] for row in section.rows] == list("ABCDE")
    notes = "\n".join(section.notes).replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")
    assert "-1.00 [-1.00, -1.00] with yaw (R^2)" in notes
    assert "Rank correlation of similarity, rotation, over 5 encoders" in notes
    assert "arm 2 less arm 0: class (%) +2.00" in notes
    assert [chart.y_axis for chart in section.charts] == [YAW_R2, CLASS_ACCURACY]
    assert sum(len(series.points) for series in section.charts[0].series) == 10
    few = transfer_section(summarize(study_of(records(2))))
    assert few is not None
    assert "2 variants: at least 4 are needed for a correlation." in few.notes
    other = study_of([small_record("arm", 0, 1.0)])
    assert transfer_section(summarize(other)) is None


def test_clouds_of_the_tests_are_in_the_unit_ball(options: dict[str, Any]) -> None:
    data = get_task("shapes", **options).dataset("val")
    assert isinstance(data, CloudDataset)
    assert data.tensors["pos"].norm(dim=1).max() == pytest.approx(1, abs=1e-3)


def test_clouds_of_too_few_points_are_told_before_the_training(options: dict[str, Any]) -> None:
    few = {**options, "num_points": 40}
    with pytest.raises(ValueError, match=r"'add .*leaves x as it is"):
        measured(PretrainingModel(Moments((0, 1)), 2, 0, nn.Identity(), SO(3)), few, "before")
