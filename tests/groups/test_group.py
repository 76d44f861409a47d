import re

import pytest
import torch

from rapidash._seed import seeded
from rapidash.groups import O2, SE, SO, SO2, E, Group, O, T, exponential, inverse, motion, parse_group, trivial
from rapidash.groups._matrix_groups import enumerated, generator_names

NAMES = ["T(2)", "SO(2)", "O(2)", "SE(2)", "E(2)", "T(3)", "SO(3)", "O(3)", "SE(3)", "E(3)", "SO2(z)", "O2(x)"]
NAMES += ["T(3), translations across y only", "O2(y), translations across y only"]
NAMES += ["SO2(0,0.6,0.8), translations across 0,0.6,0.8 only", "T(2), translations across 0.6,0.8 only"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_read_back(name: str) -> None:
    group = parse_group(name, 2 if "(2)" in name else 3)
    assert group.name == name
    assert parse_group(group, group.dim) is group


@pytest.mark.parametrize("name", NAMES)
def test_samples_inverses_and_exponentials_belong_to_the_group(name: str) -> None:
    group = parse_group(name, 2 if "(2)" in name else 3)
    samples = group.sample(8, generator=seeded(name))
    assert all(group.contains(g) and group.contains(inverse(g)) for g in samples)
    assert all(group.contains(g @ h) for g, h in zip(samples[:4], samples[4:]))
    torch.testing.assert_close(samples @ inverse(samples), group.identity().expand_as(samples), atol=1e-12, rtol=0)
    assert all(group.contains(exponential(0.7 * generator)) for generator in group.generators())


def test_an_axis_is_a_letter_or_three_numbers() -> None:
    for name in ("SO2(x)", "SO2(1,0,0)", "SO2( 2, 0, 0 )", "SO2((1, 0, 0))", "SO2([1,0,0])"):
        assert parse_group(name, 3) == SO2("x")


def test_reflections_tell_o_from_so() -> None:
    determinants = torch.linalg.det(O(3).sample(64, generator=seeded(0))[:, :3, :3])
    assert {round(value) for value in determinants.tolist()} == {-1, 1}
    mirror = motion(
        torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)), torch.zeros(3, dtype=torch.float64)
    )
    assert O(3).contains(mirror)
    assert not SO(3).contains(mirror)
    assert not T(3).contains(mirror)


def test_haar_measure_has_no_preferred_direction() -> None:
    rotations = SO(3).sample(4000, generator=seeded("haar"))[:, :3, :3]
    assert rotations.mean(dim=0).abs().max() < 4 / 4000**0.5


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        (T(3), E(3), True),
        (SE(3), E(3), True),
        (E(3), SE(3), False),
        (SO2("z"), SE(3), True),
        (SO2("z"), SO2("x"), False),
        (SO2("z"), O2("z"), True),
        (SO(3), SE(3), True),
        (SE(3), SO(3), False),
        (trivial(3), T(3), True),
        (O2("z"), SE(3), False),
    ],
    ids=str,
)
def test_subgroups(small, large, expected) -> None:
    assert small.is_subgroup(large) is expected


