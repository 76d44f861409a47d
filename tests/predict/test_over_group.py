"""Predictions averaged over a group: exact for a finite one, with their spread, and in one random frame."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rapidash import cli
from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import SE, SO, Position, Scalar, parse_group
from rapidash.methods import Average, OrbitAverage, Variant, orbit_predictions
from rapidash.models import RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.predict._over_group import Spread
from rapidash.tasks import Output, get_task

SIZES = {"num_train": 4, "num_val": 2, "num_test": 5}
TINY = RapidashConfig(symmetry="T(3)", space="R3", channels=4, num_layers=1, basis_dim=4, basis_hidden_dim=4)
CLASSES = ("tetrahedron", "cube", "octahedron")


def trained(*methods: Average, network: nn.Module | None = None) -> TrainedModel:
    """An untrained network of particles, which is not equivariant, in float64."""
    variant = Variant("tiny", TINY, methods=methods)
    torch.manual_seed(0)
    task = get_task("nbody", **SIZES)
    model = task.build(variant)
    model.calibrate(task.dataset("train").batch(torch.arange(4)))
    return TrainedModel("nbody", SIZES, variant, (network or model).double().eval())


def turned(data: CloudDataset, g: Tensor) -> CloudDataset:
    moved = data.batch(torch.arange(len(data))).to(dtype=torch.float64).transform(g)
    return CloudDataset(moved.tensors, data.fields, data.num_points)


@pytest.mark.parametrize("name", ["C4(z)", "octahedral", "Ih"])
def test_all_elements_of_a_finite_group_make_the_prediction_exactly_equivariant(name: str) -> None:
    found, group = trained(), parse_group(name)
    data = found.task.dataset("test")
    elements = group.elements()
    assert elements is not None
    g = elements[[1, 3, 2, 0, 3]]
    made, moved = (found.predict(one, average=name) for one in (turned(data, group.identity()), turned(data, g)))
    expected = Position().act(g.repeat_interleave(data.num_points, dim=0), made["positions"])
    torch.testing.assert_close(moved["positions"], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(moved["positions_spread"], made["positions_spread"], rtol=1e-9, atol=1e-12)
    plain = (found.predict(one)["positions"] for one in (turned(data, group.identity()), turned(data, g)))
    first, second = plain
    assert (second - Position().act(g.repeat_interleave(data.num_points, dim=0), first)).abs().max() > 1e-3
    assert made.average == f"averaged over all {len(elements)} elements of {group.name}"


class Shear(nn.Module):
    """Position and velocity to pos + W vel, W = e_x e_y^T."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, batch: CloudBatch) -> Tensor:
        first = batch.pos.new_tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        return batch.pos + self.unit * batch["vel"] @ first.T


