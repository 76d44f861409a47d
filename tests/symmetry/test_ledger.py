import pytest
import torch

from rapidash.groups import SE, SO, SO2, E, Group, O, T, octahedral, parse_group, trivial
from rapidash.symmetry import GeometricInput, averaged_symmetry, combine_inputs, global_frame, symmetry_ledger

POSITION = {way: GeometricInput("coordinates", "position", way) for way in ("scalars", "vectors")}
NORMALS = {way: GeometricInput("normals", "vector", way) for way in ("scalars", "vectors")}
POSE = {way: GeometricInput("pose", "pose", way) for way in ("scalars", "vectors")}
HEIGHT = GeometricInput("height", "height", "scalars", ((0.0, 1.0, 0.0),))
GRAVITY = GeometricInput("gravity", "constant", "vectors", ((0.0, 0.0, -9.81),))


@pytest.mark.parametrize(
    ("layers", "inputs", "effective"),
    [
        (SE(3), [], SE(3)),
        (SE(3), [POSITION["scalars"]], trivial(3)),
        (SE(3), [POSITION["vectors"]], SO(3)),
        (E(3), [POSITION["vectors"]], O(3)),
        (SE(3), [NORMALS["vectors"]], SE(3)),
        (SE(3), [NORMALS["scalars"]], T(3)),
        (SE(3), [global_frame(3)], T(3)),
        (E(3), [global_frame(3)], T(3)),
        (SE(3), [POSE["vectors"]], SE(3)),
        (SE(3), [POSE["scalars"]], T(3)),
        (SE(3), [GRAVITY], SO2((0, 0, -1))),
        (SE(3), [GRAVITY, NORMALS["scalars"]], T(3)),
        (E(3), [HEIGHT], parse_group("O2(y), translations across y only", 3)),
        (T(3), [HEIGHT, NORMALS["vectors"]], parse_group("T(3), translations across y only", 3)),
        (SE(3), [HEIGHT, POSITION["vectors"]], SO2("y").without_translations()),
        (SE(3), [POSITION["vectors"], HEIGHT], SO2("y").without_translations()),
        (SE(3), [HEIGHT, global_frame(3)], parse_group("T(3), translations across y only", 3)),
        (T(3), [NORMALS["vectors"]], T(3)),
        (E(2), [NORMALS["scalars"]], T(2)),
    ],
    ids=str,
)
def test_effective_symmetry_of_layers_and_inputs(layers, inputs, effective) -> None:
    ledger = symmetry_ledger(layers, inputs)
    assert ledger.effective == effective
    assert ledger.layers == layers
    assert len(ledger.reasons) >= 1 + len(inputs)
    assert ledger.oracle is any(entry.quantity == "pose" for entry in inputs)
    assert ledger.to_dict()["effective"] == effective.name


def test_reasons_name_the_input_and_what_is_lost() -> None:
    reasons = symmetry_ledger(SE(3), [NORMALS["scalars"]]).reasons
    assert any("normals" in reason and "SE(3) is reduced to T(3)" in reason for reason in reasons)
    kept = symmetry_ledger(SE(3), [NORMALS["vectors"]]).reasons
    assert any("nothing is lost" in reason for reason in kept)


def test_inputs_are_combined_scalars_first() -> None:
    values = torch.arange(12.0).reshape(2, 2, 3)
    scalars, vectors = combine_inputs([(NORMALS["scalars"], values), (NORMALS["vectors"], -values)], torch.ones(2, 1))
    assert scalars is not None
    assert scalars[0].tolist() == [1, 0, 1, 2, 3, 4, 5]
    assert vectors is not None
    assert vectors.shape == (2, 2, 3)
    assert combine_inputs([]) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("speed", "invariant", "vectors"), "scalars only"),
        (("height", "height", "vectors", ((0.0, 1.0, 0.0),)), "scalars only"),
        (("height", "height", "scalars"), "need them"),
        (("height", "height", "scalars", ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))), "one direction"),
        (("up", "constant", "vectors"), "directions"),
        (("x", "tensor"), "quantity must be one of"),
        (("x", "vector", "components"), "'scalars' or 'vectors'"),
    ],
)
def test_contradictory_declarations_are_refused(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        GeometricInput(*arguments)


CUBE = Group(3, octahedral().linear)
FRAME = {
    way: GeometricInput("frame", "constant", way, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))) for way in ("scalars", "vectors")
}


def test_the_claim_is_exact_where_the_exact_part_holds_all_of_it() -> None:
    """The rotations of a cube are a part of SE(3) and not the other way round."""
    ledger = symmetry_ledger(SE(3), exact=CUBE)
    assert CUBE.is_subgroup(SE(3))
    assert not SE(3).is_subgroup(CUBE)
    assert not ledger.exact
    assert ledger.exact_part == CUBE
    assert ledger.claimed_exactly == CUBE
    assert "exactly for those of the orientation grid" in ledger.reasons[-1]
    whole = symmetry_ledger(SE(3), exact=E(3))
    assert (whole.exact, whole.exact_part, whole.claimed_exactly) == (True, None, SE(3))
    reduced = symmetry_ledger(SE(3), [global_frame(3)], exact=CUBE)
    assert (reduced.effective, reduced.exact, reduced.claimed_exactly) == (T(3), True, T(3))