def test_stabilizers() -> None:
    axes = torch.eye(3, dtype=torch.float64)
    assert SE(3).stabilizer(axes) == T(3)
    assert SE(3).stabilizer(axes[2:]) == SO2("z")
    assert E(3).stabilizer(axes[2:]) == O2("z")
    assert SE(3).stabilizer(axes[:0]) == SE(3)
    mirror = E(3).stabilizer(axes[:2])
    assert len(mirror.linear.elements) == 2
    assert SO2("z").stabilizer(axes[2:]) == SO2("z")
    assert SO2("z").stabilizer(axes[:1]) == T(3)
    assert SE(2).stabilizer(torch.eye(2, dtype=torch.float64)[:1]) == T(2)
    for group in (E(3), O2("z")):
        for g in group.stabilizer(axes[:1]).sample(4, generator=seeded(1)):
            torch.testing.assert_close(g[:3, :3] @ axes[0], axes[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("E3", r"did you mean 'E\(3\)'"),
        ("SO2(q)", "axis must be x, y, z or three numbers"),
        ("SO2(0,0,0)", "not all zero"),
        ("E(2)", "acts on R\\^2, but dim=3"),
        ("everything", "expected one of T\\(3\\)"),
    ],
)
def test_unknown_names_teach(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_group(name, 3)


def test_what_keeps_a_height_moves_points_at_their_height() -> None:
    points = torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    for direction in ((0.0, 1.0, 0.0), (0.0, 0.6, 0.8), (-0.6, 0.0, -0.8)):
        group = E(3).keeping_height(direction)
        axis = torch.tensor(direction, dtype=torch.float64)
        assert len(group.generators()) == len(generator_names(group)) == 3
        assert enumerated(T(3).keeping_height(direction)) is None
        basis = group.translation_basis()
        torch.testing.assert_close(basis @ basis.T, torch.eye(2, dtype=torch.float64))
        moved = points @ group.sample(8, generator=seeded(1))[:, :3, :3].mT + group.sample(8)[:, None, :3, 3]
        torch.testing.assert_close(moved @ axis, (points @ axis).expand(8, -1))
        assert group.is_subgroup(E(3))
        assert not E(3).is_subgroup(group)
        assert not T(3).is_subgroup(group)
        assert group.without_translations().is_subgroup(group)
        assert not group.contains(motion(torch.eye(3, dtype=torch.float64), axis))
        assert group.contains(motion(torch.eye(3, dtype=torch.float64), 3 * basis[1]))
    up = (0.0, 1.0, 0.0)
    assert SO(3).keeping_height(up) == SO2("y").without_translations()
    assert T(3).keeping_height(up).keeping_height(up) == T(3).keeping_height(up)


def test_impossible_planes_of_translations_are_refused() -> None:
    with pytest.raises(ValueError, match="not kept by the rotations"):
        Group(3, SO2("z").linear, translations=False, across=(0.0, 1.0, 0.0))
    with pytest.raises(ValueError, match="needs translations=False"):
        Group(3, SO2("z").linear, across=(0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="3 finite numbers"):
        Group(3, SO2("z").linear, translations=False, across=(0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="keep one height only"):
        T(3).keeping_height((0.0, 1.0, 0.0)).keeping_height((1.0, 0.0, 0.0))


@pytest.mark.parametrize("name", ["T(3)", "SE(2)", "SO2(z)", "E(3), translations across y only"])
def test_the_scale_is_the_deviation_of_translations_and_leaves_the_rest(name: str) -> None:
    group = Group(3, parse_group("O2(y)").linear, False, (0.0, 1.0, 0.0)) if "across" in name else parse_group(name)
    unit, large, still = (group.sample(4000, generator=seeded("scale"), scale=scale) for scale in (1.0, 5.0, 0.0))
    dim = group.dim
    assert torch.equal(unit[:, :dim, :dim], large[:, :dim, :dim])
    torch.testing.assert_close(large[:, :dim, dim], 5.0 * unit[:, :dim, dim])
    assert not still[:, :dim, dim].any()
    along = unit[:, :dim, dim] @ group.translation_basis().T
    assert along.std(dim=0).tolist() == pytest.approx([1.0] * along.shape[1], abs=0.05)
    assert along.mean(dim=0).abs().max() < 0.06


def test_products_inverses_and_motions_by_hand() -> None:
    """A quarter turn about z, then (1, 2, 3): e_x goes to e_y + (1, 2, 3), and back."""
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    g = motion(turn, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    there = g @ torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert there.tolist() == [1.0, 3.0, 3.0, 1.0]
    assert (SE(3).inverse(g) @ there).tolist() == [1.0, 0.0, 0.0, 1.0]
    about_x, about_y, about_z = SO(3).generators()[:, :3, :3]
    assert (about_x @ torch.tensor([0.0, 1.0, 0.0]).double()).tolist() == [0.0, 0.0, 1.0]
    assert (about_y @ torch.tensor([0.0, 0.0, 1.0]).double()).tolist() == [1.0, 0.0, 0.0]
    assert (about_z @ torch.tensor([1.0, 0.0, 0.0]).double()).tolist() == [0.0, 1.0, 0.0]
    assert (SO(2).generators()[0, :2, :2] @ torch.tensor([1.0, 0.0]).double()).tolist() == [0.0, 1.0]
    assert SO2("x").generators()[0, :3, :3].tolist() == about_x.tolist()
    assert SE(3).generators()[3:, :3, 3].tolist() == torch.eye(3).tolist()


def test_finite_groups_are_equal_by_their_elements() -> None:
    about_x, about_z = torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 0.0, 1.0]]).double()
    cube = parse_group("octahedral").linear
    assert cube.stabilizer(about_x) == cube.stabilizer(-about_x) == parse_group("C4(x)").linear
    assert cube.stabilizer(about_x) != cube.stabilizer(about_z)
    assert hash(cube.stabilizer(about_x)) == hash(parse_group("C4(x)").linear)
    assert parse_group("C4", 3) == parse_group("C4(z)")
    assert O2("z").linear.stabilizer(about_x) != O2("z").linear.stabilizer(about_x.roll(1, 1))
    assert parse_group("C2(z)").linear != parse_group("C4(z)").linear


@pytest.mark.parametrize(("name", "meant"), [("octahedron", "octahedral"), ("C4(w)", "C4(z)"), ("SO(4)", "SO(3)")])
def test_finite_groups_are_among_those_that_are_meant(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"did you mean {meant!r}?")):
        parse_group(name, 3)
