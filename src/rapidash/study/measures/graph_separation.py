"""Which pairs of graphs do random networks tell apart, and which copies of one graph?"""

import copy
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._seed import seeded
from rapidash.data import Field, RowBatch
from rapidash.datasets import connected_graphs, equivalent_pairs
from rapidash.groups import PairPermutation, Permutations
from rapidash.methods import Measurement, Subject
from rapidash.study.measures._on_validation import twin

NODES, NETWORKS, BATCH = 7, 8, 128
THRESHOLD = 1e-3  # of a difference, in deviations of the output over the graphs
UNSEPARATED = "pairs of graphs not told apart"
COPIES = "graphs told from their own copies"
BEYOND_COPIES = "pairs of graphs not told apart beyond copies"
MEASURED = (UNSEPARATED, COPIES, BEYOND_COPIES)


def graph_separation(subject: Subject) -> Iterator[Measurement]:
    """How many pairs among the 853 connected graphs on 7 nodes no random network of the model's form tells apart.

    Before training, with 8 fresh initializations. A graph gets isolated nodes up to the number of the task. A pair is
    told apart if the difference of the logits moves by more than 1e-3 of its deviation over the graphs in one of the
    networks. The control is a copy of every graph with its nodes in another order, which an invariant network cannot
    tell from the first: the share of the graphs that are told from their copies says how much of the separation is
    noise, and the last figure counts pairs that are told apart in no network by more than any copy is.

    Raises: ValueError for a task without graphs, or with fewer nodes.
    Source: GRAPH8c of Balcilar et al., "Breaking the Limits of Message Passing Graph Neural Networks", ICML 2021, has
        8 nodes, 100 networks, and no control.
    """
    if subject.moment == "after":
        return
    group = getattr(subject.task, "moves", None)
    if not isinstance(group, Permutations) or group.size < NODES:
        raise ValueError(
            f"graph separation needs graphs of at least {NODES} nodes; task {subject.task.name!r} has none"
        )
    graphs = connected_graphs(NODES)
    rng = seeded("graph separation", subject.seed)
    order = torch.stack([torch.randperm(group.size, generator=rng) for _ in graphs])
    plain = torch.nn.functional.pad(graphs, (0, group.size - NODES, 0, group.size - NODES)).double()
    copies = PairPermutation().act(torch.eye(group.size, dtype=torch.float64)[order], plain)
    outputs = []
    model = twin(subject)
    for index in range(NETWORKS):
        network = _initialized(model, subject.seed, index)
        both = torch.stack([_outputs(network, batch) for batch in (plain, copies)])
        outputs.append(both / both[0].std().clamp_min(torch.finfo(both.dtype).tiny))
    counts = separation_counts(torch.stack(outputs, dim=1))
    for name, value in zip(MEASURED, counts, strict=True):
        yield Measurement(name, value, "1", group.name, subject.moment, subject.view, "lower")


def separation_counts(outputs: Float[Tensor, "2 K M"], threshold: float = THRESHOLD) -> tuple[float, float, float]:
    """Pairs that no network tells apart, the share of copies that one does, and pairs not told apart beyond copies.

    Args:
        outputs: of K networks for M graphs and for a copy of each.
        threshold: above it a difference counts.
    """
    plain, copied = outputs
    of_copies = (plain - copied).abs()
    limit = of_copies.amax(dim=1, keepdim=True).clamp_min(threshold)
    first, second = torch.triu_indices(plain.shape[1], plain.shape[1], 1)
    difference = (plain[:, first] - plain[:, second]).abs()
    return (
        float((difference <= threshold).all(dim=0).sum()),
        float((of_copies > threshold).any(dim=0).double().mean()),
        float((difference <= limit).all(dim=0).sum()),
    )


def indistinct_pairs() -> Int[Tensor, "P 2"]:
    """The pairs among the graphs that color refinement does not tell apart: the bound of message passing."""
    return equivalent_pairs(connected_graphs(NODES))


def _initialized(model: nn.Module, seed: int, index: int) -> nn.Module:
    """A copy with other random weights; the first has those of the model."""
    if index == 0:
        return model
    fresh = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded("graph separation", seed, index).initial_seed())
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh


def _outputs(network: nn.Module, adjacency: Float[Tensor, "M N N"]) -> Float[Tensor, " M"]:
    """The difference of the first two logits, or the one output."""
    found = []
    with torch.no_grad():
        for part in adjacency.split(BATCH):
            fields = {"adjacency": Field(PairPermutation(), level="cloud")}
            out = network(RowBatch({"adjacency": part}, fields)).flatten(1)
            found.append(out[:, 1] - out[:, 0] if out.shape[1] > 1 else out[:, 0])
    return torch.cat(found)