def test_the_spread_of_a_linear_model_over_quarter_turns_by_hand() -> None:
    """The turned W are e_x e_y^T and -e_y e_x^T, twice each. Their mean is half the quarter turn, and the prediction
    misses it by +-(v_y, v_x) / 2: the root mean square deviation is sqrt(v_x^2 + v_y^2) / 2."""
    data = trained().task.dataset("test")
    made = trained(network=Shear()).predict(data, average="C4(z)")
    pos, vel = data.tensors["pos"].double(), data.tensors["vel"].double()
    half = torch.stack([vel[:, 1], -vel[:, 0], torch.zeros(len(vel)).double()], dim=1) / 2
    torch.testing.assert_close(made["positions"], pos + half, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(made["positions_spread"], vel[:, :2].norm(dim=1) / 2, rtol=1e-6, atol=1e-6)
    spread = made.outputs["positions_spread"].field
    assert (spread.unit, spread.level, spread.representation) == ("length", "point", Scalar())


def test_the_spread_over_random_elements_is_the_sample_deviation() -> None:
    """Its square, with K - 1, is on average that over the whole group: of W v above over SO(3) |v|^2 / 3."""
    found = trained(network=Shear())
    data = found.task.dataset("test")
    made = found.predict(data, average="SO(3)", num_elements=3, seed=4)
    batch = data.batch(torch.arange(len(data))).to(dtype=torch.float64)
    elements = OrbitAverage(SO(3), 3).elements(len(data), 4)
    every = torch.stack(list(orbit_predictions(found.model, batch, found.task.output, elements, SO(3)))).detach()
    torch.testing.assert_close(made["positions"], every.mean(dim=0))
    torch.testing.assert_close(made["positions_spread"], every.var(dim=0).sum(dim=1).sqrt())
    assert made.average == "averaged over 3 random elements of SO(3), seed 4"
    square = torch.stack(
        [found.predict(data, average="SO(3)", num_elements=2, seed=k)["positions_spread"] ** 2 for k in range(400)]
    ).mean()
    # the mean of g^T W g is a third of its trace, which is 0, and that of |g^T W g v|^2 a third of |W|^2 |v|^2
    expected = data.tensors["vel"].double().square().sum(dim=1).mean() / 3
    assert float(square) == pytest.approx(float(expected), rel=0.1)


def test_as_many_elements_as_a_finite_group_has_are_all_of_it() -> None:
    quarter_turns, rotations = parse_group("C4(z)", 3), parse_group("SO(3)", 3)
    assert [OrbitAverage.over(quarter_turns, num).num for num in (None, 3, 4, 40)] == [0, 3, 0, 0]
    assert [OrbitAverage.over(rotations, num).num for num in (None, 40)] == [16, 40]
    assert str(OrbitAverage.over(quarter_turns, 40)) == "all 4 elements of C4(z)"


def test_the_average_is_a_function_of_the_seed_and_not_of_the_batch() -> None:
    found = trained()
    data = found.task.dataset("test")
    made = [found.predict(data, average="SO(3)", batch_size=size) for size in (1, 2, 64)]
    for name in ("positions", "positions_spread"):
        assert all(torch.allclose(one[name], made[0][name], rtol=1e-12, atol=1e-12) for one in made)
    other = found.predict(data, average="SO(3)", seed=1)
    assert not torch.allclose(other["positions"], made[0]["positions"])
    assert made[0].average == "averaged over 16 random elements of SO(3), seed 0"


def test_an_equivariant_model_does_not_spread() -> None:
    class Free(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, batch: CloudBatch) -> Tensor:
            return batch.pos + self.weight * batch["vel"]

    found = trained(network=Free())
    made = found.predict(found.task.dataset("test"), average="O(3)")
    assert made["positions_spread"].max() < 1e-6  # the data are float32
    assert made["positions_spread"].shape == (len(made["positions"]),)


def test_a_random_frame_moves_the_prediction_back() -> None:
    found = trained(network=Shear())
    data = found.task.dataset("test")
    made = found.predict(data, random_frame=True, seed=2)
    assert list(made.outputs) == ["positions"]
    assert made.average == "in a random frame of SO(3), seed 2"
    g = SO(3).sample(len(data), generator=seeded(2, "tta", 0)).repeat_interleave(data.num_points, dim=0)[:, :3, :3]
    shear = torch.zeros(3, 3, dtype=torch.float64)
    shear[0, 1] = 1.0
    turned_back = torch.einsum("nji,jk,nkl,nl->ni", g, shear, g, data.tensors["vel"].double())
    torch.testing.assert_close(made["positions"], data.tensors["pos"].double() + turned_back, rtol=1e-6, atol=1e-6)


def test_a_variant_predicts_with_its_own_average_unless_told_otherwise(tmp_path: Path) -> None:
    own, bare = trained(Average("C4(z)")), trained()
    data = own.task.dataset("test")
    made = own.predict(data)
    assert made.average == "averaged over all 4 elements of C4(z)"
    assert torch.equal(made["positions"], bare.predict(data, average="C4(z)")["positions"])
    for nothing in ("none", None):
        assert torch.equal(own.predict(data, average=nothing)["positions"], bare.predict(data)["positions"])
    assert torch.equal(
        own.predict(data, average="SO(3)")["positions"], bare.predict(data, average="SO(3)")["positions"]
    )
    assert torch.equal(
        own.predict(data, random_frame=True)["positions"], bare.predict(data, random_frame=True)["positions"]
    )
    card = (own.save_pretrained(tmp_path) / "README.md").read_text()
    assert "- Predictions: averaged over all 4 elements of C4(z); `--average none` gives those of the network" in card
    assert "- Effective symmetry: C4(z)" in card
    assert "Predictions:" not in (bare.save_pretrained(tmp_path / "bare") / "README.md").read_text()


class Corner(nn.Module):
    """Of a cloud of one point, logits (x, y, -9), of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, batch: CloudBatch) -> Tensor:
        x, y, _ = batch.pos.unbind(dim=1)
        return self.unit * torch.stack([x, y, torch.full_like(x, -9.0)], dim=1)[:: len(x) // batch.num_clouds]


def test_the_spread_of_classes_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over quarter turns the logits of a point at (2, 1) are (2, 1), (-1, 2), (-2, -1), (1, -2): their mean is (0, 0),
    whose class is the first; two elements of four give the second."""
    task = get_task("solids", num_train=4, num_val=4, num_test=4)
    reference = {"class_names": list(CLASSES)}
    found = TrainedModel("solids", {}, Variant("c", TINY), Corner(), reference)
    data = CloudDataset(
        {"pos": torch.tensor([[2.0, 1.0, 0.0]]).double()}, {"pos": Field(Position(), "1")}, torch.tensor([1])
    )
    assert list(found.task.needs) == ["pos"]
    assert task.output.level == "cloud"
    made = found.predict(data, average="C4(z)")
    assert made["class"].tolist() == [0]
    assert made["class_spread"].tolist() == [0.5]
    logits = torch.tensor([[2.0, 1.0, -9.0], [-1.0, 2.0, -9.0], [-2.0, -1.0, -9.0], [1.0, -2.0, -9.0]]).double()
    every = logits.softmax(dim=1)
    torch.testing.assert_close(made["probabilities_spread"], every.std(dim=0, correction=0)[None])
    torch.testing.assert_close(made["probability_spread"], every.amax(dim=1).std(correction=0)[None])
    assert made.outputs["probabilities_spread"].labels == CLASSES


def test_a_class_that_only_the_average_has_spreads_over_all_elements() -> None:
    """Logits (5, 0, 4) and (0, 5, 4) give classes 0 and 1, their mean (2.5, 2.5, 4) the class 2: no element agrees."""
    spread, field = Spread(OrbitAverage(parse_group("C2(z)"), 0)), Field(Scalar(), level="cloud")
    for classes in ([0, 1], [1, 1]):
        spread.add({"class": Output(torch.tensor(classes), field)})
    found = spread.outputs({"class": Output(torch.tensor([2, 1]), field)})
    assert found["class_spread"].values.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"average": "SE(3)"}, r"average: SE\(3\) is not compact, so no average over it is uniform"),
        ({"average": "T(3)"}, r"average: T\(3\) is not compact"),
        ({"average": "SO(4)"}, r"average: unknown symmetry 'SO\(4\)'"),
        ({"average": SO(2)}, r"average: SO\(2\) has matrices of size 3, motions of R\^3 4"),
        ({"average": "SO(3)", "num_elements": 0}, "the number of elements must be at least 1, got 0"),
        ({"num_elements": 4}, r"num_elements is 4, of which group\? Name it: average='SO\(3\)'"),
        ({"average": "none", "num_elements": 4}, "num_elements is 4, of which group"),
        ({"average": "SO(3)", "random_frame": True}, r"leave out average='SO\(3\)', or random_frame"),
    ],
)
def test_what_cannot_be_averaged_over_is_refused(options: dict, message: str) -> None:
    found = trained()
    with pytest.raises(ValueError, match=message):
        found.predict(found.task.dataset("test"), **options)


