"""Energies and forces against the definition: milliseconds of inference and of a training step, and how far they agree.

    python benchmarks/forces.py [--rounds 15]

A batch of 5 molecules of 9 atoms, as of ethanol, all pairs within reach, exact kernels, float32, one thread. A training
step is an energy, its gradient by the positions with a graph, a loss of both, and the gradients of all parameters; no
optimizer. The definition is the same network with backend="reference": torch's operations and their derivatives. All
columns are medians of the process's CPU time, in turn. The difference is that of all parameters' gradients. Tables are
cubic ones, whose second derivatives go through the definition.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from rapidash.models import Rapidash

MOLECULES, ATOMS = 5, 9
NETWORKS = (("R3", 32, 2), ("R3xS2", 32, 2), ("R3", 96, 5), ("R3xS2", 96, 5))


def milliseconds(jobs: list[Callable[[], object]], rounds: int) -> list[float]:
    """Medians, all in turn, after two of each that are not counted."""
    times: list[list[float]] = [[] for _ in jobs]
    for turn in range(rounds + 2):
        for job, found in zip(jobs, times, strict=True):
            start = time.process_time()
            job()
            if turn > 1:
                found.append(1e3 * (time.process_time() - start))
    return [median(found) for found in times]


def forces(model: Rapidash, inputs: tuple[Tensor, Tensor, Tensor], *, train: bool) -> tuple[Tensor, Tensor]:
    """Energies, and their gradient by the positions."""
    pos, batch, scalars = inputs
    pos = pos.detach().requires_grad_()
    energy = model(pos, batch, scalars=scalars).scalars
    (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=train)
    return energy, -gradient


def gradients(model: Rapidash, inputs: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    """Those of a loss of energies and forces by all parameters."""
    energy, force = forces(model, inputs, train=True)
    model.zero_grad(set_to_none=True)
    (energy.square().mean() + (force - 1).square().mean()).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def difference(got: list[Tensor], expected: list[Tensor]) -> float:
    """Of two lists of tensors, relative to the second."""
    squares = [(float((a - b).square().sum()), float(b.square().sum())) for a, b in zip(got, expected, strict=True)]
    return float((sum(a for a, _ in squares) / sum(b for _, b in squares)) ** 0.5)


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch = torch.arange(MOLECULES).repeat_interleave(ATOMS)
    inputs = torch.randn(len(batch), 3), batch, torch.randn(len(batch), 5)
    print(
        "| network | inference, definition | fast | ratio | training, definition | fast | ratio | difference | tables |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for space, channels, layers in NETWORKS:
        fast = Rapidash(
            space=space, in_scalars=5, channels=channels, num_layers=layers, kernel="exact", layer_scale=0.1,
            basis_dim=min(channels, 64), basis_hidden_dim=min(channels, 64),
        )  # fmt: skip
        fast.calibrate(*inputs[:2], scalars=inputs[2])
        definition = fast.with_kernel("exact", backend="reference")
        models = definition, fast, fast.with_kernel("tabulated", interpolation="cubic")
        jobs = [lambda model=model: forces(model, inputs, train=False) for model in models]
        jobs += [lambda model=model: gradients(model, inputs) for model in models]
        slow_inference, inference, by_tables, slow_step, step, step_by_tables = milliseconds(jobs, options.rounds)
        error = difference(gradients(fast, inputs), gradients(definition, inputs))
        print(
            f"| {space}, {channels} channels, {layers} layers | {slow_inference:.1f} ms | {inference:.1f} ms | "
            f"{slow_inference / inference:.1f} x | {slow_step:.1f} ms | {step:.1f} ms | {slow_step / step:.1f} x | "
            f"{error:.0e} | {by_tables:.1f}, {step_by_tables:.1f} ms |"
        )


if __name__ == "__main__":
    main()
