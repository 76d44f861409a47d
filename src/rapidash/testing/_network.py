"""Whether the configuration of a network keeps the promises that tasks, methods and saved models rely on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from rapidash._plain import from_plain, to_plain
from rapidash._seed import seeded
from rapidash.groups import Group, parse_group
from rapidash.models import Interface, Network, NetworkConfig, RapidashOutput, Takes
from rapidash.nn import Block
from rapidash.testing._demand import demand, first_difference, is_close, is_frozen, largest

_PROTOCOL = ("io", "symmetry", "exact_symmetry", "blocks", "calibrate")
_KINDS = get_args(Takes)


class _Clouds:
    """Random clouds with every input that an interface names."""

    def __init__(self, io: Interface, sizes: Sequence[int], seed: int, dtype: torch.dtype = torch.float64) -> None:
        rng, num = seeded("check network", seed), sum(sizes)
        self.sizes = tuple(sizes)
        self.batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor(self.sizes))
        shapes = {
            "pos": (num, io.dim),
            "scalars": (num, io.in_scalars),
            "vectors": (num, io.in_vectors, io.dim),
            "pairs": (num, io.in_pairs),
        }
        self.inputs = {
            name: torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)
            for name, shape in shapes.items()
            if shape[1]
        }

    def features(self, rows: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        return {name: values[rows] for name, values in self.inputs.items() if name != "pos"}

    def run(self, network: nn.Module, rows: Tensor | slice = slice(None)) -> RapidashOutput:
        with torch.no_grad():
            return network(self.inputs["pos"][rows], self.batch[rows], **self.features(rows))

    def moved(self, g: Tensor) -> "_Clouds":
        found = object.__new__(_Clouds)
        linear, shift = g[:-1, :-1], g[:-1, -1]
        found.sizes, found.batch = self.sizes, self.batch
        found.inputs = {**self.inputs, "pos": self.inputs["pos"] @ linear.T + shift}
        if "vectors" in self.inputs:
            found.inputs["vectors"] = self.inputs["vectors"] @ linear.T
        return found


def check_network(
    config: NetworkConfig,
    io: Interface | None = None,
    *,
    sizes: Sequence[int] = (5, 3, 6),
    is_ordered: bool = False,
    tolerance: float = 1e-8,
    num_elements: int = 6,
    seed: int = 0,
) -> None:
    """Raise AssertionError unless a network does what tasks, methods, measures and saved models rely on.

    Checked are: it is registered, and its plain form makes it again; weights are a function of torch's seed; it runs in
    float32 and float64; it is a `rapidash.models.Network`; a cloud alone is what it is in a batch; the order of the
    points and a wrapper around a block change nothing; ``exact_symmetry`` holds for random weights; ``takes`` is true;
    ``calibrate`` leaves finite weights and all it measured in the state dict.

    Args:
        config: the knobs of a small network.
        io: inputs and outputs; None: some of each kind that fits what it takes, at every point. With ``dim`` 0, for
            data without positions, only registration, plain form and initial weights are checked: how such a network is
            called is the task's affair.
        sizes: numbers of points of the clouds, as many as its edges need.
        is_ordered: it depends on the order of the points by design, as one that samples from the first one on.
        tolerance: relative, in float64.
        num_elements: of the exact symmetry.
        seed: of weights, clouds and elements.
    Raises: AssertionError as said; whatever the network raises.
    """
    _check_registration(config)
    io = io or default_interface(config)
    network = _check_weights(config, io, seed)
    if not io.dim:
        return
    _check_protocol(config, network, io)
    _check_outputs(config, io, sizes, seed)
    clouds, network = _Clouds(io, sizes, seed), network.double()
    _check_calibration(config, network, io, clouds, seed)
    _perturb(network, seed)
    if not is_ordered:
        _check_order(network, io, clouds, tolerance, seed)
    _check_clouds(network, io, clouds, tolerance)
    _check_blocks(network, clouds, tolerance)
    _check_symmetry(network, clouds, tolerance, num_elements)
    _check_takes(config, network, io, clouds)


def default_interface(config: NetworkConfig) -> Interface:
    """At every point two scalars, one number of pairs, and a vector where it is taken, to two scalars and a vector."""
    dim = parse_group(config.symmetry).dim
    return Interface(dim, 2, int(config.takes == "vectors"), 1, out_scalars=2, out_vectors=1, level="node")


def _check_registration(config: NetworkConfig) -> None:
    name = type(config).__name__
    demand(
        isinstance(config, NetworkConfig) and is_frozen(config),
        f"{name} is no frozen dataclass that derives from rapidash.models.NetworkConfig: the knobs of a network are",
    )
    try:
        plain = json.loads(json.dumps(to_plain(config)))
        again = from_plain(NetworkConfig, plain, complete=True)  # type: ignore[type-abstract]
    except (ValueError, TypeError) as error:
        raise AssertionError(f"{name} does not come back from its plain form: {error}") from error
    demand(again == config, f"{name} comes back from its plain form as another one, {again}: look at __post_init__")
    demand(config.takes in _KINDS, f"{name}.takes is {config.takes!r}: say one of {', '.join(map(repr, _KINDS))}")


def _check_weights(config: NetworkConfig, io: Interface, seed: int) -> nn.Module:
    """Weights come from torch's global generator alone."""

    def built(key: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key)
            return config.build(io)

    name, network = type(config).__name__, built(seed)
    state = network.state_dict()
    differs = first_difference(state, built(seed).state_dict())
    demand(differs is None, f"{name}.build gives another {differs} for the same seed of torch: draw weights from it")
    has_weights = any(parameter.numel() for parameter in network.parameters())
    demand(
        not has_weights or first_difference(state, built(seed + 1).state_dict()) is not None,
        f"{name}.build gives the same weights for another seed of torch: do not seed inside",
    )
    return network