def test_the_deprecated_number_of_elements_means_what_it_did() -> None:
    """0 is no average, the group that of the variant, or all rotations; groups with translations are still drawn."""
    found = trained(Average("C4(z)"))
    data = found.task.dataset("test")
    message = r"TrainedModel\.predict\(tta\) goes in rapidash 0\.3\.0 .*: use average=GROUP, num_elements=N"

    def earlier(**options: object) -> Tensor:
        with pytest.warns(DeprecationWarning, match=message) as caught:
            made = found.predict(data, **options)["positions"]  # type: ignore[arg-type]
        assert caught[0].filename == __file__
        return made

    assert torch.equal(earlier(tta=0), found.predict(data, average="none")["positions"])
    again = found.predict(data, average="C4(z)", num_elements=2)["positions"]
    assert torch.equal(earlier(tta=2), again)
    moved = found.predict(data, average=OrbitAverage(SE(3), 2))["positions"]
    assert torch.equal(earlier(tta=2, tta_group="SE(3)"), moved)
    with (
        pytest.warns(DeprecationWarning, match=message),
        pytest.raises(ValueError, match="tta must be at least 0, got -1"),
    ):
        found.predict(data, tta=-1)


def particles(path: Path) -> None:
    data = get_task("nbody", **SIZES).dataset("test")
    np.savez(path, **{name: data.tensors[name].unflatten(0, (5, 5)).numpy() for name in ("pos", "vel", "charge")})


