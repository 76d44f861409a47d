import math

import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import (
    SE,
    SO,
    Flows,
    Permutations,
    Product,
    affine,
    brightness,
    contrast,
    cyclic,
    dihedral,
    enumerated,
    generator_names,
    hyperbolic,
    octahedral,
    parse_group,
    parse_matrix_group,
    scaling,
    shear,
    trivial,
)


@pytest.mark.parametrize(
    ("group", "order"),
    [(cyclic(4), 4), (cyclic(6, dim=3), 6), (dihedral(3), 6), (octahedral(), 24), (octahedral(reflections=True), 48),
     (parse_group("I"), 60), (parse_group("full icosahedral"), 120), (Permutations(4), 24), (trivial(2), 1)],
    ids=lambda value: getattr(value, "name", value),
)  # fmt: skip
def test_finite_groups_are_closed_and_enumerated_with_the_identity_first(group: object, order: int) -> None:
    elements = enumerated(group)
    assert elements is not None
    assert len(elements) == order
    assert torch.equal(elements[0], torch.eye(elements.shape[-1], dtype=torch.float64))
    products = torch.einsum("gij,hjk->ghik", elements, elements).reshape(-1, *elements.shape[1:])
    distance = torch.cdist(products.flatten(1), elements.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.amin(dim=1).max() < 1e-12
    assert all((distance < 1e-9).sum(dim=0) == order)  # every element comes as often: a group, not a subset


def test_infinite_and_large_groups_are_not_enumerated() -> None:
    assert enumerated(SO(3)) is None
    assert enumerated(SE(2)) is None
    assert enumerated(scaling(2)) is None
    assert enumerated(Permutations(8)) is None


@pytest.mark.parametrize("flow", [scaling(3), shear(3), hyperbolic(2), brightness(), contrast()], ids=lambda f: f.name)
def test_flows_sample_inside_their_range_and_name_their_generators(flow: Flows) -> None:
    drawn = flow.sample(200, generator=seeded(0))
    assert torch.equal(drawn, flow.sample(200, generator=seeded(0)))
    assert len(generator_names(flow)) == len(flow.generators())
    if flow.name == "scaling(3)":
        logs = drawn[:, 0, 0].log()
        assert logs.abs().max() <= 0.5
        assert logs.abs().max() > 0.4
        assert torch.allclose(drawn[:, 1, 1], drawn[:, 0, 0])
    if flow.name == "hyperbolic(2)":
        assert torch.allclose(torch.linalg.det(drawn[:, :2, :2]), torch.ones(200, dtype=torch.float64))


def test_flow_elements_by_hand() -> None:
    g = torch.linalg.matrix_exp(0.3 * hyperbolic(2).generators()[0])
    expected = [math.cosh(0.3), math.sinh(0.3)]
    assert torch.allclose(g[0, :2], torch.tensor(expected, dtype=torch.float64))
    assert torch.linalg.matrix_exp(0.7 * shear(2).generators()[0])[0].tolist() == pytest.approx([1.0, 0.7, 0.0])


def test_generator_names_match_the_motions() -> None:
    assert generator_names(SE(3))[:4] == [
        "rotation about x",
        "rotation about y",
        "rotation about z",
        "translation along x",
    ]
    assert generator_names(SE(2)) == ["rotation", "translation along x", "translation along y"]


@pytest.mark.parametrize(
    "make", [lambda: scaling(3, 0.0), lambda: Permutations(0), lambda: cyclic(0), lambda: cyclic(4, 5)]
)
def test_bad_sizes_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"must be|need"):
        make()


def test_names_of_groups_of_every_kind() -> None:
    assert parse_matrix_group("S(5)") == Permutations(5)
    assert parse_matrix_group("SE(3)") == SE(3)
    both = parse_matrix_group("C4 x D2")
    assert both == Product((cyclic(4), dihedral(2)))
    assert len(both.elements()) == 16
    assert parse_matrix_group(both.name) == both
    with pytest.raises(ValueError, match="unknown symmetry 'C', expected one of"):
        parse_matrix_group("C4 x C")


def test_affine_flows_span_all_matrices_and_move_as_their_names_say() -> None:
    for dim, number in ((2, 6), (3, 12)):
        group = affine(dim)
        algebra = group.generators()
        assert len(algebra) == len(generator_names(group)) == number
        assert int(torch.linalg.matrix_rank(algebra.flatten(1))) == number
        assert not algebra[:, dim].any()
    with pytest.raises(ValueError, match="dim must be 2 or 3"):
        affine(4)
    at = dict(zip(generator_names(affine(2)), torch.eye(6, dtype=torch.float64)))
    point = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)

    def moved(name: str) -> list[float]:
        return (affine(2).exponential(0.3 * at[name]) @ point)[:2].tolist()

    c, s, e = math.cosh(0.3), math.sinh(0.3), math.exp(0.3)
    assert moved("scaling") == pytest.approx([e, 2 * e])
    assert moved("stretch in xy") == pytest.approx([e, 2 / e])
    assert moved("shear in xy") == pytest.approx([c + 2 * s, s + 2 * c])
    assert moved("translation along y") == pytest.approx([1, 2.3])


def test_names_of_flows_and_of_sums_of_generators_are_read() -> None:
    assert parse_matrix_group("scaling(3)") == scaling(3)
    assert parse_matrix_group("affine(2)").name == "affine(2)"
    both = parse_matrix_group("SO(2) + scaling(2)")
    assert generator_names(both) == ("rotation", "scaling")
    assert both.name == "SO(2) + scaling(2)"
    torch.testing.assert_close(both.exponential(torch.tensor([0.0, 0.5]).double())[0, 0].item(), math.exp(0.5))
    for name, message in (
        ("SO(2) + SE(2)", "depend on each other"),
        ("SO(2) + SO(3)", r"different sizes: SO\(2\) \(3 x 3\), SO\(3\) \(4 x 4\)"),
        ("SO(2) + C4", r"C\(4\) is finite"),
    ):
        with pytest.raises(ValueError, match=message):
            parse_matrix_group(name)
