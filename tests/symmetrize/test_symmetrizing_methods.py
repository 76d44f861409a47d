"""Symmetrization as training methods: closed forms, draws, penalties, ledgers, and any backbone as a variant."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Batch, CloudBatch, Field
from rapidash.groups import SO, E, O, Position, T, Vector, parse_group
from rapidash.methods import (
    Augment,
    Method,
    Step,
    StepView,
    SymmetrizedModel,
    SymmetrizingMethod,
    Variant,
    build_model,
    view_ledger,
)
from rapidash.models import (
    EGNNConfig,
    MessagePassingConfig,
    NetworkConfig,
    OrderedMLPConfig,
    RapidashConfig,
    TransformerConfig,
)
from rapidash.symmetrize import (
    Canonicalization,
    FrameAveraging,
    GroupAveraging,
    ProbabilisticSymmetrization,
)
from rapidash.symmetry import GroupSamples, Haar
from rapidash.tasks import get_task
from rapidash.testing import check_method

TASK = get_task("nbody", num_train=24, num_val=12, num_test=8)
TINY: dict[str, Any] = {"channels": 4, "num_layers": 1}
CHOSEN = Canonicalization("E(3)", **TINY)
LEARNED = ProbabilisticSymmetrization("SE(3)", num=2, num_test=3, **TINY)
MLP = OrderedMLPConfig(5, hidden_dim=16, num_layers=1)
BACKBONES: dict[str, NetworkConfig] = {
    "mlp": MLP,
    "transformer": TransformerConfig(channels=8, num_layers=1, num_heads=2),
    "messages": MessagePassingConfig(channels=8, num_layers=1),
    "EGNN": EGNNConfig(channels=8, num_layers=1),
    "rapidash": RapidashConfig(symmetry="T(3)", space="R3", channels=8, num_layers=1, basis_dim=8, basis_hidden_dim=8),
}


@pytest.mark.parametrize(
    ("backbone", "method"),
    [
        ("mlp", GroupAveraging("O(3)", num=2, num_test=3)),
        ("transformer", GroupAveraging("octahedral", num=0)),
        ("messages", FrameAveraging("O(3)")),
        ("mlp", FrameAveraging("SE(3)", weighted=True)),
        ("transformer", CHOSEN),
        ("mlp", Canonicalization("O(3)", **TINY)),
        ("rapidash", LEARNED),
        ("mlp", ProbabilisticSymmetrization("SO(3)", num=1, num_test=2, **TINY)),
    ],
    ids=repr,
)
def test_methods_keep_the_promises_of_methods(backbone: str, method: Method, tmp_path) -> None:
    check_method(method, TASK, Variant("a", BACKBONES[backbone], methods=(Augment("SO(3)"),)), tmp_path)


@pytest.mark.parametrize(
    ("method", "of_translations", "of_egnn"),
    [
        (GroupAveraging("O(3)"), (E(3), False, T(3)), (E(3), True, None)),
        (GroupAveraging("octahedral", num=0), ("O with T(3)", True, None), (E(3), True, None)),
        (FrameAveraging("O(3)"), (E(3), True, None), (E(3), True, None)),
        (FrameAveraging("SO(3)"), ("SE(3)", True, None), (E(3), True, None)),
        (CHOSEN, (E(3), True, None), (E(3), True, None)),
        (Canonicalization("O(3)"), (O(3), True, None), (E(3), True, None)),
        (LEARNED, ("SE(3)", False, T(3)), (E(3), True, None)),
        (ProbabilisticSymmetrization("SO(3)"), (SO(3), False, None), (E(3), True, None)),
    ],
    ids=repr,
)
def test_the_ledger_says_which_symmetry_an_arm_has_and_how_exactly(
    method: Method, of_translations: tuple[Any, ...], of_egnn: tuple[Any, ...]
) -> None:
    for kind, expected in (("mlp", of_translations), ("transformer", of_translations), ("EGNN", of_egnn)):
        ledger = view_ledger(TASK, Variant("a", BACKBONES[kind], methods=(method,)), "full")
        name, exact, exact_part = expected
        assert ledger.effective == (parse_group(name, 3) if name == "SE(3)" else name) or ledger.effective.name == name
        assert (ledger.exact, ledger.exact_part) == (exact, exact_part)
        assert ledger.reasons[: -1 - bool(ledger.exactness)] == TASK.ledger(Variant("a", BACKBONES[kind])).reasons
    words = view_ledger(TASK, Variant("a", MLP, methods=(method,)), "full").exactness
    if method == GroupAveraging("octahedral", num=0):
        assert words == ()
    elif exact_words := {"frames": "equal second moments", "canonical": "vectors are dependent"}.get(method.kind):
        assert exact_words in words[0]
    else:
        assert "in expectation" in words[0]


class Linear(nn.Module):
    """f(x) = A x at every point, about the centroid of nothing: it has no symmetry but A's."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, batch: Batch) -> Tensor:
        return batch["pos"] @ self.a.T


class Vectors:
    """A task whose output is a vector at every point."""

    name, dim, output = "vectors", 3, Field(Vector())

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        return (prediction - batch["target"]).square().mean()


