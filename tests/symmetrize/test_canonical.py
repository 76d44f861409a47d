import pytest
import torch
from symmetrize_checks import ENERGY, FIELDS, FORCE, PLACE, PointNet, Scores, cloud, clouds, cube
from torch import nn

from rapidash._seed import seeded
from rapidash.data import CloudBatch, Field, RowBatch
from rapidash.groups import (
    SE,
    SO,
    E,
    Image,
    O,
    Permutation,
    Permutations,
    Position,
    Regular,
    Scalar,
    T,
    cyclic,
    dihedral,
    enumerated,
    finite_table,
    octahedral,
)
from rapidash.measure import Action, equivariance_error
from rapidash.symmetrize import (
    Canonical,
    ChoiceProjection,
    Conditional,
    FrameNetwork,
    GroupActivations,
    RotationProjection,
    VectorProjection,
    small_frame_network,
    straight_through,
    with_noise,
)
from rapidash.symmetry import Enumerated, LinearAction, Symmetrized, symmetrized


def network(group, noise: bool = True, seed: int = 0) -> FrameNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return small_frame_network(group, clouds(dim=group.dim), inputs=["charge", "velocity"], noise=noise).double()


def test_vectors_of_the_small_network_have_no_unit() -> None:
    """Those of one point have length 1, whatever the weights; those of many are means of such."""
    net = network(O(3))
    with torch.no_grad():
        net.network.readout.linear.weight.mul_(100)
    single = net(with_noise(clouds((1,)), 1.0, seeded(0)))
    torch.testing.assert_close(single.norm(dim=-1), torch.ones(1, 3).double())
    assert 0.01 < float(net(clouds()).norm(dim=-1).max().detach()) < 1


GROUPS = [O(3), SO(3), E(3), SE(3), O(2), SE(2)]


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_vectors_of_the_small_network_are_equivariant_and_its_element_too(group) -> None:
    batch, net = clouds(dim=group.dim), network(group)
    noisy = with_noise(batch, 1.0, seeded(1))
    reflected = E(group.dim) if group.translations else O(group.dim)
    h = reflected.sample(3, generator=seeded(2))
    moved = net(noisy.transform(h))
    torch.testing.assert_close(moved, net(noisy) @ h[:, :-1, :-1].mT, atol=1e-12, rtol=0)
    law, k = Conditional(net, group), group.sample(3, generator=seeded(3))
    g = law.project(noisy).g
    torch.testing.assert_close(law.project(noisy.transform(k)).g, k @ g, atol=1e-12, rtol=0)  # coupled noise
    linear = g[:, :-1, :-1]
    torch.testing.assert_close(linear.mT @ linear, torch.eye(group.dim).double().expand_as(linear), atol=1e-12, rtol=0)
    assert all(group.contains(element) for element in g.detach())


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("field", [ENERGY, FORCE, PLACE], ids=["energy", "force", "place"])
def test_a_canonical_element_makes_any_network_exactly_equivariant(group, field: Field) -> None:
    batch, net = clouds(dim=group.dim), PointNet(1 if field is ENERGY else group.dim, field, group.dim).eval()
    action = Action(group, outputs=field)
    assert equivariance_error(net, batch, action).mean > 0.1
    model = Symmetrized(net, field, Canonical(network(group), group)).eval()
    assert equivariance_error(model, batch, action).max < 1e-11


