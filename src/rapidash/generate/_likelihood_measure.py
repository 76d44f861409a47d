"""The likelihood of a trained generator as figures of a run, and how far its samples are from a known density."""

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rapidash.data import CloudDataset
from rapidash.generate._denoiser import Denoiser
from rapidash.generate._likelihood import LogLikelihood, log_likelihood
from rapidash.generate._measure import generating_task
from rapidash.generate._network import denoising_part
from rapidash.generate._samplers import HeunSampler
from rapidash.generate._sampling import guided_network, is_finite, sample_clouds
from rapidash.generate._task import DenoisingTask
from rapidash.methods import Measurement, Subject

LIKELIHOOD, EFFECTIVE = "log-likelihood of test clouds per degree of freedom", "effective share of samples"
_CLOUDS, _SAMPLES, _STEPS = 50, 100, 16
_NORMAL = 1.96


def measure_likelihood(subject: Subject) -> Iterator[Measurement]:
    """Of a trained generator of clouds of one size with positions alone, on a float64 copy.

    The mean log-likelihood of at most 50 test clouds by `log_likelihood`, in nats per degree of freedom and in the
    unit of the data, with the interval of the mean. Where the task knows the energy E of a cloud in units of k_B T: of
    100 samples x with density p, drawn without added noise, the effective share (sum w)^2 / (n sum w^2) for the weights
    w = exp(-E(x)) / p(x), which is 100 % where p is exp(-E); a sample that is not finite has the weight 0, and counts.

    Raises: ValueError for a task that does not generate, or whose clouds have scalars, several sizes, or more than 64
        degrees of freedom.
    """
    task = generating_task(subject)
    if subject.moment == "before":
        return
    model = copy.deepcopy(subject.model).to(device="cpu", dtype=torch.float64).eval()
    network = denoising_part(model)
    if network.turns_samples or network.turns_states:  # the density is that of clouds in one pose, or of no equation
        return
    test = task.clouds("test")
    test = test.subset(torch.linspace(0, len(test) - 1, min(_CLOUDS, len(test))).long())
    found = _of_clouds(model, task, test).per_freedom(network.unit_length)
    mean, half = float(found.mean()), _NORMAL * float(found.std()) / math.sqrt(len(found))
    value, low, high = (end if math.isfinite(end) else None for end in (mean, mean - half, mean + half))
    yield Measurement(LIKELIHOOD, value, "nats", view=subject.view, better="higher", low=low, high=high)
    if task.energies(test) is None:
        return
    grid = HeunSampler(_STEPS, churn=0.0)
    samples = sample_clouds(model, task, _SAMPLES, seed=subject.seed, sampler=grid)
    finite, share = torch.nonzero(is_finite(samples)).flatten(), 0.0
    if len(finite):
        kept = samples.subset(finite)
        energy = task.energies(kept)
        assert energy is not None
        share = effective_share(energy, _of_clouds(model, task, kept).log_density, _SAMPLES)
    yield Measurement(EFFECTIVE, 100 * share if math.isfinite(share) else None, "%", view=subject.view, better="higher")


def effective_share(energy: Tensor, log_density: Tensor, num: int) -> float:
    """(sum w)^2 / (n sum w^2) of the weights w = exp(-E) / p of samples; others of all n have the weight 0."""
    weight = torch.softmax(-energy.double() - log_density.double(), dim=0)  # sums to 1
    return float(1 / (num * weight.square().sum()))


def _of_clouds(model: nn.Module, task: DenoisingTask, clouds: CloudDataset) -> LogLikelihood:
    network = denoising_part(model)
    batch = clouds.batch(torch.arange(len(clouds))).to(dtype=torch.float64)
    states = task.states(clouds, network.constants.double())
    sizes = {*clouds.num_points.tolist()}
    if len(sizes) > 1:
        raise ValueError(f"a likelihood needs clouds of one size, {task.name!r} has {sorted(sizes)}")
    denoiser = Denoiser(guided_network(model, batch), network.space.spreads(states))
    return log_likelihood(denoiser, states, len(clouds), network.space, grid=HeunSampler(_STEPS, churn=0.0))
