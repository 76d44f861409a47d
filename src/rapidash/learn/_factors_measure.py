"""The measure of latents against the factors of the data: scores, the motion of every latent, and traversals."""

import copy
import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rapidash._seed import seeded
from rapidash.data import Dataset
from rapidash.learn._autoencoders import CommutativeLieGroupVAE, VariationalNetwork
from rapidash.learn._penalties import commutator_penalty, hessian_penalty
from rapidash.learn._transport import MOTION_UNITS, MOTIONS, AffineTransport, affine_transport
from rapidash.learn._variational import ACTIVE_VARIANCE
from rapidash.measure import dci, factor_vae_score, mutual_information_gap
from rapidash.methods import Measurement, Picture, Subject

MIG, FACTOR_VAE = "mutual information gap", "FactorVAE score"
DCI_NAMES = ("DCI disentanglement", "DCI completeness", "DCI informativeness")
ACTIVE = "active latents, train and validation"
HESSIAN, COMMUTATOR, LARGEST = "Hessian penalty", "commutator penalty", "largest norm of an element"
EXPLAINED, NEXT_IMAGE, WHOLE_TURN, PERIODICITY = (
    "share of the change that a motion explains",
    "image error of a step",
    "image error of a whole turn",
    "periodicity error",
)
TRAVERSALS = "traversals of latents"
STEPS = 7  # images of a traversal
_IMAGES = 64  # at which motions are fitted
_STEP = 1e-4  # of a latent, for its derivative in float64

Better = Literal["lower", "higher", ""]


class Codes(NamedTuple):
    """The images of a data set, their mean codes, and the levels of their factors by name."""

    image: Float[Tensor, "M 1 S S"]
    code: Float[Tensor, "M L"]
    levels: dict[str, Int[Tensor, " M"]]

    @property
    def factors(self) -> Int[Tensor, "M F"]:
        """The levels, a column each."""
        return torch.stack(list(self.levels.values()), dim=1)


def by_latent_of(name: str, factor: str) -> str:
    """The name of a figure of the latent that knows most of a factor."""
    return f"{name}, latent of {factor}"


def measure_factors(subject: Subject) -> Iterator[Measurement | Picture]:
    """Disentanglement of the mean codes, and what the latents do to an image; in float64, on training and validation
    images together, of a variational autoencoder on images whose task names their ``factors``; nothing of others.

    The scores are `mutual_information_gap` (20 bins), `factor_vae_score` (600 votes), `dci` and the number of active
    latents; of a learned group also its penalties and the largest norm of an element of the data. For the latent that
    knows most of each factor, in the direction in which the level of the factor rises with it: the speeds of
    `affine_transport` at 64 images, their means per unit of the latent, and the explained share. After training a
    picture has a row for every latent, the most active first: the image of a code of the data with this latent at 7
    places from its least to its largest value in the data, and its derivative.

    For a factor that is ``periodic`` for the task, with d the median step of the code from one level to the next: how
    far the image at code t + d is from the image of the next level, and how far that of a whole turn of such steps is
    from the first, root mean square in deviations of the images; of a learned group, how far the element of the whole
    turn is from the identity, over the largest distance on the way: 0 if it is periodic, 1 if it never turns back.

    Raises: ModuleNotFoundError without scikit-learn.
    """
    names: tuple[str, ...] = getattr(subject.task, "factors", ())
    network = copy.deepcopy(subject.model).to("cpu", torch.float64).eval()
    found = next((part for part in network.modules() if isinstance(part, VariationalNetwork)), None)
    if not names or found is None:
        return

    with torch.no_grad():  # not around the yield, where the caller's code runs
        made = list(_measured(subject, found, names))
    yield from made


def _measured(subject: Subject, network: VariationalNetwork, names: tuple[str, ...]) -> Iterator[Measurement | Picture]:
    def figure(name: str, value: float | None, unit: str = "1", better: Better = "") -> Measurement:
        value = None if value is None or math.isnan(value) else value
        return Measurement(name, value, unit, moment=subject.moment, view=subject.view, better=better)

    data = encoded(network, (subject.task.dataset("train"), subject.data), names)
    gap = mutual_information_gap(data.code, data.factors)
    yield figure(MIG, gap.mean, better="higher")
    votes = factor_vae_score(data.code, data.factors, seeded(subject.seed, "FactorVAE"))
    yield figure(FACTOR_VAE, votes.accuracy, better="higher")
    for name, value in zip(DCI_NAMES, _dci(data, subject.seed)):
        yield figure(name, value, better="higher")
    yield figure(ACTIVE, float((data.code.var(dim=0, correction=0) > ACTIVE_VARIANCE).sum()))
    if isinstance(network, CommutativeLieGroupVAE):
        yield figure(HESSIAN, float(hessian_penalty(network.generators)), better="lower")
        yield figure(COMMUTATOR, float(commutator_penalty(network.generators)), better="lower")
        yield figure(LARGEST, float(torch.linalg.matrix_norm(network.action(data.code)).max()))
    for factor, latent in zip(names, gap.information.argmax(dim=0).tolist()):
        motion = latent_motion(network, data, latent, _direction(data, factor, latent))
        for name, unit, speed in zip(MOTIONS, MOTION_UNITS, motion.speeds.mean(dim=0).tolist()):
            yield figure(by_latent_of(name, factor), speed, unit)
        yield figure(by_latent_of(EXPLAINED, factor), motion.explained)
    for factor in getattr(subject.task, "periodic", ()):
        for name, error in _turns(network, data, factor):
            yield figure(f"{name}, {factor}", error, better="lower")
    if subject.moment == "after":
        yield Picture.of_gray(TRAVERSALS, traversals(network, data), moment=subject.moment, view=subject.view)


