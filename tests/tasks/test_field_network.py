"""Networks from declared fields: every representation as input and output, pseudovectors and pseudoscalars too."""

from dataclasses import dataclass, replace

import pytest
import torch

from rapidash._seed import seeded
from rapidash.data import CloudBatch, CloudDataset, Field
from rapidash.groups import (
    SE,
    E,
    Group,
    Image,
    Position,
    Pseudoscalar,
    Pseudovector,
    Scalar,
    T,
    Tensor2,
    Vector,
    motion,
    parse_group,
)
from rapidash.methods import Task, Variant
from rapidash.models import EGNNConfig, RapidashConfig
from rapidash.tasks import FieldNetwork, FieldTask

COUNTS = torch.tensor([4, 5, 3, 6])
SMALL = {"channels": 8, "num_layers": 1, "basis_dim": 8, "basis_hidden_dim": 8}
ORIENTED = RapidashConfig(**SMALL, grid="platonic", num_orientations=12)
DISTANCES = RapidashConfig(**SMALL, space="R3")
COMPONENTS = RapidashConfig(**SMALL, space="R3", symmetry="T(3)")


def clouds(counts: torch.Tensor = COUNTS) -> CloudDataset:
    """Points with mass, velocity and spin; the angular momentum about the centroid, and what else follows from them."""
    rng, num, size = seeded("fields"), int(counts.sum()), len(counts)
    pos, vel = (torch.randn(num, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    owner = torch.repeat_interleave(torch.arange(size), counts)
    means = torch.zeros(size, 3).double().index_add(0, owner, pos) / counts[:, None]
    offset = pos - means[owner]
    turning = torch.cross(offset, vel, dim=1)
    momentum = torch.zeros(size, 3).double().index_add(0, owner, turning)
    inertia = torch.zeros(size, 3, 3).double().index_add(0, owner, offset[:, :, None] * offset[:, None])
    first = torch.cumsum(counts, 0) - counts
    edges = [offset[first + k] for k in range(3)]
    tensors = {
        "pos": pos,
        "vel": vel,
        "spin": torch.randn(num, 3, generator=rng, dtype=torch.float64),  # a pseudovector of each point
        "hand": torch.randn(size, 1, generator=rng, dtype=torch.float64),  # a pseudoscalar of each cloud
        "z": torch.arange(num) % 3 + 6,
        "momentum": momentum,
        "volume": torch.linalg.det(torch.stack(edges, dim=1)),  # (B,), with a sign
        "inertia": inertia,
        "speed": vel.norm(dim=1),
        "later": pos + 0.1 * vel,
        "label": torch.arange(size) % 2,
    }
    cloud = {"level": "cloud"}
    fields = {
        "pos": Field(Position(), "m"),
        "vel": Field(Vector(), "m/s"),
        "spin": Field(Pseudovector()),
        "hand": Field(Pseudoscalar(), **cloud),
        "z": Field(Scalar()),
        "momentum": Field(Pseudovector(), "m^2/s", **cloud),
        "volume": Field(Pseudoscalar(), "m^3", **cloud),
        "inertia": Field(Tensor2(), "m^2", **cloud),
        "speed": Field(Scalar(), "m/s"),
        "later": Field(Position(), "m"),
        "label": Field(Scalar(), **cloud),
    }
    return CloudDataset(tensors, fields, counts)


def every(data: CloudDataset) -> CloudBatch:
    return data.batch(torch.arange(len(data)))


def network(config: object, inputs: tuple[str, ...], target: str) -> FieldNetwork:
    torch.manual_seed(0)
    data = clouds()
    made = FieldNetwork(config, data, inputs, target=target).double().eval()
    made.calibrate(every(data))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return made


def movement(made: FieldNetwork, group: Group, num: int = 6) -> tuple[float, float]:
    """Largest entry of f(g x) - rho(g) f(x), and of f(x)."""
    batch = every(clouds())
    g = group.sample(num * len(COUNTS), generator=seeded("g")).reshape(num, len(COUNTS), 4, 4)
    with torch.no_grad():
        value = made(batch)
        rule = made.output if not made.is_class else Field(Scalar(), level="cloud")
        errors = [(made(batch.transform(each)) - batch.act(rule, each, value)).abs().max() for each in g]
    return float(max(errors)), float(value.abs().max())


def test_the_law_of_pseudo_fields_by_hand() -> None:
    """(1, 0, 0) x (0, 1, 0) = (0, 0, 1), and in the mirror (-1, 0, 0) x (0, 1, 0) = (0, 0, -1)."""
    mirror = motion(torch.diag(torch.tensor([-1.0, 1.0, 1.0]).double()), torch.zeros(3).double())
    first, second = torch.eye(3).double()[:2]
    moved = [Vector().act(mirror, x) for x in (first, second)]
    assert torch.cross(*moved, dim=0).tolist() == [0, 0, -1]
    assert Pseudovector().act(mirror, torch.cross(first, second, dim=0)).tolist() == [0, 0, -1]
    assert Vector().act(mirror, torch.cross(first, second, dim=0)).tolist() == [0, 0, 1]
    assert Pseudovector().act(mirror, torch.tensor([1.0, 2.0, 3.0])).tolist() == [1, -2, -3]
    assert Pseudoscalar().act(mirror, torch.tensor([2.0])).tolist() == [-2]
    data = clouds()
    turned = every(data).transform(mirror)
    again = {name: turned[name] for name in ("pos", "vel")}
    owner = turned.batch
    means = torch.zeros(4, 3).double().index_add(0, owner, again["pos"]) / COUNTS[:, None]
    turning = torch.cross(again["pos"] - means[owner], again["vel"], dim=1)
    momentum = torch.zeros(4, 3).double().index_add(0, owner, turning)
    torch.testing.assert_close(turned["momentum"], momentum)  # declared as it is


CASES = {
    "momentum": (("vel", "z"), ORIENTED),
    "volume": (("z",), ORIENTED),
    "hand": (("spin", "z"), ORIENTED),
    "inertia": (("z",), ORIENTED),
    "later": (("vel", "spin"), ORIENTED),
    "speed": (("vel", "spin", "hand"), DISTANCES),
    "label": (("hand", "vel", "spin"), DISTANCES),
}


@pytest.mark.parametrize("target", CASES)
def test_outputs_move_as_they_are_declared(target: str) -> None:
    inputs, config = CASES[target]
    made = network(config, inputs, target)
    ledger = made.ledger()
    assert ledger.effective == E(3)
    claimed = ledger.claimed_exactly
    assert isinstance(claimed, Group)
    is_mirrored = bool({"spin", "hand"} & {*inputs}) or target in ("momentum", "volume", "hand")
    assert (made.mirror is not None) == is_mirrored
    if config is ORIENTED:
        assert claimed == Group(3, parse_group("Ih").linear)  # reflections of the grid too
    error, size = movement(made, claimed)
    assert size > 1e-3
    assert error < 1e-9 * max(size, 1)


@pytest.mark.parametrize("target", ["momentum", "volume"])
def test_without_the_mirror_image_reflections_are_broken(target: str) -> None:
    made = network(ORIENTED, CASES[target][0], target)
    made.mirror = None
    error, size = movement(made, Group(3, parse_group("Ih").linear))
    assert error > 0.05 * size
    assert movement(made, Group(3, parse_group("I").linear))[0] < 1e-9 * max(size, 1)  # the rotations are there


def test_a_symmetry_without_reflections_takes_them_as_vectors_and_numbers() -> None:
    for symmetry, space, expected in (("SE(3)", "R3xS2", SE(3)), ("T(3)", "R3", T(3))):
        config = RapidashConfig(**SMALL, symmetry=symmetry, space=space, grid="platonic", num_orientations=12)
        made = network(config, ("spin",), "momentum")
        assert made.mirror is None
        assert made.ledger().effective == expected
        assert made(every(clouds())).shape == (4, 3)


def test_a_signed_volume_is_learned_by_e3() -> None:
    """No polynomial in distances has a sign; eight clouds and their mirror images have opposite targets."""
    torch.manual_seed(0)
    half = clouds(torch.full((8,), 4))
    mirror = motion(-torch.eye(3).double(), torch.zeros(3).double())
    both = [every(half), every(half).transform(mirror)]
    assert torch.equal(both[0]["volume"], -both[1]["volume"])
    tensors = {name: torch.cat([part[name] for part in both]) for name in ("pos", "z", "volume")}
    data = CloudDataset(tensors, {name: half.fields[name] for name in tensors}, torch.full((16,), 4))
    model = FieldNetwork(ORIENTED, data, ("z",), target="volume").double()
    batch = every(data)
    model.calibrate(batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = (model(batch) - batch["volume"]).square().mean() / batch["volume"].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2  # 1 is that of nothing


def test_numbers_are_in_units_of_their_deviation_about_their_mean() -> None:
    data = clouds()
    made = FieldNetwork(DISTANCES, data, ("vel",), target="speed").double()
    made.calibrate(every(data))
    speed = data.tensors["speed"]
    assert (made.center.item(), made.unit.item()) == pytest.approx(
        (speed.mean().item(), speed.std(correction=0).item())
    )
    other = FieldNetwork(ORIENTED, data, ("vel",), target="later").double()
    other.calibrate(every(data))
    assert other.unit.item() == pytest.approx(0.1 * data.tensors["vel"].square().mean().sqrt().item())
    with torch.no_grad():
        other.backbone.readout.linear.weight.zero_()
        other.backbone.readout.linear.bias.zero_()
    assert torch.equal(other(every(data)), data.tensors["pos"])  # nothing is where the points are


def test_clouds_that_repeat_have_edges_across_the_boundary() -> None:
    """Two points near opposite faces of a cell of 4 are 0.5 apart, as if they stood side by side."""
    inside, across = torch.tensor([[1.0, 1, 1], [1.5, 1, 1]]), torch.tensor([[0.25, 1, 1], [3.75, 1, 1]])
    values = []
    for pos in (inside, across):
        tensors = {"pos": pos.double(), "cell": 4 * torch.eye(3).double()[None], "energy": torch.ones(1).double()}
        fields = {"pos": Field(Position()), "cell": Field(Vector(), level="cloud")}
        data = CloudDataset(tensors, {**fields, "energy": Field(Scalar(), level="cloud")}, torch.tensor([2]))
        torch.manual_seed(0)
        model = FieldNetwork(replace(DISTANCES, edges="radius-1.0", kernel="exact"), data, target="energy").double()
        values.append(model(data[0]).item())
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    with pytest.raises(ValueError, match="the clouds repeat along a cell, and the network 'EGNN' knows none"):
        FieldNetwork(EGNNConfig(channels=8, num_layers=1), data, target="energy")


@pytest.mark.parametrize(
    ("name", "row", "value", "inputs", "target", "message"),
    [
        ("vel", 0, 0.0, ("vel",), "vel", "target 'vel' is among the inputs, pos, vel: there is nothing to learn"),
        ("pos", 0, 0.0, (), "pos", "target 'pos' is among the inputs, pos: there is nothing to learn"),
        (
            "speed",
            2,
            float("nan"),
            (),
            "speed",
            "'speed' has values that are not finite in 1 of 18 rows, .* row 2: leave",
        ),
        ("hand", 3, float("inf"), ("hand",), "speed", "'hand' has values that are not finite in 1 of 4 rows, .* row 3"),
        (
            "inertia",
            1,
            0.5,
            (),
            "inertia",
            r"'inertia' is not symmetric: row 1 and .* 0.5 apart.*learn \(T \+ T\^t\) / 2",
        ),
    ],
)
def test_what_cannot_be_learned_is_said(
    name: str, row: int, value: float, inputs: tuple[str, ...], target: str, message: str
) -> None:
    data = clouds()
    tensor = data.tensors[name].clone()
    tensor[(row, 0, 1) if name == "inertia" else row] += value
    changed = CloudDataset({**data.tensors, name: tensor}, data.fields, COUNTS)
    with pytest.raises(ValueError, match=message):
        FieldNetwork(ORIENTED, changed, inputs, target=target)


def test_a_tensor_that_is_symmetric_to_rounding_is_taken() -> None:
    data = clouds()
    nearly = data.tensors["inertia"] * (1 + 1e-6 * torch.rand(4, 3, 3, generator=seeded("rounding")).double())
    rounded = CloudDataset({**data.tensors, "inertia": nearly}, data.fields, COUNTS)
    made = FieldNetwork(ORIENTED, rounded, target="inertia").double()
    made.calibrate(every(rounded))
    assert float(made.unit) == pytest.approx(float(data.tensors["inertia"].square().mean().sqrt()), rel=1e-5)
    out = made.eval()(every(rounded)).detach()
    assert torch.equal(out, out.mT)


def test_what_does_not_fit_is_said() -> None:
    data = clouds()
    with pytest.raises(ValueError, match=r"unknown field of the data 'momentun'.*did you mean 'momentum'"):
        FieldNetwork(ORIENTED, data, target="momentun")
    with pytest.raises(ValueError, match="input 'inertia' is a Tensor2: a network takes scalars, vectors"):
        FieldNetwork(ORIENTED, data, ("inertia",), target="speed")
    for target in ("momentum", "volume"):
        for config in (DISTANCES, EGNNConfig(channels=8, num_layers=1)):
            with pytest.raises(
                ValueError, match=rf"target '{target}' is a Pseudo.* on R3 cannot tell a cloud from its mirror"
            ):
                FieldNetwork(config, data, ("vel",), target=target)
    with pytest.raises(
        ValueError, match=r"need a network without reflections, or one for E\(3\), got symmetry O2\(z\)"
    ):
        FieldNetwork(RapidashConfig(**SMALL, symmetry="O2(z)"), data, ("spin",), target="speed")
    about_z = RapidashConfig(**SMALL, symmetry="SO2(z)", space="R3")
    with pytest.raises(ValueError, match=r"SO2\(z\) on R3 keeps reflections, under which pseudoscalars"):
        FieldNetwork(about_z, data, ("spin",), target="speed")
    image = Field(Image(), level="cloud")
    odd = CloudDataset({**data.tensors, "x": torch.zeros(4, 2, 2)}, {**data.fields, "x": image}, COUNTS)
    with pytest.raises(ValueError, match=r"target 'x' is a Image of shape \(4, 2, 2\) at cloud level: a network gives"):
        FieldNetwork(ORIENTED, odd, target="x")
    made = network(COMPONENTS, ("z",), "volume")
    with pytest.raises(ValueError, match=r"field 'z' has the values \[99\], the network was made for \[6, 7, 8\]"):
        made(every(data).with_tensor("z", torch.full((18,), 99)))


@dataclass(frozen=True)
class Turning(FieldTask):
    """In eight lines."""

    size: int = 4

    name, inputs, target = "turning", ("vel",), "momentum"

    def dataset(self, split: str) -> CloudDataset:
        return clouds(torch.full((self.size,), 4))


def test_a_task_of_a_few_lines() -> None:
    task, variant = Turning(), Variant("E(3)", ORIENTED)
    assert isinstance(task, Task)
    assert (task.dim, task.metric, task.unit) == (3, "mean error of momentum", "m^2/s")
    assert task.output == Field(Pseudovector(), "m^2/s", "cloud")
    assert task.ledger(variant).effective == E(3)
    batch = every(task.dataset("test"))
    off = batch["momentum"] + torch.tensor([[3.0, 4.0, 0.0]]).double() * torch.tensor([0, 1, 0, 2])[:, None]
    assert task.errors(off, batch).tolist() == pytest.approx([0, 5, 0, 10])
    values = batch["momentum"]
    variance = (values - values.mean(dim=0)).square().mean()
    assert float(task.loss(off, batch)) == pytest.approx(125 / 12 / float(variance))
    assert task.build(variant).double()(batch).shape == (4, 3)


@dataclass(frozen=True)
class Sorting(FieldTask):
    name, inputs, target = "sorting", ("z",), "label"

    def dataset(self, split: str) -> CloudDataset:
        return clouds()


@dataclass(frozen=True)
class Speeds(FieldTask):
    name, inputs, target = "speeds", ("vel",), "speed"

    def dataset(self, split: str) -> CloudDataset:
        return clouds()


def test_classes_and_targets_of_points() -> None:
    task, batch = Sorting(), every(clouds())
    assert (task.metric, task.unit) == ("error rate of label", "%")
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]).double()
    assert task.errors(logits, batch).tolist() == [0, 100, 100, 0]
    assert float(task.loss(logits, batch)) == pytest.approx((0.31326169 + 1.31326169) / 2)
    points = Speeds()
    off = batch["speed"].clone()
    off[4:6] += 1.0  # two of the five points of the second cloud
    assert points.errors(off, batch).tolist() == pytest.approx([0, 0.4, 0, 0])
    with pytest.raises(NotImplementedError, match=r"FieldTask needs dataset\(split\)"):
        FieldTask().dataset("train")
