"""Graphs: is a regular graph connected? All its nodes look the same to message passing."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Batch, RowDataset
from rapidash.datasets import regular_graphs_dataset
from rapidash.groups import MatrixGroup, Permutations, trivial
from rapidash.methods import Split, Variant
from rapidash.models import GraphNetworkConfig, Interface
from rapidash.symmetry import Ledger
from rapidash.tasks._label import PlainLabelTask
from rapidash.tasks._split_sizes import check_split_sizes, split_sizes


class GraphClassifier(nn.Module):
    """Logits of the classes from the entries of an adjacency matrix above its diagonal, row by row."""

    def __init__(self, variant: Variant, num_nodes: int) -> None:
        super().__init__()
        self.num_nodes = num_nodes
        num_pairs = num_nodes * (num_nodes - 1) // 2
        self.backbone = variant.model.build(Interface(dim=0, in_scalars=num_pairs, out_scalars=2))

    def forward(self, batch: Batch) -> Float[Tensor, "B 2"]:
        """A logit for either class."""
        adjacency = batch["adjacency"]
        first, second = torch.triu_indices(self.num_nodes, self.num_nodes, 1, device=adjacency.device)
        out: Tensor = self.backbone(adjacency[:, first, second])
        return out


@dataclass(frozen=True)
class GraphsTask(PlainLabelTask):
    """Whether a random regular graph is connected (label 0) or in two parts (label 1); nodes stand in random order.

    Of each degree as many are connected as not, so whatever color refinement bounds is right in one half of the cases:
    message passing, and every order by scores that it gives, since all nodes have the same.

    Args:
        num_nodes: N.
        num_train, num_val, num_test: sizes of the splits.
        data_seed: of the graphs.
    Raises: ValueError for sizes below 1, or numbers of nodes without such graphs of degrees 2 and 3.
    """

    num_nodes: int = 12
    num_train: int = 600
    num_val: int = 200
    num_test: int = 1000
    data_seed: int = 0

    name: str = field(default="graphs", init=False)

    def __post_init__(self) -> None:
        check_split_sizes(self)
        if self.num_nodes < 8 or self.num_nodes % 2:
            raise ValueError(f"num_nodes must be even and at least 8, got {self.num_nodes}")

    @property
    def moves(self) -> MatrixGroup:
        """S(N)."""
        return Permutations(self.num_nodes)

    @property
    def measured_groups(self) -> tuple[MatrixGroup, ...]:
        """The same."""
        return (self.moves,)

    def dataset(self, split: Split) -> RowDataset:
        """The graphs of a split: adjacency (B, N, N) and label (B,)."""
        size = split_sizes(self)[split]
        assert size is not None
        return regular_graphs_dataset(size, num_nodes=self.num_nodes, seed=self.data_seed, split=split)

    def build(self, variant: Variant) -> nn.Module:
        """The network of a variant with fresh weights from torch's global generator."""
        return GraphClassifier(variant, self.num_nodes)

    def ledger(self, variant: Variant) -> Ledger:
        """All permutations for message passing, none for other networks."""
        if isinstance(variant.model, GraphNetworkConfig):
            group = self.moves
            return Ledger(group, group, ("nodes are treated alike: every order gives the same",), True, False)
        none: MatrixGroup = trivial(2)
        return Ledger(none, none, ("the network sees every pair of nodes in its place: no order is kept",), True, False)