def clouds(seed: int = 0, sizes: tuple[int, ...] = (6, 4)) -> CloudBatch:
    rng = seeded("symmetrizing methods", seed)
    pos, target = (torch.randn(sum(sizes), 3, generator=rng, dtype=torch.float64) for _ in range(2))
    batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    pos = pos - torch.cat([pos[batch == b].mean(0, keepdim=True).expand(n, 3) for b, n in enumerate(sizes)])
    return CloudBatch(
        {"pos": pos, "target": target}, {"pos": Field(Position()), "target": Field(Vector())}, batch, len(sizes)
    )


A = torch.randn(3, 3, generator=seeded("a matrix"), dtype=torch.float64)


def symmetrized(method: SymmetrizingMethod) -> SymmetrizedModel:
    model = method.modify(Linear(A.clone()), Vectors())  # type: ignore[arg-type]
    assert isinstance(model, SymmetrizedModel)
    return model


def test_the_average_of_a_linear_map_over_the_rotations_of_the_cube_is_its_trace() -> None:
    """Of 3 x 3 matrices only multiples of 1 commute with the rotations of the cube: E[g A g^-1] = tr(A) / 3."""
    x = clouds()
    out = symmetrized(GroupAveraging("octahedral", num=0)).eval()(x)
    torch.testing.assert_close(out, A.trace() / 3 * x.pos)


def test_the_average_of_a_linear_map_over_frames_keeps_its_diagonal_along_the_axes() -> None:
    """The signs S of all frames average S A S to the diagonal of A: h(x) = V diag(A) V^T x."""
    x = clouds()
    out = symmetrized(FrameAveraging("O(3)")).eval()(x)
    for cloud in range(2):
        pos = x.pos[x.batch == cloud]
        axes = torch.linalg.svd(pos).Vh.T
        expected = axes @ torch.diag(A.diagonal()) @ axes.T
        torch.testing.assert_close(out[x.batch == cloud], pos @ expected.T)


def test_random_averages_are_the_mean_over_the_elements_of_the_step() -> None:
    method, x = GroupAveraging("O(3)", num=5, num_test=7), clouds()
    model = symmetrized(method).train()
    with pytest.raises(ValueError, match=r"draws random elements: pass a torch\.Generator"):
        model(x)
    control = method.control(model, 10)
    outs = []
    for step in (3, 3, 4):
        rng = seeded("run", step)
        assert control.batch(x, rng) is x
        outs.append(model(x))
        g = O(3).sample(10, generator=seeded("symmetrize", rng.initial_seed())).reshape(2, 5, 4, 4)[..., :3, :3]
        mean = (g @ A @ g.mT).mean(dim=1)
        torch.testing.assert_close(outs[-1], torch.einsum("nij,nj->ni", mean[x.batch], x.pos))
    assert torch.equal(outs[0], outs[1])
    assert (outs[0] - outs[2]).abs().max() > 1e-3
    control.after(StepView(4, 10, model, x, Step(outs[2].sum())))
    assert model.draws is None
    tested = model.eval()(x)
    g = O(3).sample(14, generator=seeded("symmetrized")).reshape(2, 7, 4, 4)[..., :3, :3]
    torch.testing.assert_close(tested, torch.einsum("nij,nj->ni", (g @ A @ g.mT).mean(dim=1)[x.batch], x.pos))
    assert torch.equal(model(x), tested)


def test_one_element_in_training_is_augmentation() -> None:
    """For a loss that rotations leave as it is, l(g f(g^-1 x), y) = l(f(g^-1 x), g^-1 y)."""
    method, x, task = GroupAveraging("SO(3)", num=1), clouds(), Vectors()
    model = symmetrized(method).train()
    rng = seeded("a step")
    method.control(model, 1).batch(x, rng)
    g = SO(3).sample(2, generator=seeded("symmetrize", rng.initial_seed()))
    moved = x.transform(SO(3).inverse(g))
    torch.testing.assert_close(task.loss(model(x), x), task.loss(model.backbone(moved), moved))


class Priced(nn.Module):
    """Haar, at a price."""

    def __init__(self) -> None:
        super().__init__()
        self.price, self.law = nn.Parameter(torch.tensor(3.0, dtype=torch.float64)), Haar(SO(3))

    def sample(self, batch: Batch, num_samples: int, generator: torch.Generator | None) -> GroupSamples:
        return self.law.sample(batch, num_samples, generator)._replace(penalty=self.price.square())


@dataclass(frozen=True)
class PricedMethod(SymmetrizingMethod):
    """Symmetrization by `Priced`."""

    kind = "priced"

    @property
    def is_exact(self) -> bool:
        return False

    def law(self, task: Any) -> Priced:
        return Priced()

    def in_words(self) -> str:
        return "rotations"