@pytest.mark.parametrize("group", [SO(3), SE(3), SO(2), SE(2)], ids=str)
def test_a_rotation_needs_all_vectors_but_the_last(group) -> None:
    batch, project = clouds(dim=group.dim), RotationProjection(group)
    vectors = torch.randn(3, group.dim, group.dim, generator=seeded(0), dtype=torch.float64)
    g = project(vectors, batch).g
    other = vectors.clone()
    other[:, -1] = 0
    assert torch.equal(project(other, batch).g, g)
    torch.testing.assert_close(g[:, :-1, 0], nn.functional.normalize(vectors[:, 0], dim=-1))
    assert all(group.contains(element) for element in g)
    h = group.sample(3, generator=seeded(1))
    moved = project(vectors @ h[:, :-1, :-1].mT, batch.transform(h))
    torch.testing.assert_close(moved.g, h @ g, atol=1e-12, rtol=0)
    usual = VectorProjection(group)(vectors, batch).g  # differs by the signs of the first and the last column at most
    torch.testing.assert_close(usual.abs(), g.abs())
    if group.dim == 3:
        parallel = vectors.clone()
        parallel[1, 1] = 2 * parallel[1, 0]
        assert (project(parallel, batch).gap < 1e-12).tolist() == [False, True, False]
        by_hand = project(torch.eye(3).double()[[1, 0, 2]].expand(3, 3, 3), batch).g[0, :3, :3]
        torch.testing.assert_close(by_hand, torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]).double())
    torch.autograd.gradcheck(lambda v: project(v, batch).g, vectors.clone().requires_grad_())
    weight = torch.randn(g.shape, generator=seeded(2), dtype=torch.float64)
    (project(vectors.requires_grad_(), batch).g * weight).sum().backward()
    assert float(vectors.grad[:, :-1].abs().amin(dim=(0, 2)).min()) > 1e-3
    assert float(vectors.grad[:, -1].abs().max()) == 0
    with pytest.raises(ValueError, match=r"O\(3\) has reflections, RotationProjection none"):
        RotationProjection(O(3))


def test_a_cloud_in_a_plane_has_a_rotation() -> None:
    flat = clouds((6,))
    flat = flat.with_tensor("pos", flat.pos * torch.tensor([1.0, 1.0, 0.0]).double())
    net = small_frame_network(SE(3), flat, noise=False).double()
    law = Canonical(net, SE(3), projection=RotationProjection(SE(3)), degenerate="error")
    model = Symmetrized(PointNet(3, FORCE), FORCE, law).eval()
    assert equivariance_error(model, flat, Action(SE(3), outputs=FORCE)).max < 1e-10


def test_without_noise_and_with_one_sample_it_is_the_canonical_one_bit_for_bit() -> None:
    batch, net, backbone = clouds(), network(SE(3)), PointNet(3, FORCE)
    canonical = Symmetrized(backbone, FORCE, Canonical(net, SE(3)))
    conditional = Symmetrized(backbone, FORCE, Conditional(net, SE(3), noise_scale=0.0), num_samples=1)
    first, second = canonical.average(batch), conditional.average(batch)
    assert torch.equal(first.samples.g, second.samples.g)
    assert torch.equal(first.output, second.output)
    loud = Symmetrized(backbone, FORCE, Conditional(net, SE(3)))
    assert not torch.equal(loud.average(batch, seeded(0)).samples.g, first.samples.g)
    # asked for more, a point mass is given once, and drawn without noise it is the same each time
    assert canonical.average(batch, num_samples=4).samples.g.shape[1] == 1
    many = conditional.average(batch, num_samples=4).samples.g
    torch.testing.assert_close(many, first.samples.g.expand_as(many))


def test_noise_is_fresh_and_the_generator_decides_alone() -> None:
    batch, law = clouds(), Conditional(network(SO(3)), SO(3))
    g = law.sample(batch, 5, seeded(0)).g.detach()
    assert g.shape == (3, 5, 4, 4)
    assert torch.equal(law.sample(batch, 5, seeded(0)).g, g)
    assert not torch.equal(law.sample(batch, 5, seeded(1)).g, g)
    assert float((g[:, 0] - g[:, 1]).abs().amin(dim=0).max()) > 0.1
    before, state = set(vars(law)), torch.get_rng_state()
    law.sample(batch, 2, seeded(3))
    assert set(vars(law)) == before
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match=r"pass a torch\.Generator"):
        law.sample(batch, 1, None)
    noise = with_noise(batch, 2.0, seeded(0))
    assert noise["noise"].shape == (18, 1, 3)
    assert abs(float(with_noise(clouds((500,)), 2.0, seeded(0))["noise"].std()) - 2) < 0.2
    with pytest.raises(ValueError, match="has a field 'noise' already"):
        with_noise(noise, 1.0, seeded(0))


