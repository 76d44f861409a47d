"""Error against severity: what must be unaffected, what must be affected, and what is refused."""

import math

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import POINTCLOUD_C, CloudBatch, CloudDataset, Field, corrupt_dataset
from rapidash.groups import Position, Scalar
from rapidash.measure import SeverityCurve, error_against_severity, severity_report

NUM = 12  # clouds


def data(num: int = NUM, points: int = 32) -> CloudDataset:
    """Long clouds along z (label 0) and along x (label 1), of different places and sizes."""
    rng = seeded("rods")
    label = torch.arange(num) % 2
    pos = torch.randn(num, points, 3, generator=rng, dtype=torch.float64) * torch.tensor([0.2, 0.2, 1.0]).double()
    pos = torch.where(label[:, None, None] == 0, pos, pos.flip(-1))
    pos = pos * (1 + torch.arange(num))[:, None, None] + 10 * torch.randn(num, 1, 3, generator=rng).double()
    fields = {"pos": Field(Position()), "label": Field(Scalar(), level="cloud")}
    return CloudDataset({"pos": pos.reshape(-1, 3), "label": label}, fields, torch.full((num,), points))


def centered(batch: CloudBatch) -> Tensor:
    sizes = torch.bincount(batch.batch, minlength=batch.num_clouds)[:, None]
    mean = batch.pos.new_zeros(batch.num_clouds, 3).index_add(0, batch.batch, batch.pos) / sizes
    return batch.pos - mean[batch.batch]


def extent(batch: CloudBatch) -> Tensor:
    """Mean square along x minus that along z: tells the two kinds apart until the clouds are turned."""
    square = centered(batch).square()
    return batch.pos.new_zeros(batch.num_clouds).index_add(0, batch.batch, square[:, 0] - square[:, 2])


def radius(batch: CloudBatch) -> Tensor:
    """Invariant to rotations about the centroid."""
    return batch.pos.new_zeros(batch.num_clouds).index_add(0, batch.batch, centered(batch).norm(dim=1)) / 32


def wrong(score: Tensor, batch: CloudBatch) -> Tensor:
    return ((score > 0) != (batch["label"] == 1)).double()


def to_clean(prediction: Tensor, batch: CloudBatch) -> Tensor:
    return (prediction - radius(data().batch(torch.arange(NUM)))).abs()


def test_an_invariant_model_is_unaffected_by_rotations_and_affected_by_noise() -> None:
    rotate, jitter = error_against_severity(radius, data(), to_clean, corruptions=("rotate", "jitter"))
    assert (rotate.name, rotate.severities) == ("rotate", (0, 1, 2, 3, 4, 5))
    assert max(rotate.error) < 1e-10
    assert rotate.rise < 1e-10
    assert jitter.error[0] == 0
    assert jitter.error[5] > jitter.error[1] > 1e-3
    assert jitter.error[5] > 2 * jitter.rise_standard_error[5] > 0


def test_a_model_of_the_pose_is_affected_by_rotations() -> None:
    def alignment(batch: CloudBatch) -> Tensor:
        return extent(batch) / extent(data().batch(torch.arange(NUM)))

    (curve,) = error_against_severity(alignment, data(), lambda p, _: (p - 1).abs(), corruptions=("rotate",))
    assert curve.error[0] == 0
    assert curve.error[5] > 3 * curve.error[1] > 0
    assert curve.error[5] > 3 * curve.rise_standard_error[5]
    (small,) = error_against_severity(extent, data(), wrong, corruptions=("rotate",))
    assert max(small.error) == 0  # 30 degrees do not turn x into z: the class survives
    scale, _ = error_against_severity(extent, data(), wrong, corruptions=("scale", "jitter"))
    assert scale.error[5] == scale.error[1] == 0