def encoded(network: VariationalNetwork, datasets: tuple[Dataset, ...], factors: tuple[str, ...]) -> Codes:
    """Everything in some data sets, with its mean codes."""
    image = torch.cat([data.tensors["image"] for data in datasets]).double()
    levels = {name: torch.cat([data.tensors[name] for data in datasets]) for name in factors}
    return Codes(image, network.encode(image.flatten(1)).mean, levels)


def pixels_of(network: VariationalNetwork, codes: Float[Tensor, "B L"], side: int) -> Float[Tensor, "B S S"]:
    """The decoded image of each code."""
    return network.decode(codes).sigmoid().unflatten(1, (-1, side))


def latent_motion(network: VariationalNetwork, data: Codes, latent: int, sign: float = 1.0) -> AffineTransport:
    """The motions that a latent makes, per unit of it, at images evenly chosen from the data."""
    chosen = torch.linspace(0, len(data.code) - 1, min(_IMAGES, len(data.code))).long()
    codes, side = data.code[chosen], data.image.shape[-1]
    return affine_transport(pixels_of(network, codes, side), sign * _derivative(network, codes, latent, side))


def traversals(network: VariationalNetwork, data: Codes) -> Float[Tensor, "H W"]:
    """The picture of `measure_factors`, 0 to 1; in the last column gray is no change."""
    side = data.image.shape[-1]
    spread = data.code.std(dim=0)
    typical = (data.code - data.code.mean(dim=0)).square().sum(dim=1).argmin()  # of the data, and near their middle
    low, high = data.code.amin(dim=0), data.code.amax(dim=0)
    rows = []
    for latent in spread.argsort(descending=True).tolist():
        codes = data.code[typical].repeat(STEPS, 1)
        codes[:, latent] = torch.linspace(float(low[latent]), float(high[latent]), STEPS, dtype=codes.dtype)
        change = _derivative(network, data.code[typical][None], latent, side)[0]
        shown = 0.5 + 0.5 * change / change.abs().max().clamp(min=1e-6)
        images = torch.cat([pixels_of(network, codes, side), shown[None]])
        images = torch.cat([pixels_of(network, codes, side), shown[None]])
        images = torch.nn.functional.pad(images, (0, 1, 0, 1), value=0.5)
        rows.append(torch.cat(list(images), dim=1))
    return torch.cat(rows)[:-1, :-1]


def _derivative(network: VariationalNetwork, codes: Tensor, latent: int, side: int) -> Tensor:
    """The change of each decoded image per unit of a latent, by central differences."""
    offset = torch.zeros_like(codes)
    offset[:, latent] = _STEP
    return (pixels_of(network, codes + offset, side) - pixels_of(network, codes - offset, side)) / (2 * _STEP)


def _direction(data: Codes, factor: str, latent: int) -> float:
    """The sign of the correlation of a latent with the level of a factor."""
    level = data.levels[factor].double()
    product = (level - level.mean()) @ (data.code[:, latent] - data.code[:, latent].mean())
    return -1.0 if product < 0 else 1.0


def _dci(data: Codes, seed: int) -> tuple[float | None, float | None, float]:
    """Disentanglement and completeness are not defined for a single latent, or where no latent matters."""
    if data.code.shape[1] < 2 or not bool((data.code.var(dim=0) > 1e-12).any()):
        return None, None, 0.0
    found = dci(data.code, data.factors, seeded(seed, "DCI"))
    return found.disentanglement, found.completeness, found.informativeness


def _turns(network: VariationalNetwork, data: Codes, factor: str) -> Iterator[tuple[str, float | None]]:
    """The errors of steps of a periodic factor, see `measure_factors`.

    The median is over pairs of images that differ in one step of the factor, entry by entry: most pairs do not cross
    the place where a code on a line must jump back.
    """
    level = data.levels[factor]
    period = int(level.max()) + 1
    others = torch.stack([column for name, column in data.levels.items() if name != factor], dim=1)
    width = int(others.max()) + 1
    key = (others * width ** torch.arange(others.shape[1])).sum(dim=1)
    place = {pair: index for index, pair in enumerate(zip(key.tolist(), level.tolist()))}
    pairs = [
        (index, after)
        for (rest, step), index in place.items()
        if (after := place.get((rest, (step + 1) % period))) is not None
    ]
    if not pairs:
        return
    here, there = torch.tensor(pairs).T
    step = (data.code[there] - data.code[here]).median(dim=0).values
    image, side = data.image[:, 0], data.image.shape[-1]
    deviation = (image - image.mean(dim=0)).square().mean().sqrt()

    def error(codes: Tensor, expected: Tensor) -> float:
        return float((pixels_of(network, codes, side) - expected).square().mean().sqrt() / deviation)

    yield NEXT_IMAGE, error(data.code[here] + step, image[there])
    yield WHOLE_TURN, error(data.code + period * step, image)
    if isinstance(network, CommutativeLieGroupVAE):
        turns = torch.arange(1, period + 1, dtype=torch.float64)[:, None] * step
        distance = torch.linalg.matrix_norm(network.action(turns) - torch.eye(network.size, dtype=torch.float64))
        largest = float(distance.max())
        yield PERIODICITY, float(distance[-1]) / largest if largest > 0 else None