def test_the_law_itself_is_equivariant_and_the_average_approaches_it() -> None:
    """The mean of many elements turns with the cloud, as far as the number of them lets it."""
    batch, law = clouds((6,)), Conditional(network(SO(3)), SO(3))
    h = SO(3).sample(1, generator=seeded(7))
    with torch.no_grad():
        here = law.sample(batch, 4000, seeded(0)).g.mean(dim=1)[:, :3, :3]
        there = law.sample(batch.transform(h), 4000, seeded(1)).g.mean(dim=1)[:, :3, :3]
    assert float(here.norm()) > 0.2  # no uniform law
    assert float((h[:, :3, :3] @ here - there).norm()) < 0.1


def test_gradients_reach_the_network_that_chooses() -> None:
    for law in (Canonical(network(SE(3)), SE(3)), Conditional(network(SE(3)), SE(3))):
        model = Symmetrized(PointNet(3, FORCE), FORCE, law, num_samples=2)
        model(clouds(), seeded(0)).square().sum().backward()
        grads = [parameter.grad for parameter in law.parameters() if parameter.grad is not None]
        assert grads
        assert all(bool(torch.isfinite(grad).all()) for grad in grads)
        assert max(float(grad.abs().max()) for grad in grads) > 0


def test_the_prior_is_the_distance_to_the_identity() -> None:
    class Fixed(nn.Module):
        def __init__(self, out: torch.Tensor) -> None:
            super().__init__()
            self.out = out

        def forward(self, batch: CloudBatch) -> torch.Tensor:
            return self.out

    batch = clouds((4,))
    quarter = torch.tensor([[[0.0, 1, 0], [-1, 0, 0], [0, 0, 1.0]]])
    found = Canonical(Fixed(quarter), SO(3), prior_weight=2.0).sample(batch, 1, None)
    torch.testing.assert_close(found.g[0, 0, :3, :3], quarter[0].T.double())  # vectors are its columns
    assert float(found.penalty) == pytest.approx(2 * 4 / 9)
    assert float(Canonical(Fixed(quarter), SO(3)).sample(batch, 1, None).penalty) == 0
    same = Canonical(Fixed(torch.eye(3)[None]), SO(3), prior_weight=2.0).sample(batch, 1, None)
    assert float(same.penalty) == 0
    activations = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    choice = Canonical(Fixed(activations), cyclic(4, 3), prior_weight=1.0).sample(batch, 1, None)
    torch.testing.assert_close(choice.g[0, 0], cyclic(4, 3).elements()[1])
    assert float(choice.penalty) == pytest.approx(float(torch.log(torch.tensor(3 + torch.e))))


def test_a_choice_is_hard_forward_and_soft_backward() -> None:
    elements = cyclic(4).elements()
    activations = torch.tensor([[0.3, 0.1, 0.9, 0.2]], dtype=torch.float64, requires_grad=True)
    rows = RowBatch({"x": torch.zeros(1, 2)}, {"x": Field(Position(), level="cloud")})
    g = ChoiceProjection(cyclic(4), beta=3.0)(activations, rows).g
    torch.testing.assert_close(g[0], elements[2])
    weight = torch.randn(3, 3, generator=seeded(0), dtype=torch.float64)
    (found,) = torch.autograd.grad((g * weight).sum(), activations)
    soft = torch.softmax(3.0 * activations, dim=1)
    (expected,) = torch.autograd.grad((torch.einsum("bg,gij->bij", soft, elements) * weight).sum(), activations)
    torch.testing.assert_close(found, expected)
    assert float(found.abs().max()) > 0.01
    hard, soft = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.4], requires_grad=True)
    assert straight_through(hard, soft).tolist() == [1.0, 0.0]
    many = torch.rand(1000, generator=seeded(1), requires_grad=True)
    assert torch.equal(straight_through(torch.ones(1000), many), torch.ones(1000))


def images(num: int = 3) -> RowBatch:
    x = torch.randn(num, 2, 7, 7, generator=seeded("images"), dtype=torch.float64)
    return RowBatch({"x": x}, {"x": Field(Image(), level="cloud")})


def convolved(x: torch.Tensor, channels: int = 1) -> torch.Tensor:
    weight = torch.randn(channels, 2, 3, 3, generator=seeded("filter"), dtype=torch.float64)
    return torch.tanh(nn.functional.conv2d(x, weight, padding=1))


