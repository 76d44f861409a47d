"""One abstraction for every kind of group, and products of groups."""

import itertools

import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import (
    SE,
    SO,
    SO2,
    E,
    Flows,
    MatrixGroup,
    OfFactor,
    Permutation,
    Permutations,
    Product,
    Scalar,
    T,
    Vector,
    brightness,
    cyclic,
    dihedral,
    enumerated,
    generator_names,
    hyperbolic,
    octahedral,
    scaling,
    shear,
    trivial,
)
from rapidash.measure import Action, equivariance_error

BOTH = Product((Permutations(3), SE(2)))
GROUPS = {  # finite, compact
    "E(3)": (E(3), False, False),
    "T(2)": (T(2), False, False),
    "SO(3)": (SO(3), False, True),
    "SO2 about the origin": (SO2("x").without_translations(), False, True),
    "D4": (dihedral(4), True, True),
    "Oh": (octahedral(reflections=True), True, True),
    "trivial": (trivial(3), True, True),
    "S8": (Permutations(8), True, True),
    "scaling": (scaling(2), False, False),
    "brightness": (brightness(), False, False),
    "S3 x SE(2)": (BOTH, False, False),
    "S3 x C4": (Product((Permutations(3), cyclic(4))), True, True),
    "SO(2) x O": (Product((SO(2), octahedral())), False, True),
}


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_has_the_same_members(name: str) -> None:
    group, is_finite, is_compact = GROUPS[name]
    assert isinstance(group, MatrixGroup)
    assert (group.is_finite, group.is_compact) == (is_finite, is_compact)
    g, h = group.sample(6, generator=seeded(name)).chunk(2)
    eye = torch.eye(group.size, dtype=torch.float64)
    assert torch.equal(group.identity(), eye)
    torch.testing.assert_close(group.compose(g, group.inverse(g)), eye.expand_as(g), atol=1e-12, rtol=0)
    torch.testing.assert_close(group.compose(g, h), torch.matmul(g, h))
    generators = group.generators()
    assert generators.shape == (len(generator_names(group)), group.size, group.size)
    assert all(group.contains(element) for element in [eye, *g, *group.inverse(g)])
    assert not group.contains(2.5 * eye + 0.1)
    assert not group.contains(torch.zeros_like(eye))
    assert not group.contains(torch.eye(group.size + 1, dtype=torch.float64))
    elements = group.elements()
    assert (elements is None) == (not is_finite or name == "S8")
    if elements is not None:
        assert torch.equal(elements, enumerated(group))
        assert torch.equal(elements[0], eye)


@pytest.mark.parametrize("name", GROUPS)
def test_the_exponential_is_a_product_of_flows_and_differentiable(name: str) -> None:
    group = GROUPS[name][0]
    num = len(group.generators())
    assert torch.equal(group.exponential(torch.zeros(2, num)), torch.eye(group.size).expand(2, -1, -1))
    if not num:
        return
    c = torch.randn(3, num, generator=seeded(name), dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(group.exponential(2 * c), group.exponential(c) @ group.exponential(c))
    assert group.contains(group.exponential(0.2 * c[0].detach()))
    assert torch.autograd.gradcheck(group.exponential, (c,))
    assert group.exponential(c.float()).dtype == torch.float32


@pytest.mark.parametrize("flow", [scaling(3), shear(2), hyperbolic(3), brightness()], ids=lambda flow: flow.name)
def test_what_a_flow_contains(flow: Flows) -> None:
    assert all(flow.contains(g) for g in flow.sample(4, generator=seeded(0)))
    far = flow.exponential(torch.full((len(flow.algebra),), 1.3, dtype=torch.float64))
    assert flow.contains(far)  # the range is that of sampling
    off = far.clone()
    off[0, 0] += 1e-3
    assert not flow.contains(off) or flow.name == "hyperbolic(3)"
    mirror = torch.eye(flow.size, dtype=torch.float64)
    mirror[0, 0] = -1
    assert not flow.contains(mirror)


def test_a_product_samples_each_factor_and_moves_fields_by_it() -> None:
    g = BOTH.sample(4, generator=seeded(0))
    rng = seeded(0)
    first, second = Permutations(3).sample(4, generator=rng), SE(2).sample(4, generator=rng)
    assert torch.equal(BOTH.block(0, g), first)
    assert torch.equal(BOTH.block(1, g), second)
    assert torch.equal(g, torch.stack([torch.block_diag(a, b) for a, b in zip(first, second)]))
    x = torch.randn(4, 3, 2, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(OfFactor(BOTH, 0, Permutation(0)).act(g, x), first @ x)
    torch.testing.assert_close(OfFactor(BOTH, 1, Vector()).act(g, x), x @ second[:, :2, :2].mT)
    assert (OfFactor(BOTH, 0, Permutation(0)).acts_on_rows, OfFactor(BOTH, 1, Vector()).acts_on_rows) == (True, False)
    assert BOTH.name == "S(3) x SE(2)"
    assert generator_names(BOTH) == ["rotation", "translation along x", "translation along y"]
    mixed = g[0].clone()
    mixed[0, 4] = 0.5
    assert not BOTH.contains(mixed)
    swapped = Product((SE(2), Permutations(3)))
    assert not swapped.contains(g[0])


def test_the_elements_of_a_product_are_all_pairs() -> None:
    group = Product((Permutations(3), cyclic(4)))
    elements = group.elements()
    pairs = itertools.product(Permutations(3).elements(), cyclic(4).elements())
    assert torch.equal(elements, torch.stack([torch.block_diag(a, b) for a, b in pairs]))
    assert Product((Permutations(6), octahedral())).elements() is None  # 720 times 24
    assert Product((cyclic(4), SO(2))).elements() is None
    assert torch.equal(Product((cyclic(4),)).elements(), cyclic(4).elements())


def test_products_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one group"):
        Product(())
    with pytest.raises(ValueError, match="has factors 0 to 1, got 2"):
        OfFactor(BOTH, 2, Vector())
    with pytest.raises(ValueError, match="matrices of 6 rows"):
        OfFactor(BOTH, 1, Vector()).act(torch.eye(3), torch.ones(2))


def test_measures_take_products_and_groups_of_other_packages() -> None:
    class Mirror:  # no subclass: what measures ask of a group, and no more
        name = "mirror"

        def sample(self, num: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
            return torch.diag(torch.tensor([-1.0, 1, 1], dtype=torch.float64)).repeat(num, 1, 1)

        def generators(self) -> torch.Tensor:
            return torch.zeros(0, 3, 3, dtype=torch.float64)

    MatrixGroup.register(Mirror)  # for `isinstance` only
    x = torch.randn(5, 3, 2, generator=seeded(0), dtype=torch.float64)
    length, first = lambda v: v.norm(dim=-1), lambda v: v[..., 0]
    assert enumerated(Mirror()) is None
    assert generator_names(Mirror()) == []
    assert equivariance_error(length, x, Action(Mirror(), Vector(), Scalar())).max == 0
    assert equivariance_error(first, x, Action(Mirror(), Vector(), Scalar())).max == pytest.approx(2)
    moved, kept = OfFactor(BOTH, 1, Vector()), OfFactor(BOTH, 0, Permutation(-1))
    assert equivariance_error(length, x, Action(BOTH, moved, Scalar())).max < 1e-12
    assert equivariance_error(length, x, Action(BOTH, moved, kept)).max > 0.1
