"""Weights tied by the orbits of a finite group: the constraint whose other side is the average over the group."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def orbit_assignment(in_action: Int[Tensor, "G In"], out_action: Int[Tensor, "G Out"]) -> Int[Tensor, "Out In"]:
    """The free parameter that each weight of an equivariant linear map uses: W[g o, g i] = W[o, i] for every g.

    Args:
        in_action: in_action[g, i] is where g takes entry i of the input; `rapidash.groups.permutation_action` makes it.
        out_action: the same for the output; every element of the group once, in the same order.
    Returns: numbers 0 to M - 1 of the orbits of index pairs, in the order of their first weight (row by row).
    Raises: ValueError for maps that are not permutations, or not those of a whole group.
    """
    _check_permutations(in_action, "in_action")
    _check_permutations(out_action, "out_action")
    if len(in_action) != len(out_action):
        raise ValueError(f"one row per element each: got {len(in_action)} for the input, {len(out_action)} for output")
    num_out, num_in = out_action.shape[1], in_action.shape[1]
    smallest = torch.arange(num_out * num_in, device=in_action.device).reshape(num_out, num_in)
    for into, out in zip(in_action, out_action):
        smallest = torch.minimum(smallest, out[:, None] * num_in + into)  # where each weight goes
    if not all(torch.equal(smallest[out][:, into], smallest) for into, out in zip(in_action, out_action)):
        raise ValueError("the rows are not all elements of a group: a product of two of them is missing")
    assignment: Tensor = smallest.unique(return_inverse=True)[1]
    return assignment


def orbit_means(values: Float[Tensor, "*S"], assignment: Int[Tensor, "*S"]) -> Float[Tensor, " M"]:
    """The mean of the values in each orbit: of a weight, the parameters of its average over the group."""
    if values.shape != assignment.shape:
        raise ValueError(f"values {tuple(values.shape)} and assignment {tuple(assignment.shape)} differ in shape")
    index = assignment.flatten()
    sums = values.new_zeros(int(index.max()) + 1).index_add(0, index, values.flatten())
    return sums / torch.bincount(index).to(values)


class SharedLinear(nn.Module):
    """y = W x + b, with weights that share parameters: W[o, i] = psi[assignment[o, i]].

    Symmetry: equivariant to the group whose `orbit_assignment` ties the weights; on the regular representation on both
    sides this is group convolution, y(h) = sum_k psi(h^-1 k) x(k).

    Args:
        assignment: (out, in), numbers 0 to M - 1 of the parameters, each used.
        bias_assignment: (out,), the same for the bias; None: no bias.
    Shape: x (..., in) -> (..., out).
    Raises: ValueError for numbers that leave a parameter out, or a bias of another size.
    """

    assignment: Tensor
    bias_assignment: Tensor | None

    def __init__(self, assignment: Int[Tensor, "Out In"], bias_assignment: Int[Tensor, " Out"] | None = None) -> None:
        super().__init__()
        for numbers in [assignment] if bias_assignment is None else [assignment, bias_assignment]:
            if not torch.equal(numbers.unique(), torch.arange(int(numbers.max()) + 1, device=numbers.device)):
                raise ValueError("an assignment uses every parameter 0 to M - 1, this one leaves some out")
        if bias_assignment is not None and bias_assignment.shape != assignment.shape[:1]:
            raise ValueError(f"the bias needs {len(assignment)} numbers, got shape {tuple(bias_assignment.shape)}")
        self.register_buffer("assignment", assignment)
        self.register_buffer("bias_assignment", bias_assignment)
        bound = assignment.shape[1] ** -0.5  # as nn.Linear
        self.shared_weight = nn.Parameter(torch.empty(int(assignment.max()) + 1).uniform_(-bound, bound))
        self.shared_bias: nn.Parameter | None = None
        if bias_assignment is not None:
            self.shared_bias = nn.Parameter(torch.empty(int(bias_assignment.max()) + 1).uniform_(-bound, bound))

    @classmethod
    def equivariant(
        cls, in_action: Int[Tensor, "G In"], out_action: Int[Tensor, "G Out"], *, bias: bool = True
    ) -> "SharedLinear":
        """The most general linear map that commutes with a finite group; arguments as for `orbit_assignment`."""
        fixed = torch.zeros_like(out_action[:, :1])
        return cls(orbit_assignment(in_action, out_action), orbit_assignment(fixed, out_action)[:, 0] if bias else None)

    @property
    def weight(self) -> Float[Tensor, "Out In"]:
        """W."""
        return self.shared_weight[self.assignment]

    @property
    def bias(self) -> Float[Tensor, " Out"] | None:
        """The bias b."""
        return None if self.shared_bias is None else self.shared_bias[self.bias_assignment]

    def project(self, weight: Float[Tensor, "Out In"]) -> Float[Tensor, "Out In"]:
        """The nearest weight with this sharing, each entry the mean of its orbit: the average over the group."""
        return orbit_means(weight, self.assignment)[self.assignment]

    def forward(self, x: Float[Tensor, "*B In"]) -> Float[Tensor, "*B Out"]:
        """W x + b."""
        return nn.functional.linear(x, self.weight, self.bias)


def _check_permutations(action: Tensor, name: str) -> None:
    if action.dim() == 2:
        identity = torch.arange(action.shape[1], device=action.device)
        if torch.equal(action.sort(dim=1).values, identity.expand_as(action)):
            return
    raise ValueError(f"{name} (G, X) needs a permutation of 0 .. X - 1 in each row, its shape is {tuple(action.shape)}")
