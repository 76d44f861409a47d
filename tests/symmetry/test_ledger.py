import pytest
import torch

from rapidash.groups import SE, SO, SO2, E, O, T, parse_group, trivial
from rapidash.symmetry import GeometricInput, combine_inputs, global_frame, symmetry_ledger

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