def test_the_penalty_of_a_law_is_a_term_of_the_loss_once_a_step() -> None:
    method, x, task = PricedMethod("SO(3)"), clouds(), Vectors()
    model = symmetrized(method).train()
    control = method.control(model, 1)
    control.batch(x, seeded("a step"))
    view = StepView(0, 1, model, x, Step(task.loss(model(x), x)))
    terms = control.terms(view)
    assert {name: float(term.detach()) for name, term in terms.items()} == {"priced penalty": 9.0}
    terms["priced penalty"].backward()
    assert isinstance(model.distribution, Priced)
    assert model.distribution.price.grad == 6.0
    model(x)  # another method's pass adds nothing
    assert control.terms(view) == {}
    plain = GroupAveraging("SO(3)")
    other = symmetrized(plain).train()
    free = plain.control(other, 1)
    free.batch(x, seeded("a step"))
    assert free.terms(StepView(0, 1, other, x, Step(task.loss(other(x), x)))) == {}


def test_degenerate_frames_are_counted() -> None:
    cube = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    x = clouds(sizes=(8, 8))
    x = x.with_tensor("pos", torch.cat([cube, x.pos[8:]]))
    method = FrameAveraging("O(3)")
    control = method.control(symmetrized(method), 1)
    assert control.values() == {"degenerate frames": 0.0}
    control.batch(x, seeded("a step"))
    assert control.values() == {"degenerate frames": 0.5}


def test_the_choosing_network_sees_what_a_cloud_must_have_and_no_target() -> None:
    law = CHOSEN.law(TASK)
    assert (law.net.scalars, law.net.vectors) == ({"charge": 1}, {"vel": 1})
    few = Canonicalization("E(3)", inputs=("vel",), **TINY).law(TASK)
    assert (few.net.scalars, few.net.vectors) == ({}, {"vel": 1})
    none = Canonicalization("E(3)", **TINY).law(get_task("modelnet10"))
    assert (none.net.scalars, none.net.vectors) == ({}, {})
    with pytest.raises(
        ValueError, match=r"inputs \['target'\] are no scalars or vectors .* needs: \['charge', 'vel'\]"
    ):
        Canonicalization("E(3)", inputs=("target",)).law(TASK)


def test_weights_of_the_backbone_are_those_without_the_method() -> None:
    plain = build_model(TASK, Variant("a", MLP), seed=3)
    chosen = build_model(TASK, Variant("a", MLP, methods=(CHOSEN,)), seed=3)
    for name, weight in plain.state_dict().items():
        assert torch.equal(chosen.state_dict()[f"backbone.{name}"], weight)


def test_calibration_reaches_the_network_inside() -> None:
    batch = TASK.dataset("train").batch(torch.arange(4))
    model = build_model(TASK, Variant("a", BACKBONES["rapidash"], methods=(FrameAveraging("O(3)"),)), seed=0)
    plain = build_model(TASK, Variant("a", BACKBONES["rapidash"]), seed=0)
    before = {name: weight.clone() for name, weight in plain.state_dict().items()}
    plain.calibrate(batch)
    model.calibrate(batch)
    assert any(not torch.equal(weight, before[name]) for name, weight in plain.state_dict().items())
    for name, weight in plain.state_dict().items():
        assert torch.equal(model.state_dict()[f"backbone.{name}"], weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupAveraging("SE(3)"), r"SE\(3\) is not compact and has no Haar probability measure"),
        (lambda: GroupAveraging("SO(3)", num=0), r"SO\(3\) is not finite"),
        (lambda: GroupAveraging("SO(3)", num=-1), "num must be at least 0 and num_test at least 1, got -1 and 20"),
        (lambda: GroupAveraging("SO(3)", num_test=0), "num_test at least 1, got 8 and 0"),
        (lambda: GroupAveraging("SO(4"), "SO"),
        (lambda: FrameAveraging("octahedral"), r"group must be O\(n\), SO\(n\), E\(n\) or SE\(n\)"),
        (lambda: Canonicalization("C4"), r"group must be O\(n\), SO\(n\), E\(n\) or SE\(n\)"),
        (lambda: Canonicalization("E(3)", channels=0), "sizes must be at least 1, got self.channels=0"),
        (lambda: ProbabilisticSymmetrization("E(3)", num=0), "num must be at least 1 and num_test at least 1"),
        (
            lambda: ProbabilisticSymmetrization("E(3)", noise_scale=-1.0),
            "noise_scale must be finite and at least 0, got -1.0",
        ),
        (
            lambda: view_ledger(TASK, Variant("a", MLP, methods=(FrameAveraging("O(2)"),)), "full"),
            r"group 'O\(2\)' acts on R\^2, the model on R\^3",
        ),
    ],
)
def test_bad_input_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_effective_group_is_measured_as_such() -> None:
    """The negative control: the bare network has an error, its frame average none."""
    batch = TASK.dataset("test").batch(torch.arange(4)).to(dtype=torch.float64)
    g = E(3).sample(4, generator=seeded("motions"))
    errors = {}
    for name, methods in (("bare", ()), ("frames", (FrameAveraging("O(3)"),)), ("canonical", (CHOSEN,))):
        model = build_model(TASK, Variant("a", MLP, methods=methods), seed=0).double().eval()
        moved = batch.act(Field(Position()), g, model(batch))
        errors[name] = float((model(batch.transform(g)) - moved).detach().abs().max())
    assert errors["bare"] > 0.1
    assert errors["frames"] < 1e-9
    assert errors["canonical"] < 1e-7
