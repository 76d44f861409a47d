import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field
from rapidash.groups import SO, Image, Position, Scalar, T, Vector
from rapidash.measure import Action, as_module, layerwise_equivariance_error, lie_derivative


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, *shape), dtype=torch.float64)


VECTORS = Action(SO(3), Vector(), Vector())
SCALARS = Action(SO(3), Vector(), Scalar())


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 3))
        .double()
        .eval()
    )


@pytest.mark.parametrize("hidden", [Vector(), Scalar()], ids=str)
def test_contributions_of_a_chain_close_on_the_exact_sum(hidden: object) -> None:
    model, x = chain(), normal(7, 3)
    layers = {"*": hidden, "0": (Vector(), hidden), "4": (hidden, Vector())}
    result = layerwise_equivariance_error(model, x, VECTORS, layers)
    assert result.contributions.shape == (3, 5, 7, 3)
    assert torch.equal(result.total, lie_derivative(model, x, VECTORS).value)
    assert result.remainder.norm() < 1e-10 * result.total.norm()
    assert float(result.shares.sum()) == pytest.approx(1.0, abs=1e-10)
    report = result.report()
    assert [row["class"] for row in report.rows[:5]] == ["Linear", "Tanh", "Linear", "ReLU", "Linear"]
    *parts, total = report.rows
    assert sum(row["share"] for row in parts) == pytest.approx(total["share"]) == pytest.approx(1.0)
    assert (
        sum(row["contribution"] for row in parts) > total["contribution"]
    )  # sizes do not add up, and the notes say so
    assert report.metadata["share"] == "signed, adds up to 1"
    assert report.metadata["contribution"] == "root mean square, does not add up"