def test_the_numbers_are_those_of_the_corrupted_data_whatever_the_batch_size() -> None:
    fn, names = (lambda batch: extent(batch).sign() * radius(batch)), ("add_global", "dropout_local")
    curves = error_against_severity(fn, data(), lambda p, _: p.abs(), corruptions=names, batch_size=5)
    for curve, name in zip(curves, names):
        for severity in (1, 5):
            corrupted = corrupt_dataset(data(), name, severity, normalization="each")
            expected = fn(corrupted.batch(torch.arange(NUM))).abs().mean()
            assert curve.error[severity] == pytest.approx(float(expected))
    again = error_against_severity(fn, data(), lambda p, _: p.abs(), corruptions=names, batch_size=64)
    assert [curve.error for curve in again] == [pytest.approx(curve.error) for curve in curves]
    other = error_against_severity(fn, data(), lambda p, _: p.abs(), corruptions=names, seed=1)
    assert other[0].error[1:] != curves[0].error[1:]


def test_the_standard_error_is_that_of_the_paired_rise() -> None:
    (curve,) = error_against_severity(radius, data(), lambda p, _: p, corruptions=("jitter",))
    clean, noisy = (
        radius(part.batch(torch.arange(NUM)))
        for part in (data(), corrupt_dataset(data(), "jitter", 5, normalization="each"))
    )
    assert curve.rise_standard_error[5] == pytest.approx(float((noisy - clean).std() / NUM**0.5))
    assert curve.rise_standard_error[0] == 0
    (alone,) = error_against_severity(radius, data().subset(torch.tensor([0])), lambda p, _: p, corruptions=("jitter",))
    assert math.isnan(alone.rise_standard_error[5])


def test_a_module_gets_data_in_its_dtype_and_stays_as_it_was() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 2)

        def forward(self, batch: CloudBatch) -> Tensor:
            assert batch.pos.dtype == torch.float32
            return self.linear(radius(batch)[:, None])

    model, state = Head().eval(), torch.get_rng_state()
    curves = error_against_severity(
        model, data(), lambda logits, batch: (logits.argmax(1) != batch["label"]).float(), corruptions=("scale",)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert model.linear.weight.grad is None
    assert 0 <= curves[0].error[3] <= 1
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        error_against_severity(model.train(), data(), lambda p, _: p[:, 0], corruptions=("scale",))


def test_the_default_are_the_seven_of_the_benchmark_and_the_report_has_a_row_for_each() -> None:
    curves = error_against_severity(extent, data(), wrong)
    assert [curve.name for curve in curves] == list(POINTCLOUD_C)
    assert {curve.num_clouds for curve in curves} == {len(data())}
    report = severity_report([SeverityCurve("jitter", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (0.0,) * 5 + (0.05,))], unit="%")
    assert report.rows == (
        {"corruption": "jitter", "severity 0": 0.0, "severity 1": 0.1, "severity 2": 0.2, "severity 3": 0.3,
         "severity 4": 0.4, "severity 5": 0.5, "stderr of the rise": 0.05},
    )  # fmt: skip
    assert report.metadata == {"unit": "%"}
    assert severity_report(curves).metadata == {"clouds": len(data())}


def test_the_standard_error_is_that_of_the_mean_over_clouds_by_hand() -> None:
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])  # deviations -2, -1, 0, 3: variance 14 / 3
    curve = error_against_severity(extent, data(4), lambda p, batch: values, corruptions=("jitter",))[0]
    assert curve.standard_error == (pytest.approx((14 / 3 / 4) ** 0.5),) * 6
    assert curve.rise_standard_error == (0.0,) * 6
    one = error_against_severity(extent, data(1), lambda p, batch: values[:1], corruptions=("jitter",))[0]
    assert all(error != error for error in one.standard_error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruptions": ()}, "must be different names out of"),
        ({"corruptions": ("jiter",)}, "got ['jiter']"),
        ({"corruptions": ("jitter", "jitter")}, "must be different"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"data": data(0)}, "0 clouds"),
        ({"errors": lambda p, _: p.mean()}, "expected one number each"),
        ({"errors": lambda p, _: p / 0}, "is not finite"),
        ({"data": data(4, 3), "corruptions": ("lidar",)}, "no beam of the lidar"),
    ],
)
def test_bad_input_is_named(changes: dict, message: str) -> None:
    settings = {"fn": radius, "data": data(4), "errors": lambda p, _: p, "corruptions": ("jitter",), **changes}
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("]", r"\]")):
        error_against_severity(**settings)