def _check_protocol(config: NetworkConfig, network: nn.Module, io: Interface) -> None:
    name = type(network).__name__
    lacking = [part for part in _PROTOCOL if not hasattr(network, part)]
    demand(
        not lacking and isinstance(network, Network),
        f"{name} is no rapidash.models.Network, it lacks {', '.join(lacking)}: a network of clouds has them; for data "
        "without positions check it with Interface(dim=0, ...)",
    )
    assert isinstance(network, Network)
    found = network.io if io.pool else replace(network.io, pool=None)  # which the knobs say then
    demand(found == io, f"{name}.io is {network.io}, it was built for {io}")
    symmetry, exact = network.symmetry, network.exact_symmetry
    demand(
        isinstance(symmetry, Group) and parse_group(config.symmetry, io.dim).is_subgroup(symmetry),
        f"{name}.symmetry is {symmetry}, without all of {config.symmetry}, which its configuration says",
    )
    demand(exact.is_subgroup(symmetry), f"{name}.exact_symmetry {exact} is no part of its symmetry {symmetry}")
    owned = set(map(id, network.modules()))
    demand(
        len(network.blocks) > 0 and all(id(block) in owned for block in network.blocks),
        f"{name}.blocks must be the layers of the network in their order, in an nn.ModuleList that is part of it",
    )


def _check_calibration(config: NetworkConfig, network: nn.Module, io: Interface, clouds: _Clouds, seed: int) -> None:
    name = type(network).__name__
    network.train()
    assert isinstance(network, Network)
    network.calibrate(clouds.inputs["pos"], clouds.batch, **clouds.features())
    wrong = [key for key, value in network.state_dict().items() if not bool(torch.isfinite(value).all())]
    demand(not wrong, f"{name}.calibrate makes {', '.join(wrong)} infinite or NaN")
    network.eval()
    expected = clouds.run(network)
    for what, values in zip(RapidashOutput._fields, expected):
        demand(bool(torch.isfinite(values).all()), f"{name} gives {what} that are not finite after calibrate")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        other = config.build(io).double().eval()
    try:
        other.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise AssertionError(f"the weights of {name} after calibrate do not load into a fresh one: {error}") from error
    demand(
        all(torch.equal(*pair) for pair in zip(clouds.run(other), expected)),
        f"{name} with the state dict of another one gives other outputs: keep all that calibrate or build measures in "
        "parameters or buffers",
    )


@torch.no_grad()
def _perturb(network: nn.Module, seed: int) -> None:
    """Move all weights off their initial values, some of which are zero: symmetries hold whatever they are."""
    rng = seeded("check network", "weights", seed)
    for parameter in network.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=rng, dtype=torch.float64).to(parameter), alpha=0.1)


def _check_outputs(config: NetworkConfig, io: Interface, sizes: Sequence[int], seed: int) -> None:
    """Shapes, both dtypes, inputs that stay, and the same output for the same input."""
    rows = sum(sizes) if io.level == "node" else len(sizes)
    shapes = ((rows, io.out_scalars), (rows, io.out_vectors, io.dim))
    for dtype in (torch.float32, torch.float64):
        clouds, given = _Clouds(io, sizes, seed, dtype), _Clouds(io, sizes, seed, dtype).inputs
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = config.build(io).to(dtype).eval()
        name, first = type(network).__name__, clouds.run(network)
        for what, values, shape in zip(RapidashOutput._fields, first, shapes):
            demand(
                values.shape == shape and values.dtype == dtype,
                f"{name} in {dtype} gives {what} of shape {tuple(values.shape)} and {values.dtype}, expected {shape} "
                f"for level {io.level!r}, and its own dtype: do not name a dtype inside",
            )
        differs = first_difference(given, clouds.inputs)
        demand(differs is None, f"{name} wrote into its input {differs}: make a copy")
        demand(
            all(torch.equal(*pair) for pair in zip(first, clouds.run(network))),
            f"{name} gives two outputs for one input in eval mode: draw random numbers in training mode only",
        )


