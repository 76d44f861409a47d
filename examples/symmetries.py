"""
Symmetries and their ledger
===========================

A symmetry is a value: a group, accepted by name too. It decides what a kernel may see of two points. What is left of it
once the inputs are in is written in a *ledger*, and can be measured.
"""

# %%
# One cloud, six networks
# -----------------------
# Each network has fresh weights. We measure the relative error :math:`\|f(gx) - g f(x)\| / \|f(x)\|` of its outputs, a
# scalar and a vector for each point, under rotations and translations.

import torch

from rapidash.groups import Position, Scalar, T, Vector, octahedral, parse_group
from rapidash.measure import Action, equivariance_error
from rapidash.models import Rapidash
from rapidash.symmetry import GeometricInput, global_frame, symmetry_ledger

torch.manual_seed(0)
x = {"pos": torch.randn(12, 3).double(), "scalars": torch.randn(12, 2).double()}
inputs, outputs = {"pos": Position(), "scalars": Scalar()}, {"scalars": Scalar(), "vectors": Vector()}
small = {"in_scalars": 2, "out_vectors": 1, "level": "node", "channels": 16, "num_layers": 2, "basis_dim": 16}
groups = {"rotations": parse_group("SO(3)", 3), "about z": parse_group("SO2(z) about the origin", 3), "shifts": T(3)}
groups["of the cube"] = octahedral()

print(f"{'symmetry':<10}{'space':<8}" + "".join(f"{name:>13}" for name in groups))
for symmetry, space in [
    ("E(3)", "R3"),
    ("T(3)", "R3"),
    ("E(3)", "R3xS2"),
    ("SE(3)", "R3xS2"),
    ("SO2(z)", "R3xS2"),
    ("T(3)", "R3xS2"),
]:
    network = Rapidash(symmetry=symmetry, space=space, num_orientations=6, grid="platonic", **small).double().eval()
    network.calibrate(x["pos"], torch.zeros(12, dtype=torch.long), scalars=x["scalars"])
    actions = [Action(group, inputs, outputs) for group in groups.values()]
    errors = [equivariance_error(network, x, action, num_elements=8).max for action in actions]
    print(f"{symmetry:<10}{space:<8}" + "".join(f"{error:13.1e}" for error in errors))

# %%
# Numbers around 1e-15 are rounding: the symmetry is there. On R3 it is there for every rotation. On R3xS2 it is there
# for those that map the orientation grid onto itself, here the octahedron's six vertices, so for the rotations of the
# cube; for the others it is an approximation, poor with six orientations: the example "How many orientations?" shows
# how it improves. ``SO2(z)`` keeps turns about z, ``T(3)`` shifts only.
#
# A network says which part of its symmetry is exact:

network = Rapidash(symmetry="E(3)", space="R3xS2", num_orientations=6, grid="platonic", **small)
print(network.symmetry, "of which exact:", network.exact_symmetry)

# %%
# The ledger
# ----------
# Inputs can break what the layers keep. `GeometricInput` says what an input is and how it enters, and
# `symmetry_ledger` takes the intersection of what every one of them keeps.

cases = {
    "normals as vectors": [GeometricInput("normals", "vector", "vectors")],
    "normals as scalars": [GeometricInput("normals", "vector", "scalars")],
    "coordinates as vectors": [GeometricInput("coordinates", "position", "vectors")],
    "coordinates as scalars": [GeometricInput("coordinates", "position", "scalars")],
    "the direction of gravity": [GeometricInput("gravity", "constant", "vectors", ((0.0, 0.0, -1.0),))],
    "a global frame": [global_frame(3)],
    "a known pose": [GeometricInput("pose", "pose", "vectors")],
}
for name, entries in cases.items():
    ledger = symmetry_ledger(parse_group("SE(3)", 3), entries)
    print(f"{name:<26}{ledger.effective!s:<12}{ledger.reasons[1]}")

# %%
# The last one keeps everything, because cloud and pose turn together, but at test time somebody must know the pose:

print(symmetry_ledger(parse_group("SE(3)", 3), cases["a known pose"]).oracle)
