"""
Is a library's EGNN really equivariant?
=======================================

The network of ``egnn-pytorch`` (``pip install egnn-pytorch``) takes node features (B, N, C) and coordinates
(B, N, 3) and returns both. Three lines make it measurable: a function of named inputs, and how every input and output
transforms.
"""

import torch
from egnn_pytorch import EGNN_Network

from rapidash.groups import E, Permutation, Permutations, Position, Scalar
from rapidash.measure import Action, check_equivariance, equivariance_error, local_equivariance_error

torch.manual_seed(0)
egnn = EGNN_Network(depth=3, dim=16, norm_coors=True, init_eps=0.05).double().eval()
x = {"feats": torch.randn(4, 10, 16).double(), "coors": torch.randn(4, 10, 3).double()}


# %%
# The adapter: names for the outputs, and representations for all fields.
def model(feats: torch.Tensor, coors: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(("feats", "coors"), egnn(feats, coors)))


fields = {"feats": Scalar(), "coors": Position()}
action = Action(E(3), inputs=fields, outputs=fields)

# %%
# Rotations, reflections and translations, for each output, in float64.
check = check_equivariance(model, x, action)
print(check.report())
assert check.passed

# %%
# The same in float32: small, but not rounding of one operation.
egnn.float()
single = equivariance_error(model, {name: value.float() for name, value in x.items()}, action)
print(f"float32: relative error {single.max:.1e}")
assert 1e-9 < single.max < 1e-3
egnn.double()

# %%
# The nodes have no order, either: permute the second axis of inputs and outputs.
nodes = Action(Permutations(10), *({"feats": Permutation(1), "coors": Permutation(1)},) * 2)
assert check_equivariance(model, x, nodes).passed


# %%
# A measure that cannot fail says nothing. The same network on raw coordinates as features is not equivariant, and the
# Lie derivative says along which directions:
def broken(feats: torch.Tensor, coors: torch.Tensor) -> dict[str, torch.Tensor]:
    return model(torch.cat([coors, feats[..., 3:]], dim=-1), coors)


print(local_equivariance_error(broken, x, action, relative=True).report())
assert not check_equivariance(broken, x, action).passed
