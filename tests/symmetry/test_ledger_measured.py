"""What the ledger claims measures as equivariant; what it denies measures as broken."""

import pytest
import torch
from torch import Tensor

from rapidash._seed import seeded
from rapidash.geometry import canonical_frame
from rapidash.groups import E, Group
from rapidash.models import Rapidash
from rapidash.symmetry import GeometricInput, combine_inputs, global_frame, symmetry_ledger

COORDINATES = {way: GeometricInput("coordinates", "position", way) for way in ("scalars", "vectors")}
NORMALS = {way: GeometricInput("normals", "vector", way) for way in ("scalars", "vectors")}
POSE = {way: GeometricInput("pose", "pose", way) for way in ("scalars", "vectors")}
CANONICAL = GeometricInput("canonical frame", "vector", "vectors")
GRAVITY = GeometricInput("gravity", "constant", "vectors", ((0.0, 0.0, -1.0),))
CASES = {
    "nothing": [],
    "coordinates as scalars": [COORDINATES["scalars"]],
    "coordinates as vectors": [COORDINATES["vectors"]],
    "normals as scalars": [NORMALS["scalars"]],
    "normals as vectors": [NORMALS["vectors"]],
    "global frame": [global_frame(3)],
    "gravity": [GRAVITY],
    "gravity and normals": [GRAVITY, NORMALS["vectors"]],
    "pose as vectors": [POSE["vectors"]],
    "pose as scalars": [POSE["scalars"]],
    "canonical frame": [CANONICAL],
}
BATCH = torch.tensor([0] * 6 + [1] * 7)


def values(entry: GeometricInput, pos: Tensor, normals: Tensor, pose: Tensor) -> Tensor:
    """The vectors (N, V, 3) of an input, from what moves with the cloud."""
    if entry.quantity == "constant":
        return torch.tensor(entry.directions, dtype=pos.dtype).expand(len(pos), -1, -1)
    if entry.name == "canonical frame":
        return canonical_frame(pos, BATCH, 2)[BATCH]
    return {"coordinates": pos[:, None], "normals": normals[:, None], "pose": pose[BATCH]}[entry.name]


@torch.no_grad()
def largest_defect(model: Rapidash, inputs: list[GeometricInput], g: Tensor) -> float:
    """Difference between the outputs for moved cloud (and pose) and the moved outputs."""
    rng = seeded("ledger")
    pos = torch.randn(13, 3, generator=rng, dtype=torch.float64) ** 3
    normals = torch.randn(13, 3, generator=rng, dtype=torch.float64)
    pose = torch.linalg.qr(torch.randn(2, 3, 3, generator=rng, dtype=torch.float64)).Q
    linear, shift = g[:3, :3], g[:3, 3]
    outputs = []
    for moved in ((pos, normals, pose), (pos @ linear.T + shift, normals @ linear.T, pose @ linear.T)):
        pairs = [(entry, values(entry, *moved)) for entry in inputs]
        scalars, vectors = combine_inputs(pairs, torch.ones(13, 1, dtype=torch.float64))
        outputs.append(model(moved[0], BATCH, scalars=scalars, vectors=vectors))
    before, after = outputs
    return max(
        float((after.scalars - before.scalars).abs().max()),
        float((after.vectors - before.vectors @ linear.T).abs().max()),
    )


@pytest.mark.parametrize("symmetry", ["E(3)", "SE(3)", "SO2(z)", "T(3)"])
@pytest.mark.parametrize("case", CASES)
def test_the_ledger_agrees_with_the_measurement(case: str, symmetry: str) -> None:
    inputs = CASES[case]
    sizes = {"scalars": 1, "vectors": 0}
    for entry in inputs:
        vectors = 3 if "frame" in entry.name or entry.quantity == "pose" else 1
        sizes[entry.enters_as] += 3 * vectors if entry.enters_as == "scalars" else vectors
    torch.manual_seed(1)
    model = Rapidash(
        symmetry=symmetry, grid="platonic", num_orientations=8, in_scalars=sizes["scalars"],
        in_vectors=sizes["vectors"], out_vectors=1, level="node", channels=12, num_layers=2, basis_dim=10,
        basis_hidden_dim=8,
    ).double()  # fmt: skip
    ledger = symmetry_ledger(model.symmetry, inputs, exact=model.exact_symmetry)
    exact = model.exact_symmetry.linear
    elements = Group(3, exact, ledger.effective.translations).sample(96, generator=seeded("g"), scale=0.5)
    claimed = [g for g in elements if ledger.effective.contains(g)]
    for g in [ledger.effective.identity(), *claimed[:6]]:
        assert largest_defect(model, inputs, g) < 1e-10, f"claimed: {ledger}"
    if ledger.effective.translations:
        shift = ledger.effective.identity()
        shift[:3, 3] = torch.tensor([0.3, -1.0, 2.0])
        assert largest_defect(model, inputs, shift) < 1e-10
    denied = [g for g in E(3).sample(24, generator=seeded("d"), scale=0.5) if not ledger.effective.contains(g)]
    if ledger.effective == E(3):
        assert not denied
        return
    assert denied
    assert all(largest_defect(model, inputs, g) > 1e-6 for g in denied), f"denied: {ledger}"