@pytest.mark.parametrize("group", [cyclic(4), dihedral(4)], ids=str)
@pytest.mark.parametrize("field", [ENERGY, Field(Image(), level="cloud")], ids=["number", "map"])
def test_images_are_symmetrized_by_enumeration_and_by_a_chosen_turn(group, field: Field) -> None:
    def score(x: torch.Tensor) -> torch.Tensor:
        ramp = torch.linspace(-1, 2, 49, dtype=torch.float64).view(7, 7)
        return (convolved(x) * ramp).sum(dim=(1, 2, 3))

    def number(x: torch.Tensor) -> torch.Tensor:
        return score(x.flip(1))[:, None]

    batch, net = images(), Scores(number if field is ENERGY else convolved).eval()
    action = Action(group, outputs=field)
    assert equivariance_error(net, batch, action).mean > 0.1
    for law in (Enumerated(group), Canonical(GroupActivations(Scores(score), group), group)):
        assert equivariance_error(Symmetrized(net, field, law).eval(), batch, action).max < 1e-11
    chosen = Canonical(GroupActivations(Scores(score), group), group)
    out = chosen.net(batch)
    h = group.elements()[3].expand(3, 3, 3)
    table = finite_table(group)
    moved = Regular(table).act(h, out)
    torch.testing.assert_close(chosen.net(batch.transform(h)), moved, atol=1e-11, rtol=0)


def test_columns_of_a_table_are_symmetrized() -> None:
    """Categories that may be renamed: scores of three classes in any order."""
    group, field = Permutations(3), Field(Permutation(-1), level="cloud")
    x = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    rows = RowBatch({"x": x}, {"x": field})
    weight = torch.randn(3, 3, generator=seeded(1), dtype=torch.float64)
    net = Scores(lambda v: torch.tanh(v @ weight)).eval()
    action = Action(group, outputs=field)
    assert equivariance_error(net, rows, action).mean > 0.1
    scores = Scores(lambda v: v @ torch.tensor([1.0, 2.0, 4.0]).double())
    for law in (Enumerated(group), Canonical(GroupActivations(scores, group), group)):
        assert equivariance_error(Symmetrized(net, field, law).eval(), rows, action).max < 1e-12
    # the largest score counts most, so that the chosen order puts the columns in rising order
    chosen = Canonical(GroupActivations(scores, group), group).sample(rows, 1, None).g[:, 0]
    ordered = rows.transform(torch.linalg.inv(chosen))["x"]
    torch.testing.assert_close(ordered, x.sort(dim=1).values)


def test_noise_of_rows_moves_as_they_do() -> None:
    batch = with_noise(images(), 1.0, seeded(0))
    assert batch["noise"].shape == (3, 2, 7, 7)
    assert batch.fields["noise"] == Field(Image(), level="cloud")
    places = RowBatch({"x": torch.zeros(4, 2)}, {"x": Field(Position(), level="cloud")})
    assert type(with_noise(places, 1.0, seeded(0)).fields["noise"].representation).__name__ == "Vector"
    still = RowBatch({"x": torch.zeros(4, 2)}, {"x": Field(Scalar(), level="cloud")})
    with pytest.raises(ValueError, match="declares no field of real numbers that moves"):
        with_noise(still, 1.0, seeded(0))


def test_clouds_and_images_that_leave_no_choice_are_told() -> None:
    with pytest.warns(UserWarning, match=r"1 of 1 samples are degenerate: their gap of the choice"):
        Canonical(small_frame_network(O(3), cloud(cube()), noise=False).double(), O(3)).sample(cloud(cube()), 1, None)
    flat = clouds((6,))
    flat = flat.with_tensor("pos", flat.pos * torch.tensor([1.0, 1.0, 0.0]).double())
    law = Canonical(small_frame_network(O(3), flat, noise=False).double(), O(3), degenerate="error")
    with pytest.raises(ValueError, match="gap of the choice is at most 1e-06"):
        law.sample(flat, 1, None)
    Conditional(small_frame_network(O(3), flat).double(), O(3), degenerate="error").sample(flat, 8, seeded(0))
    ramp = torch.linspace(-1, 2, 25, dtype=torch.float64).view(5, 5)
    law = Canonical(
        GroupActivations(Scores(lambda x: (x * ramp).sum(dim=(1, 2, 3))), cyclic(4)), cyclic(4), degenerate="error"
    )
    halves = torch.randn(1, 1, 5, 5, generator=seeded(0), dtype=torch.float64)
    for image, has_no_choice in (
        (torch.full_like(halves, 0.1), True),
        (halves + halves.flip(2, 3), True),
        (halves, False),
    ):
        rows = RowBatch({"x": image}, {"x": Field(Image(), level="cloud")})
        assert bool(law.project(rows).gap < 1e-12) == has_no_choice
        if has_no_choice:
            with pytest.raises(ValueError, match="1 of 1 samples are degenerate"):
                law.sample(rows, 1, None)


