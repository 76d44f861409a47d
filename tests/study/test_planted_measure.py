"""The measure that asks methods about planted symmetry: functions whose answer is known, and searches on a ring."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import CloudDataset, Field
from rapidash.datasets import planted_classes, planted_label
from rapidash.groups import Position, Scalar
from rapidash.learn import Augerino, LearnedHistogram
from rapidash.learn.sharing import ExactSearch, discover_sharing, fit_sharing
from rapidash.methods import Subject, Variant, build_model
from rapidash.models import OrderedMLPConfig, RapidashConfig
from rapidash.registry import MEASURES
from rapidash.relax import ACE
from rapidash.study import get_design, run_one
from rapidash.study.measures import planted, sayings
from rapidash.study.measures._ring import RingProblem, cyclic_order, ring_features
from rapidash.study.measures._ring_search import searched_order
from rapidash.study.measures.sayings import Saying
from rapidash.tasks import get_task

ABOUT_Z = "SO2(z) about the origin"
FREE = OrderedMLPConfig(num_points=12, hidden_dim=16, num_layers=1)


class Knows(nn.Module):
    """Logits of the right label, from what no network sees."""

    def __init__(self, symmetry: str) -> None:
        super().__init__()
        self.symmetry = symmetry

    def forward(self, batch: Any) -> Tensor:
        label = planted_label(self.symmetry, batch["kind"], batch["facing"])
        return 9.0 * nn.functional.one_hot(label, planted_classes(self.symmetry)).to(batch.pos)


def subject_of(model: nn.Module, symmetry: str, **options: int) -> Subject:
    task = get_task("planted", symmetry=symmetry, data_seed=100, **options)
    return Subject(model.eval(), task, task.dataset("val"), task.ledger(Variant("it", FREE)), "after", "full", 100)


def said(subject: Subject) -> dict[str, Saying]:
    found = [planted.read(m.name, m.value) for m in MEASURES.get("planted-sayings")(subject)]
    return dict(pair for pair in found if pair is not None)


@pytest.mark.parametrize(
    ("symmetry", "expected"),
    [
        ("full", Saying("all turns")),
        ("partial", Saying("turns up to", 45)),
        ("discrete", Saying("steps", 4)),
        ("none", Saying("no turn")),
        ("wrong axis", Saying("no turn")),
    ],
)
def test_consistency_of_a_function_that_is_always_right(symmetry: str, expected: Saying) -> None:
    subject = subject_of(Knows(symmetry), symmetry, num_val=200)
    found = planted.consistency_by_angle(subject.model.double(), subject, "z")
    assert sayings.from_consistency(found, 0.0, 50.0) == expected
    batch = subject.data.batch(torch.arange(200))
    assert planted.error_rate(subject.model, subject, batch) == 0
    num = planted_classes(symmetry)
    assert planted.constant_error(batch["label"]) == pytest.approx(100 * (1 - 1 / num), abs=10)


def test_the_data_are_asked_without_a_network() -> None:
    """They are turned about z by any angle, whatever the label: only the poses of 'partial' tell that they are not."""
    for symmetry, of_data, of_task in (("none", "all turns", "not all turns"), ("partial", *["not all turns"] * 2)):
        told = list(planted._of_data(subject_of(Knows(symmetry), symmetry, num_train=800), "z"))
        assert [(t.method, t.saying.words) for t in told] == [("data score", of_data), ("task score", of_task)]


def test_learned_ranges_are_read_from_their_laws() -> None:
    task = get_task("planted", symmetry="partial", num_train=10, num_val=10)
    for method, expected in (
        (Augerino(ABOUT_Z, init_width=math.pi / 4, weight=0.02), ("Augerino", Saying("turns up to", 45))),
        (Augerino(ABOUT_Z, init_width=0.1, weight=0.0), ("Augerino, no penalty", Saying("no small turns"))),
        (LearnedHistogram(ABOUT_Z, init_share=1 / 24), ("histogram", Saying("all turns"))),
        (LearnedHistogram(ABOUT_Z, init_share=0.95), ("histogram", Saying("no turn"))),
    ):
        model = build_model(task, Variant("it", FREE, methods=(method,)), seed=0)
        told = planted._of_law(model.distribution, (0.0, 50.0))
        assert (told.method, told.saying.words, told.axis) == (expected[0], expected[1].words, "z")
        assert told.saying.amount == pytest.approx(expected[1].amount, abs=1e-3)
    with pytest.raises(ValueError, match="half-widths and histograms, got Knows"):
        planted._of_law(Knows("full"), (0.0, 50.0))


def test_of_a_relaxed_network_gates_and_branches_are_read() -> None:
    bound = RapidashConfig(symmetry="SO2(z)", space="R3", channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8)
    task = get_task("planted", symmetry="none", num_train=20, num_val=20)
    model = build_model(task, Variant("it", bound, methods=(ACE(form="resilient", gate=0.5),)), seed=0)
    model.calibrate(task.dataset("val").batch(torch.arange(20)))
    subject = replace(subject_of(Knows("none"), "none"), model=model.eval(), task=task, data=task.dataset("val"))
    told = {m.name: m.value for m in MEASURES.get("planted-sayings")(subject)}
    assert told["ACE, gates: largest gate"] == pytest.approx(0.5)
    assert told["ACE, error and gap: equivariance error"] > 1e-3
    assert told["ACE, gates says cannot tell"] == 1.0  # it is untrained
    model = build_model(task, Variant("it", replace(bound, symmetry="E(3)"), methods=(ACE(),)), seed=0)
    with pytest.raises(ValueError, match="about turns about x or z"):
        list(MEASURES.get("planted-sayings")(replace(subject, model=model.eval())))


def test_nothing_is_asked_before_training_or_of_other_views_or_data() -> None:
    subject = subject_of(Knows("full"), "full", num_train=20, num_val=20)
    assert not list(MEASURES.get("planted-sayings")(replace(subject, moment="before")))
    assert not list(MEASURES.get("planted-sayings")(replace(subject, view="projected")))
    plane = get_task("glyphs", num_train=4, num_val=4, num_test=4)
    with pytest.raises(ValueError, match="clouds in three dimensions with labels; task 'glyphs'"):
        list(MEASURES.get("planted-sayings")(replace(subject, task=plane)))


def test_sayings_survive_a_record() -> None:
    subject = subject_of(Knows("full"), "full")
    for saying in (Saying("turns up to", 44.5), Saying("steps", 4), Saying("cannot tell"), Saying("all turns")):
        *_, last = planted.written(planted.Told("histogram", "z", saying, {"a": 1.0}), subject)
        assert planted.read(last.name, last.value) == ("histogram", saying)
        assert last.group == ABOUT_Z
    assert planted.read("equivariance error", 1.0) is None
    assert planted.read("somebody says most turns", 1.0) is None


def ring(*points: tuple[float, float, float], axis: str = "z") -> Tensor:
    pos = torch.tensor(points, dtype=torch.float64)
    fields = {"pos": Field(Position(), "length"), "label": Field(Scalar(), level="cloud")}
    data = CloudDataset({"pos": pos, "label": torch.zeros(1)}, fields, torch.tensor([len(points)]))
    return ring_features(data, axis)[0]


def test_bins_of_a_cloud_by_hand() -> None:
    """Two points at opposite sides, 60 and 240 degrees: bins 1 and 2, 5 and 6, of 45 degrees each."""
    c, s = math.cos(math.pi / 3), math.sin(math.pi / 3)
    found = ring((2 * c, 2 * s, 1.0), (-2 * c, -2 * s, -1.0))
    assert found.shape == (8, 9)
    radius = found[:, 0]  # r, of which a third goes on from bin 1 (45 degrees) to bin 2 (90)
    torch.testing.assert_close(radius, torch.tensor([0, 2 / 3, 1 / 3, 0, 0, 2 / 3, 1 / 3, 0]).double())
    torch.testing.assert_close(found[1], 2 / 3 / 2 * torch.tensor([2, 2, 2, 4, 4, 4, 8, 8, 8.0]).double())
    torch.testing.assert_close(found[5, :3], 2 / 3 / 2 * torch.tensor([2, -2, 2.0]).double())  # r, r h, r h^2
    about_x = ring((1.0, 2 * c, 2 * s), (-1.0, -2 * c, -2 * s), axis="x")
    torch.testing.assert_close(about_x, found)


def test_a_turn_by_a_bin_shifts_the_signal() -> None:
    data = get_task("planted", symmetry="none", num_train=5).dataset("train")
    angle = torch.tensor([math.pi / 4], dtype=torch.float64)
    whole = data.batch(torch.arange(5)).to(dtype=torch.float64)
    turned = whole.transform(planted.about("z").exponential(angle))
    again = CloudDataset(turned.tensors, data.fields, data.num_points)
    start = CloudDataset(whole.tensors, data.fields, data.num_points)
    torch.testing.assert_close(ring_features(again, "z"), ring_features(start, "z").roll(1, dims=1))


def test_the_order_of_a_sharing() -> None:
    for assignment, order in (
        ([0] * 8, 8),
        ([0, 1] * 4, 4),
        ([0, 1, 2, 1] * 2, 2),
        ([0, 0, 1, 1, 0, 0, 1, 1], 2),
        ([0, 1, 2, 3, 4, 3, 2, 1], 1),
        (list(range(8)), 1),
    ):
        assert cyclic_order(torch.tensor(assignment)) == order


def problem(symmetry: str) -> tuple[RingProblem, tuple[Any, ...]]:
    task = get_task("planted", symmetry=symmetry, data_seed=100, num_train=1000)
    train, val = task.dataset("train"), task.dataset("val")
    given = (ring_features(train, "z"), train.tensors["label"], ring_features(val, "z"), val.tensors["label"])
    return RingProblem(*given, planted_classes(symmetry)), (*given, planted_classes(symmetry))


def test_the_ring_is_fitted_as_least_squares() -> None:
    """Eight blocks of their own are one linear regression; tied blocks are one on sums of bins."""
    made, (x, label, x_val, label_val, num) = problem("none")
    mean, deviation = x.mean(dim=(0, 1)), x.std(dim=(0, 1))
    y, y_val = (nn.functional.one_hot(t, num).double() for t in (label, label_val))
    ridge = (1000 * 1e-4) ** 0.5  # of a mean over 1000 samples, as further rows
    for assignment, tie in ((list(range(8)), torch.eye(8)), ([0, 1] * 4, torch.eye(2).repeat(4, 1))):
        columns, rows = (
            torch.einsum("nkf,km->nmf", (s - mean) / deviation, tie.double()).flatten(1) for s in (x, x_val)
        )
        width = columns.shape[1]
        columns = torch.cat([columns, ridge * torch.eye(width).double()])
        constant = torch.cat([torch.ones(1000, 1), torch.zeros(width, 1)]).double()
        target = torch.cat([y, torch.zeros(width, num).double()])
        weights = torch.linalg.lstsq(torch.cat([columns, constant], dim=1), target).solution
        rows = torch.cat([rows, torch.ones(len(rows), 1).double()], dim=1)
        expected = float((rows @ weights - y_val).square().sum(dim=1).mean())
        found = fit_sharing(made, torch.tensor(assignment), generator=seeded(0))
        assert found.val_loss == pytest.approx(expected, rel=1e-8)
        free = torch.eye(8).double()
        tied = nn.functional.one_hot(torch.tensor(assignment)).double()
        fit = made.minimize(tied, made.start(tied.shape[1], seeded(0)), "train")
        again = made.loss(free, made.untied(torch.tensor(assignment), fit), "val")
        assert float(again) == pytest.approx(found.val_loss, rel=1e-9)
        wrong = float(((rows @ weights).argmax(dim=1) != label_val).double().mean())
        assert made.error_rate(torch.tensor(assignment)) == pytest.approx(100 * wrong, abs=1e-6)
        hard = nn.functional.one_hot(torch.tensor(assignment), 8).double()[None]
        assert float(made.upper_losses(hard, seeded(0))) == pytest.approx(found.val_loss, rel=1e-9)


def test_searches_find_quarter_turns_and_nothing_in_their_absence() -> None:
    for symmetry, order in (("discrete", 4), ("none", 1)):
        made, given = problem(symmetry)
        assert cyclic_order(discover_sharing(made, ExactSearch(), generator=seeded(0)).assignment) == order
        assert searched_order(*given, seed=100)[0] == order


def test_the_studies_run_and_their_arms_answer(tmp_path: Any) -> None:
    design = get_design("planted")
    assert [run.task_options["data_seed"] for run in design.runs()[::25]] == [0, 1, 2]
    assert len(get_design("planted", full=True).runs()) == 5 * 5 * len(design.variants)
    tiny = {"num_train": 80, "num_val": 40, "num_test": 20}
    train = replace(design.train, steps=2, batch_size=10, warmup_steps=0, eval_every=2)
    heard = set()
    for run in design.runs()[: len(design.variants)]:
        record = run_one(replace(run, train=train, task_options={**run.task_options, **tiny}), tmp_path)
        assert record is not None
        assert record["status"] == "done", record["error"]
        heard |= {found[0] for m in record["measurements"] if (found := planted.read(m["name"], m["value"] or 0.0))}
    assert heard == set(planted.ASKED)


@pytest.mark.parametrize("name", ["planted-modelnet10", "planted-shapes"])
def test_real_shapes_are_asked_about_both_axes(name: str) -> None:
    design = get_design(name)
    asked = [f"{method} {axis}" for axis in "zx" for method in ("transformer + Augerino", "transformer + histogram")]
    named = [variant.name for variant in design.variants]
    assert [found for found in named if "+" in found and "ACE" not in found] == asked
    assert [found for found in named if "ACE" in found] == ["SO2(z) on R3 + ACE", "SO2(x) on R3 + ACE"]
    assert planted.axes_asked(get_task(design.task)) == ("z", "x")
    assert planted.axes_asked(get_task("planted")) == ("z",)