def _check_order(network: nn.Module, io: Interface, clouds: _Clouds, tolerance: float, seed: int) -> None:
    """The order of the points of a cloud does not matter."""
    rng = seeded("check network", "order", seed)
    starts = torch.tensor([0, *clouds.sizes]).cumsum(0)
    order = torch.cat([start + torch.randperm(size, generator=rng) for start, size in zip(starts, clouds.sizes)])
    for values, expected in zip(clouds.run(network, order), clouds.run(network)):
        demand(
            is_close(values, expected[order] if io.level == "node" else expected, tolerance),
            f"{type(network).__name__} sees the order of the points: outputs at points must move with them, those of "
            "clouds must stay",
        )


def _check_clouds(network: nn.Module, io: Interface, clouds: _Clouds, tolerance: float) -> None:
    """A cloud alone is what it is in a batch."""
    together = clouds.run(network)
    for place in range(len(clouds.sizes)):
        rows = clouds.batch == place
        with torch.no_grad():
            alone = network(clouds.inputs["pos"][rows], **clouds.features(rows))
        kept = rows if io.level == "node" else torch.arange(len(clouds.sizes)) == place
        demand(
            all(is_close(one, every[kept], tolerance) for one, every in zip(alone, together)),
            f"{type(network).__name__} gives another output for a cloud alone than in a batch: clouds must not see "
            "each other",
        )


class _Counting(Block):
    """A block around a block, as methods put it in its place."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.calls = block, 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return self.block(*args, **kwargs)

    def calibrate(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("a network that is run does not calibrate")


def _check_blocks(network: nn.Module, clouds: _Clouds, tolerance: float) -> None:
    name, expected, blocks = type(network).__name__, clouds.run(network), network.blocks
    assert isinstance(blocks, nn.ModuleList)
    for index, block in enumerate(blocks):
        blocks[index] = wrapper = _Counting(block)
        advice = f"{name}: a wrapper in the place of block {index}, which calls it, must change nothing: call "
        advice += "self.blocks[i](...) in forward, and use no attribute of a block"
        try:
            same = all(is_close(*pair, tolerance) for pair in zip(clouds.run(network), expected))
        except AttributeError as error:
            raise AssertionError(f"{advice} ({error})") from error
        finally:
            blocks[index] = block
        demand(wrapper.calls > 0 and same, f"{advice} (called {wrapper.calls} times)")


def _check_symmetry(network: nn.Module, clouds: _Clouds, tolerance: float, num_elements: int) -> None:
    name, group = type(network).__name__, network.exact_symmetry
    assert isinstance(group, Group)
    before = clouds.run(network)
    demand(
        max(map(largest, before)) > 0, f"{name} gives zero for random weights: nothing can be said about its symmetry"
    )
    for g in group.sample(num_elements, generator=seeded("check network", group.name)):
        after = clouds.moved(g).run(network)
        turned = before.vectors @ g[:-1, :-1].T
        demand(
            is_close(after.scalars, before.scalars, tolerance) and is_close(after.vectors, turned, tolerance),
            f"{name} says that {group} holds exactly, but its outputs differ by "
            f"{largest(after.scalars - before.scalars):.2g} (scalars) and {largest(after.vectors - turned):.2g} "
            f"(vectors) under an element of it: correct the layers, or say less in exact_symmetry",
        )


def _check_takes(config: NetworkConfig, network: nn.Module, io: Interface, clouds: _Clouds) -> None:
    """Vectors are used as vectors, or refused; components belong to networks that keep no rotation."""
    name, takes = type(config).__name__, config.takes
    group = network.symmetry
    assert isinstance(group, Group)
    if takes == "components":
        rotates = len(group.linear.generators(io.dim)) > 0
        demand(
            not rotates,
            f"{name}.takes is 'components', but its layers keep {group}: scalars that turn would break it, say "
            "'invariants' or 'vectors'",
        )
    if takes == "vectors":
        if not io.in_vectors:
            return
        other = clouds.moved(torch.eye(io.dim + 1, dtype=torch.float64))
        other.inputs["vectors"] = -other.inputs["vectors"]
        demand(
            not all(torch.equal(*pair) for pair in zip(other.run(network), clouds.run(network))),
            f"{name}.takes is 'vectors', but its output does not depend on them: use them, or say 'invariants'",
        )
        return
    try:
        config.build(replace(io, in_vectors=1))
    except ValueError:
        return
    raise AssertionError(f"{name}.takes is {takes!r}, but it builds with in_vectors=1: raise ValueError in build")
