"""Data of which nothing can be said: each ends with a sentence."""

from pathlib import Path

import pytest
import torch

from rapidash import cli
from rapidash.advise import Target, diagnose
from rapidash.advise._checks import check_clouds, check_finite, check_sizes, constant_error, copy_cautions
from rapidash.advise._target import find_target
from rapidash.advise._trial import Parts
from rapidash.data import CloudDataset, Field
from rapidash.groups import Position, Scalar, Vector
from rapidash.study import StudyDesign
from rapidash.tasks import get_task

NUM, POINTS = 30, 4


def dataset(pos: torch.Tensor, **others: tuple[torch.Tensor, Field]) -> CloudDataset:
    tensors = {"pos": pos.reshape(-1, 3)} | {name: tensor for name, (tensor, _) in others.items()}
    fields = {"pos": Field(Position(), "m")} | {name: field for name, (_, field) in others.items()}
    return CloudDataset(tensors, fields, torch.full((len(pos),), pos.shape[1]))


def random(num: int = NUM, points: int = POINTS, seed: int = 0) -> torch.Tensor:
    return torch.randn(num, points, 3, generator=torch.Generator().manual_seed(seed))


def labelled(pos: torch.Tensor, values: torch.Tensor) -> tuple[CloudDataset, Target, CloudDataset]:
    """What networks see, the target, and all of it."""
    whole = dataset(pos, y=(values, Field(Scalar(), level="cloud")))
    return dataset(pos), Target("y", "y", values.double()[:, None]), whole


def test_single_points_have_nothing_to_turn() -> None:
    values = torch.arange(NUM).float()
    with pytest.raises(ValueError, match="lie at one place, as of a single point: there is nothing to turn"):
        check_clouds(*labelled(random(points=1), values))
    with pytest.raises(ValueError, match="lie at one place"):
        check_clouds(*labelled(random(points=1).expand(NUM, POINTS, 3), values))
    velocity = dataset(random(points=1), v=(random(points=1).reshape(-1, 3), Field(Vector(), "m/s")))
    check_clouds(velocity, None, velocity)  # a velocity can be turned
    check_clouds(*labelled(random(), values))


def test_clouds_that_are_all_equal() -> None:
    values = torch.arange(NUM).float()
    shifts = torch.arange(NUM).float()[:, None, None]
    with pytest.raises(ValueError, match="all 30 training clouds are equal to a network"):
        check_clouds(*labelled(random(1).expand(NUM, POINTS, 3), values))
    with pytest.raises(ValueError, match="all 30 training clouds are equal to a network"):
        check_clouds(*labelled(torch.tensor([[0.0, 0, 0], [1, 2, 3]]).expand(NUM, 2, 3) + shifts, values))
    kinds = torch.arange(NUM * POINTS) % 7
    told_apart = dataset(random(1).expand(NUM, POINTS, 3), kind=(kinds, Field(Scalar())))
    check_clouds(told_apart, None, told_apart)  # by the kinds of their points


def test_a_target_that_is_the_same_everywhere() -> None:
    with pytest.raises(ValueError, match="the target 'y' is the same for all 30 training clouds: nothing to learn"):
        check_clouds(*labelled(random(), torch.full((NUM,), 2.5)))


def test_values_that_are_not_finite() -> None:
    good, bad = dataset(random()), dataset(random())
    bad.tensors["pos"][5, 1] = float("nan")
    bad.tensors["pos"][7, 2] = float("inf")
    check_finite(Parts(good, good, good), ["pos"])
    with pytest.raises(ValueError, match="2 values of 'pos' of the validation clouds are not finite"):
        check_finite(Parts(good, bad, good), ["pos"])
    with pytest.raises(ValueError, match="2 values of 'pos' of the training clouds"):
        check_finite(Parts(bad, good, good), ["pos"])


def test_copies_in_training_and_validation() -> None:
    train = random()
    val = torch.cat([train[3:5], random(6, seed=1)])
    assert copy_cautions(dataset(train), dataset(random(8, seed=2))) == []
    assert copy_cautions(dataset(train), dataset(val))[0].startswith(
        "2 of 8 validation clouds are copies of training clouds: errors are smaller than on new clouds"
    )
    assert copy_cautions(dataset(train), dataset(val[1:]))[0].startswith(
        "1 of 7 validation clouds is a copy of a training"
    )


def test_the_error_of_a_prediction_that_sees_no_cloud(solids: StudyDesign) -> None:
    task = get_task(solids.task, **solids.task_options)
    parts = Parts.of(task, 0)
    target = find_target(task, solids.variants[0], parts.train)[1]
    train, val = (part.tensors["label"].tolist() for part in (parts.train, parts.val))
    commonest = max(sorted(set(train)), key=train.count)
    expected = 100 * sum(label != commonest for label in val) / len(val)
    assert constant_error(task, target, parts) == pytest.approx(expected)
    nbody = get_task("nbody", num_train=20, num_val=8, num_test=2)
    assert constant_error(nbody, None, Parts.of(nbody, 0)) is None


def test_questions_about_what_is_the_same_in_all_clouds_are_not_asked() -> None:
    """Equal clouds apart, whose poses are the same: no planted target can be made of them."""
    pos = random(1).double().expand(NUM, POINTS, 3) + torch.arange(NUM)[:, None, None]
    values = torch.randn(NUM, 1, generator=torch.Generator().manual_seed(3)).double()
    found = diagnose(dataset(pos), Target("y", "y", values), only=["pose beyond shape", "vertical", "heading", "hand"])
    assert [each.says for each in found] == ["not asked"] * 4


def csv(path: Path, num: int, points: int, value: str = "{size:.3f}") -> Path:
    rows = ["scan,x,y,z,load"]
    for scan, cloud in enumerate(random(num, points)):
        load = value.format(size=float(cloud.norm()), scan=scan)
        rows += [f"{scan},{x:.4f},{y:.4f},{z:.4f},{load}" for x, y, z in cloud.tolist()]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("num", "points", "value", "words"),
    [
        (1, 5, "{size:.3f}", "expected at least 10 clouds"),
        (25, 5, "{size:.3f}", "18 training and 3 validation clouds are too few for any statement: at least 20 and 8"),
        (60, 5, "2.5", "is the same everywhere, 2.5: there is nothing to learn"),
        (60, 5, "nan", "no cloud has 'load'"),
        (60, 1, "{size:.3f}", "there is nothing to turn"),
        (60, 5, "kind {scan}", "has fewer than 3 clouds"),
    ],
)
def test_files_of_which_nothing_can_be_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], num: int, points: int, value: str, words: str
) -> None:
    path = csv(tmp_path / "points.csv", num, points, value)
    asked = ["advise", str(path), "--cloud", "scan", "--target", "load", "--out", str(tmp_path / "out")]
    assert cli.main([*asked, "--quiet"]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "advice.json").exists()


def test_just_enough_clouds() -> None:
    """20 training and 8 validation clouds are enough, one less of either is not."""
    enough, few = dataset(random(20)), dataset(random(8))
    check_sizes(Parts(enough, few, few))
    for parts in (Parts(dataset(random(19)), few, few), Parts(enough, dataset(random(7)), few)):
        with pytest.raises(ValueError, match="too few for any statement: at least 20 and 8 are needed"):
            check_sizes(parts)
