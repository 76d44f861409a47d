"""Probes of representations: how well a small network finds something in them."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from rapidash.represent.pooling._networks import perceptron

_STEPS, _BATCH, _RATE, _DECAY, _LOOK, _HELD = 500, 256, 3e-3, 1e-2, 25, 5


def probe(
    inputs: Float[Tensor, "N n"],
    targets: Tensor,
    asked: Float[Tensor, "M n"],
    kind: Literal["class", "number"],
    *,
    num_layers: int = 3,
    generator: torch.Generator,
) -> Tensor:
    """The answers of a perceptron with hidden layers of 64, fitted to inputs: logits (M, K), or numbers (M, K).

    The inputs are standardized. 500 steps of AdamW on 256 rows each, the learning rate falls from 3e-3 to 0 along a
    cosine; a random fifth of the rows is held back, and of the ends of every 25 steps the one that answers for them
    best counts. The same budget for every question, and so a lower bound on what is there. In float32.

    Args:
        inputs: rows.
        targets: classes (N,) from 0 on, or numbers (N, K), which should have deviations of about 1.
        asked: further rows.
        kind: of the targets.
        num_layers: hidden layers; 0 is linear.
        generator: of weights and batches.
    """
    mean, deviation = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
    x, new = (((rows - mean) / deviation.clamp(min=1e-8)).float() for rows in (inputs, asked))
    is_class = kind == "class"
    y = targets.long() if is_class else targets.float()
    loss = cross_entropy if is_class else mse_loss
    outputs = int(y.max()) + 1 if is_class else y.shape[1]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        network: nn.Module = perceptron(x.shape[1], max(outputs, 1), 64, num_layers)
        optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        order = torch.randperm(len(x), generator=generator)
        held, own = order[: len(x) // _HELD], order[len(x) // _HELD :]
        least, answer = math.inf, network(new).detach()
        for step in range(1, _STEPS + 1):
            rows = own[torch.randint(len(own), (min(_BATCH, len(own)),), generator=generator)]
            optimizer.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
            if step % _LOOK == 0:
                with torch.no_grad():
                    error = float(loss(network(x[held]), y[held])) if len(held) else -step
                    if error < least:
                        least, answer = error, network(new)
    return answer


def linear_answer(inputs: Float[Tensor, "N n"], targets: Float[Tensor, "N K"], asked: Float[Tensor, "M n"]) -> Tensor:
    """The answers (M, K) of the affine map with the least squares on the inputs; of several such the smallest one."""
    mean, level = inputs.mean(dim=0), targets.mean(dim=0)
    found = torch.linalg.lstsq(inputs - mean, targets - level, driver="gelsd").solution
    return (asked - mean) @ found + level


def explained_share(numbers: Float[Tensor, "M K"], answer: Float[Tensor, "M K"]) -> float:
    """R^2: 1 less the squared error of answers over that of the mean, the mean over the K numbers; below 0 is worse.

    Raises: ValueError for a number that is constant.
    """
    spread = (numbers - numbers.mean(dim=0)).square().mean(dim=0)
    if not bool((spread > 0).all()):
        raise ValueError("R^2 of a constant is not defined: the covariate does not vary among these rows")
    return float((1 - (numbers - answer).square().mean(dim=0) / spread).mean())