def test_what_does_not_fit_is_refused() -> None:
    batch, net = clouds(), network(SO(3))
    with pytest.raises(ValueError, match=r"SO\(3\) needs 3 vectors for each sample, of shape \(3, 3, 3\)"):
        Canonical(PointNet(3, ENERGY), SO(3)).sample(batch, 1, None)
    with pytest.raises(ValueError, match=r"needs an activation for each of its 24 elements, of shape \(3, 24\)"):
        Canonical(PointNet(3, ENERGY), octahedral()).sample(batch, 1, None)
    for group in (T(3), SE(3).keeping_height((0, 0, 1)), Permutations(9)):
        with pytest.raises(ValueError, match="not finite, or too large to list"):
            Canonical(net, group)
    with pytest.raises(ValueError, match="prior_weight must be finite and at least 0"):
        Canonical(net, SO(3), prior_weight=-1.0)
    with pytest.raises(ValueError, match="noise_scale must be finite and at least 0"):
        Conditional(net, SO(3), -1.0)
    with pytest.raises(ValueError, match="num_samples must be at least 1"):
        Conditional(net, SO(3)).sample(batch, 0, seeded(0))
    with pytest.raises(ValueError, match="beta must be positive"):
        ChoiceProjection(cyclic(4), beta=0.0)
    with pytest.raises(ValueError, match="net must return one tensor, got tuple"):
        Canonical(Scores(lambda x: (x, x)), cyclic(4)).sample(images(), 1, None)
    with pytest.raises(ValueError, match="activations need its elements"):
        GroupActivations(net, SO(3))
    with pytest.raises(ValueError, match="one score for each sample"):
        GroupActivations(Scores(lambda x: x), cyclic(4))(images())
    with pytest.raises(ValueError, match="input 'spin' is not in the batch"):
        small_frame_network(SO(3), batch, inputs=["spin"])
    with pytest.raises(ValueError, match=r"input 'pos' must be scalars \(N, C\) or vectors"):
        small_frame_network(SO(3), batch, inputs=["pos"])
    with pytest.raises(ValueError, match="is for clouds, got RowBatch"):
        net(images())
    fewer = CloudBatch(
        {**batch.tensors, "velocity": batch["velocity"][:, None].repeat(1, 2, 1)}, FIELDS, batch.batch, 3
    )
    with pytest.raises(ValueError, match="field 'velocity' must have 1 vectors per point"):
        net(fewer)
    with pytest.raises(ValueError, match=r"group must be O\(n\)"):
        VectorProjection(octahedral())


def test_elements_and_representations_without_inverse_are_refused() -> None:
    batch, net = clouds(), PointNet(3, FORCE)
    singular = torch.zeros(3, 1, 4, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="a singular matrix, which moves nothing back"):
        symmetrized(net, batch, FORCE, singular)
    learned = Field(LinearAction(4, 3).double(), level="cloud")
    with pytest.raises(ValueError, match=r"field 'output': LinearAction is no representation, for rho\(g h\)"):
        Symmetrized(PointNet(3, ENERGY), learned, Enumerated(octahedral()))(batch)
    g = enumerated(octahedral()).expand(3, -1, -1, -1)
    with pytest.raises(ValueError, match=r"weights need the shape \(3, 24\) of g"):
        symmetrized(net, batch, FORCE, g, weights=torch.ones(3))