def run(*words: object) -> int:
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)


def test_the_command_line_writes_average_and_spread(tmp_path: Path, capsys, monkeypatch) -> None:
    folder, file, out = trained().save_pretrained(tmp_path / "model"), tmp_path / "some.npz", tmp_path / "out.npz"
    particles(file)
    for words, said, spread in (
        (("--average", "C4(z)"), ", averaged over all 4 elements of C4(z)", True),
        (("--average", "SO(3)", "--elements", "3"), ", averaged over 3 random elements of SO(3), seed 0", True),
        (("--random-frame",), ", in a random frame of SO(3), seed 0", False),
        (("--average", "none"), "", False),
    ):  # fmt: skip
        assert run("predict", folder, file, "--out", out, "--quiet", *words) == 0
        names = "positions (length), positions_spread (length)" if spread else "positions (length)"
        assert capsys.readouterr().out.splitlines()[0] == f"nbody{said}: {names} of 5 clouds"
        with np.load(out) as made:
            assert ("positions_spread" in made) is spread
            assert (made["average"].item() if "average" in made else "") == said.removeprefix(", ")
            assert json.loads(made["units"].item()).get("positions_spread") == ("length" if spread else None)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--elements", "3"), 2, "--elements 3 needs --average GROUP, the group that they are of"),
        (("--average", "SO(3)", "--elements", "0"), 2, "--elements must be at least 1, got 0"),
        (("--average", "SO(3)", "--random-frame"), 2, "--random-frame is one random rotation: leave it out, or --av"),
        (("--average", "SO(9)"), 1, "average: unknown symmetry 'SO(9)'"),
        (("--average", "E(3)"), 1, "average: E(3) is not compact"),
        (("--average", "SO(3)", "--tta", "3"), 2, "--tta is deprecated: leave it out"),
    ],
    ids=str,
)
def test_wrong_averages_are_one_line(tmp_path: Path, capsys, words: tuple, code: int, message: str) -> None:
    folder, file = trained().save_pretrained(tmp_path / "model"), tmp_path / "some.npz"
    particles(file)
    assert run("predict", folder, file, "--quiet", *words) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1


def test_the_deprecated_option_works_and_says_what_to_use(tmp_path: Path, capsys) -> None:
    folder, file = trained().save_pretrained(tmp_path / "model"), tmp_path / "some.npz"
    particles(file)
    files = [tmp_path / "first.npz", tmp_path / "second.npz"]
    assert run("predict", folder, file, "--out", files[0], "--quiet", "--tta", "2") == 0
    assert capsys.readouterr().err == (
        "rapidash: warning: rapidash predict --tta goes in rapidash 0.3.0 (deprecated since 0.1.0): "
        "use --average GROUP --elements N\n"
    )
    assert run("predict", folder, file, "--out", files[1], "--quiet", "--average", "SO(3)", "--elements", "2") == 0
    first, second = (np.load(path)["positions"] for path in files)
    assert np.array_equal(first, second)
