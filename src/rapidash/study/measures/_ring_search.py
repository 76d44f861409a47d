"""The search for subgroups, asked which turns labels stand: a network on angular bins about an axis, from C8 down."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapidash._seed import seeded
from rapidash.learn import EquivarianceSearch, layer_subgroups
from rapidash.models import Interface, SignalGCNNConfig

NETWORK = SignalGCNNConfig(symmetry="C8", channels=8, num_layers=2)
SUBGROUPS = ("C4", "C2", "C1")
GENERATIONS, POPULATION, STEPS, BATCH, RATE = 3, 2, 60, 64, 5e-3
SLACK = 5.0  # points of the error rate


def searched_order(
    x_train: Float[Tensor, "n K F"],
    label_train: Int[Tensor, " n"],
    x_val: Float[Tensor, "m K F"],
    label_val: Int[Tensor, " m"],
    num_classes: int,
    seed: int,
) -> tuple[int, float]:
    """The order of the group that the last layer keeps, and the error rate of its network on validation data, percent.

    The network is that of fewest weights in the last generation whose error is within 5 points of the least.
    """
    mean, deviation = x_train.mean(dim=(0, 1)), x_train.std(dim=(0, 1))
    signals, held = (((x - mean) / deviation).float().transpose(1, 2) for x in (x_train, x_val))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NETWORK.build(Interface(dim=0, in_scalars=x_train.shape[2], out_scalars=num_classes))
    train = _trainer(signals, label_train, seed)

    def evaluate(network: nn.Module) -> float:
        network.eval()
        with torch.no_grad():
            return 100 * float((network(held).argmax(dim=1) != label_val).double().mean())

    found = EquivarianceSearch(model, SUBGROUPS).evolve(train, evaluate, generations=GENERATIONS, population=POPULATION)
    near = [one for one in found.population if one.error <= found.best.error + SLACK]
    chosen = min(near, key=lambda one: one.parameters)
    return layer_subgroups(chosen.model)[-1], chosen.error


def _trainer(x: Float[Tensor, "n F K"], label: Int[Tensor, " n"], seed: int) -> Callable[[nn.Module], None]:
    """Trains a network in place for the steps of a generation; every call draws other batches."""
    calls = iter(range(10**6))

    def train(network: nn.Module) -> None:
        rng = seeded("subgroups on a ring", seed, next(calls))
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
        network.train()
        with torch.enable_grad():
            for _ in range(STEPS):
                picked = torch.randint(len(x), (BATCH,), generator=rng)
                optimizer.zero_grad()
                cross_entropy(network(x[picked]), label[picked]).backward()
                optimizer.step()

    return train