def test_the_exact_part_is_reduced_by_the_inputs_as_the_symmetry_is() -> None:
    ledger = symmetry_ledger(SE(3), [POSITION["vectors"], GRAVITY], exact=CUBE)
    assert ledger.effective == SO2((0.0, 0.0, -1.0)).without_translations()
    assert ledger.exact_part is not None
    assert len(ledger.exact_part.elements()) == 4  # the quarter turns about gravity
    assert not ledger.exact_part.translations


def test_a_constant_as_scalars_is_the_same_number_for_every_cloud() -> None:
    ledger = symmetry_ledger(SE(3), [FRAME["scalars"]])
    assert ledger.effective == SE(3)
    assert ledger.reasons[1] == "frame as scalars do not change: nothing is lost"
    assert symmetry_ledger(E(3), [FRAME["scalars"], POSITION["vectors"]]).effective == O(3)
    assert symmetry_ledger(SE(3), [FRAME["vectors"]]).effective == T(3)
    mass = symmetry_ledger(SE(3), [GeometricInput("mass", "invariant", "scalars")])
    assert (mass.effective, mass.oracle, mass.exact) == (SE(3), False, True)


def test_what_a_ledger_says_word_for_word() -> None:
    ledger = symmetry_ledger(E(3), [POSE["scalars"]], except_for="ties")
    assert ledger.effective == T(3)
    assert ledger.reasons == (
        "the kernels see only what E(3) leaves unchanged",
        "pose as scalars change under rotations: E(3) is reduced to T(3)",
        "not exact for ties",
        "the pose comes from outside (an oracle), and motions act on cloud and pose together",
    )
    again = symmetry_ledger(T(3), [NORMALS["scalars"]]).reasons
    assert again[-1] == "normals as scalars change under rotations, of which T(3) has none"


@pytest.mark.parametrize(
    ("kept", "over", "expected"),
    [
        (SO2("z"), SO2("z"), SO2("z")),
        (T(3), SO(3), SE(3)),
        (SE(3), O(3), E(3)),
        (trivial(3), O(3), O(3)),
        (SO(3), T(3), SE(3)),  # a turn maps translations to translations, about whichever origin
        (SO2("z"), SO2("x").without_translations(), Group(3, SO2("x").linear)),  # only the translations fit
        (SO2("z"), parse_group("C2(x)"), None),  # a half turn about x maps turns about z to such
        (parse_group("T(3), translations across y only"), SO2("y").without_translations(), None),
        (parse_group("T(3), translations across y only"), SO(3), SO(3)),  # its plane is turned, and the origin moved
    ],
    ids=str,
)
def test_the_symmetry_of_an_average(kept: Group, over: Group, expected: Group | None) -> None:
    found, reason = averaged_symmetry(kept, over)
    assert over.is_subgroup(found)
    if expected is None:
        assert kept.is_subgroup(found)
        assert "is kept" in reason
        assert found.is_subgroup(E(3))
        assert not E(3).is_subgroup(found)
    else:
        assert found == expected


def test_which_of_two_groups_maps_the_other_to_itself() -> None:
    """Turns map translations to translations; a translation moves the center of turns."""
    assert averaged_symmetry(T(3), SO(3))[1] == "T(3) is kept, which SO(3) maps to itself, and becomes SE(3)"
    assert averaged_symmetry(SO(3), T(3))[1] == "SO(3) is kept, which maps T(3) to itself, and becomes SE(3)"
    assert averaged_symmetry(E(3), SO(3))[1] == "E(3) holds already"
    assert averaged_symmetry(SO(3), O(3))[1] == "SO(3) becomes O(3)"


@pytest.mark.parametrize(
    ("group", "keeps", "is_trivial"),
    [
        (E(3), ("rotations", "reflections"), False),
        (O(2), ("rotations", "reflections"), False),
        (SE(3), ("rotations",), False),
        (SO(3), ("rotations",), False),
        (T(3), (), False),
        (SO2("z"), (), False),  # whose name begins like that of SO(3)
        (octahedral(), (), False),
        (trivial(3), (), True),
    ],
    ids=str,
)
def test_what_a_program_asks_stands_in_fields(group: Group, keeps: tuple[str, ...], is_trivial: bool) -> None:
    plain = symmetry_ledger(group).to_dict()
    assert (tuple(plain["keeps"]), plain["is_trivial"]) == (keeps, is_trivial)
    assert plain["exactness"] == []


def test_reasons_of_exactness_are_among_the_reasons() -> None:
    ledger = symmetry_ledger(SE(3), [POSE["vectors"]], exact=CUBE, except_for="ties")
    assert ledger.to_dict()["exactness"] == [
        "rotations hold exactly for those of the orientation grid, approximately for the others",
        "not exact for ties",
    ]
    assert set(ledger.exactness) < set(ledger.reasons)