def test_only_the_layer_that_breaks_the_symmetry_is_charged_with_its_closed_form() -> None:
    class Scale(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.square().sum(-1, keepdim=True)

    model = nn.Sequential(Scale(), nn.Linear(3, 3, bias=False), Scale()).double().eval()
    x = normal(4, 3)
    result = layerwise_equivariance_error(model, x, VECTORS, Vector())
    assert result.rms[:, 0].max() < 1e-13
    assert result.rms[:, 2].max() < 1e-13
    weight, between = model[1].weight.detach(), x * x.square().sum(-1, keepdim=True)
    for k, a in enumerate(SO(3).generators()[:, :3, :3]):
        slope = between @ (weight @ a - a @ weight).T
        expected = torch.autograd.functional.jvp(model[2], between @ weight.T, slope)[1]
        assert torch.allclose(result.contributions[k, 1], expected)
    assert result.shares.tolist() == pytest.approx([0, 1, 0], abs=1e-12)


class Branching(nn.Module):
    """A module called twice, keyword arguments, two outputs, a residual sum, and an operation outside any module."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.split, self.mix, self.leak = Split(), Mix(), leak

    def forward(self, pos: Tensor) -> Tensor:
        offset = pos - pos.mean(dim=0)
        length, direction = self.split(offset)
        mixed = self.mix(direction, length=length)
        return mixed + self.mix(mixed, length=length) + self.leak * pos.abs()


class Split(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.norm(dim=-1, keepdim=True), x + 0.1 * x.square()


class Mix(nn.Module):
    def forward(self, x: Tensor, *, length: Tensor) -> Tensor:
        return x * torch.tanh(length) + 0.2 * x[:, [1, 2, 0]]


@pytest.mark.parametrize("leak", [0.0, 0.3])
def test_graphs_of_modules_close_and_the_remainder_is_what_happens_outside(leak: float) -> None:
    hidden = {Split: (Vector(), (Scalar(), Vector())), Mix: ((Vector(), Scalar()), Vector())}
    action, x = Action(SO(3), Field(Position()), Field(Vector())), normal(5, 3)
    result = layerwise_equivariance_error(Branching(leak).eval(), x, action, hidden)
    assert [name for name, _ in result.layers] == ["split", "mix", "mix"]
    outside = leak * lie_derivative(torch.abs, x, action).value
    assert (result.remainder - outside).abs().max() < 1e-10
    assert (result.rms > 0.01).all()


class Edges(nn.Module):
    """What a layer of a graph network may return besides tensors."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"length": x.norm(dim=-1, keepdim=True)}


class WithEdges(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edges, self.mix = Edges(), Mix()

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(x, **self.edges(x))


@pytest.mark.parametrize("method", ["forward", "hutchinson"])
def test_modules_that_return_no_tensors_belong_to_those_that_use_them(method: str) -> None:
    hidden = {Mix: ((Vector(), Scalar()), Vector())}
    result = layerwise_equivariance_error(WithEdges().eval(), normal(5, 3), VECTORS, hidden, method=method)
    assert [name for name, _ in result.layers] == ["mix"]
    if method == "forward":
        assert result.remainder.norm() < 1e-10 * result.total.norm()


def test_random_probes_agree_with_the_exact_sizes() -> None:
    model, x, probes = chain(), normal(7, 3), 400
    exact = layerwise_equivariance_error(model, x, VECTORS, Vector())
    probed = layerwise_equivariance_error(model, x, VECTORS, Vector(), method="hutchinson", probes=probes)
    ratio = (probed.rms.square() / exact.rms.square())[exact.rms > 1e-12]
    assert (ratio - 1).abs().max() < 4 * (2 / probes) ** 0.5
    assert (ratio - 1).abs().max() > 1e-6  # it is an estimate
    with pytest.raises(ValueError, match="method='forward'"):
        _ = probed.remainder
    assert "share" not in probed.report().columns
    assert "share" not in probed.report().metadata


class Opaque(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.detach().square()


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Opaque.apply(x)


def test_layers_without_derivatives_are_pushed_by_differences() -> None:
    model = nn.Sequential(nn.Linear(3, 3), Square(), nn.Linear(3, 3)).double().eval()
    result = layerwise_equivariance_error(model, normal(5, 3), VECTORS, Vector())
    assert result.remainder.norm() < 1e-6 * result.total.norm()


def test_aliasing_of_an_image_network_is_found_in_its_strided_layer() -> None:
    torch.manual_seed(0)
    convolution = {"kernel_size": 3, "padding": 1, "padding_mode": "circular"}
    layers = [nn.Conv2d(1, 4, **convolution), nn.Conv2d(4, 4, stride=2, **convolution), nn.Conv2d(4, 4, **convolution)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).double().eval()
    image = Image("fourier", extent=8.0)
    hidden = {nn.Conv2d: image, nn.AdaptiveAvgPool2d: (image, Scalar()), nn.Flatten: Scalar()}
    to_map = nn.Sequential(*layers).double().eval()
    result = layerwise_equivariance_error(to_map, normal(2, 1, 8, 8), Action(T(2), image, image), {nn.Conv2d: image})
    sizes = result.rms.square().mean(dim=0).sqrt()
    assert sizes[0] < 1e-12
    assert sizes[1] > 0.01
    assert sizes[2] < 1e-12
    pooled = layerwise_equivariance_error(model, normal(2, 1, 8, 8), Action(T(2), image, Scalar()), hidden)
    assert pooled.remainder.abs().max() < 1e-12


@pytest.mark.usefixtures("shape_checks_off")
def test_undeclared_layers_and_bad_arguments_are_named() -> None:
    model, x = chain(), normal(4, 3)
    with pytest.raises(ValueError, match=r"layer '1' \(Tanh\) has no declared representation"):
        layerwise_equivariance_error(model, x, VECTORS, {nn.Linear: Vector()})
    with pytest.raises(ValueError, match="2 representations are declared"):
        layerwise_equivariance_error(model, x, VECTORS, {"*": ((Vector(), Vector()), Vector())})
    with pytest.raises(ValueError, match="method must be one of"):
        layerwise_equivariance_error(model, x, VECTORS, Vector(), method="reverse")
    with pytest.raises(ValueError, match=r"layer '0' \(Linear\) do not fit: a field with shape \(4, 2\)"):
        layerwise_equivariance_error(nn.Sequential(nn.Linear(3, 2).double()).eval(), x, SCALARS, {"*": Vector()})
    with pytest.raises(ValueError, match=r"layers of a function cannot be watched: .* as_module"):
        layerwise_equivariance_error(lambda v: v, x, VECTORS, Vector())
    with pytest.raises(ValueError, match="probes"):
        layerwise_equivariance_error(model, x, VECTORS, Vector(), method="hutchinson", probes=0)
    with pytest.raises(ValueError, match="training mode"):
        layerwise_equivariance_error(model.train(), x, VECTORS, Vector())


def test_the_network_keeps_its_hooks_gradients_and_values() -> None:
    model, x = chain(), normal(4, 3)
    before = model(x).detach()
    layerwise_equivariance_error(model, x, VECTORS, Vector(), method="hutchinson", probes=2)
    layerwise_equivariance_error(model, x, VECTORS, Vector())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(model(x), before)


class WithNames(torch.nn.Module):
    """A vector field scaled by a number that is looked up for each point: equivariant; and one that is not."""

    def __init__(self, leak: float) -> None:
        super().__init__()
        self.names, self.mix, self.leak = torch.nn.Embedding(4, 1), torch.nn.Linear(3, 3, bias=False), leak

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.names(torch.arange(len(x)))
        return scale * (x + self.leak * self.mix(x))


def test_a_lookup_by_whole_numbers_contributes_nothing_and_needs_no_declaration() -> None:
    model = WithNames(leak=0.5).double().eval()
    result = layerwise_equivariance_error(model, normal(4, 3), VECTORS, {"mix": Vector()})
    assert [name for name, _ in result.layers] == ["names", "mix"]
    assert (result.rms[:, 0] == 0).all()
    assert (result.rms[:, 1] > 1e-3).any()
    torch.testing.assert_close(result.rms[:, 1], result.total.flatten(1).square().mean(1).sqrt())


def test_a_layer_that_takes_tensors_in_a_list_is_not_taken_for_a_lookup() -> None:
    class Joined(torch.nn.Module):
        def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat(parts, dim=-1) ** 2

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.joined = Joined()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.joined([x[..., :1], x[..., 1:]])

    with pytest.raises(ValueError, match="the input has no floating-point tensor"):
        layerwise_equivariance_error(Whole().eval(), normal(4, 3), VECTORS, {"joined": Vector()})


def test_a_network_without_layers_to_watch_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer can be watched: give the modules that the function uses"):
        layerwise_equivariance_error(as_module(lambda v: 2 * v), normal(4, 3), VECTORS, Vector())


class Gather(nn.Module):
    def forward(self, x: Tensor, index: Tensor, note: str) -> Tensor:
        return x.cumsum(dim=0)[index] * x[:, :1]


class Gathering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gather = Gather()

    def forward(self, x: Tensor) -> Tensor:
        return self.gather(x, torch.arange(len(x)), note="rows")


def test_one_representation_for_a_layer_is_that_of_its_numbers_and_not_of_its_indices() -> None:
    model, x = Gathering().eval(), normal(4, 3)
    result = layerwise_equivariance_error(model, x, VECTORS, Vector())
    assert torch.allclose(result.contributions[:, 0], result.total)
    with pytest.raises(ValueError, match=r"'gather' \(Gather\) do not fit: Vector cannot move a field of torch\.int64"):
        layerwise_equivariance_error(model, x, VECTORS, {"gather": ((Vector(), Vector(), Scalar()), Vector())})
