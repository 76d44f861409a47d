"""Representations of the tensors inside a Rapidash network, for the layerwise error."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from rapidash.data import Field
from rapidash.groups import MatrixGroup, OrientationSignal, Position, Representation, Scalar, Tensor2, Vector
from rapidash.measure._action import Action
from rapidash.measure._layerwise import Hidden
from rapidash.models import Rapidash
from rapidash.nn import ExactKernel, TabulatedKernel


@dataclass(frozen=True, eq=False)
class EdgeKernelField(Representation):
    """The representation of a layer's edge kernel: signals on the orientation grid, and offsets that are vectors."""

    signal: Representation
    acts_on_objects = True

    def act(self, g: Float[Tensor, "D1 D1"], x: Any) -> Any:
        """The kernel in the moved frame: an exact one through its basis, a tabulated one through its attributes."""
        if isinstance(x, ExactKernel):
            return replace(x, offset=Vector().act(g, x.offset), basis=self.signal.act(g, x.basis))
        if isinstance(x, TabulatedKernel):
            moved = x.with_attributes(self.signal.act(g, x.attributes))
            return replace(moved, offset=Vector().act(g, x.offset))
        raise TypeError(f"expected the kernel of some edges, got {type(x).__name__}")


def rapidash_action(model: Rapidash, group: MatrixGroup | None = None) -> Action:
    """The action on the arguments and outputs of a `Rapidash`, called as ``model(pos=..., batch=..., scalars=...)``.

    Args:
        model: the network.
        group: default: the symmetry of its layers, ``model.symmetry``.
    """
    level: Literal["point", "cloud"] = "point" if model.level == "node" else "cloud"
    readout = model.readout
    sizes = {"scalars": readout.out_scalars, "vectors": readout.out_vectors, "tensors": readout.out_tensors}
    representations = {"scalars": Scalar(), "vectors": Vector(), "tensors": Tensor2()}
    return Action(
        model.symmetry if group is None else group,
        inputs={
            "pos": Field(Position()),
            "batch": Scalar(),
            "scalars": Scalar(),
            "vectors": Field(Vector()),
            "pairs": Scalar(),
        },
        outputs={name: Field(rep, level=level) for name, rep in representations.items() if sizes[name]},
        batch="batch",
    )


def rapidash_layers(model: nn.Module, *, lmax: int | None = None) -> Hidden:
    """The ``hidden`` argument of `layerwise_equivariance_error` for a network that contains a `Rapidash`.

    Layers are the embedding, the pair attributes, the kernel basis, every block and the readout. A tabulated network
    evaluates its basis at nodes, not on edges: there the kernel, as a function of the attributes, belongs to each block
    that looks it up. Hidden signals on orientations and pair attributes transform through their polynomials up to
    degree lmax, so that a layer is charged with what it aliases on the grid. What is left for the remainder is what the
    inputs break before the first layer, and for lmax 0 or -1 the lifting of vectors.

    Args:
        model: a `Rapidash`, or a module with one inside.
        lmax: None takes the largest degree up to 2 that the grid determines; -1 lets hidden signals stay (the whole
            error of the grid is then charged to the pair attributes).
    Raises: ValueError without a `Rapidash`, or for an lmax that the grid does not determine.
    """
    found = [(name, part) for name, part in model.named_modules() if isinstance(part, Rapidash)]
    if not found:
        raise ValueError(f"{type(model).__name__} contains no Rapidash: declare its layers yourself")
    layers: dict[str | type[nn.Module], Any] = {}
    for name, network in found:
        prefix = f"{name}." if name else ""
        signal = _signal(network, lmax)
        kernel = EdgeKernelField(signal)
        layers[f"{prefix}embedding"] = signal
        layers[f"{prefix}pair_attributes"] = ((Vector(), Scalar()), signal)
        layers[f"{prefix}spatial_basis"] = signal
        layers[f"{prefix}spherical_basis"] = Scalar()
        given = (Scalar(), Vector(), Tensor2()) if network.readout.out_tensors else (Scalar(), Vector())
        layers[f"{prefix}readout"] = ((signal, kernel, Scalar(), Scalar()), given)
        for index in range(len(network.blocks)):
            layers[f"{prefix}blocks.{index}"] = ((signal, kernel, Scalar(), Scalar(), Scalar()), signal)
    return layers


def _signal(network: Rapidash, lmax: int | None) -> Representation:
    if not network.invariants.has_orientations or lmax == -1:
        return Scalar()
    grid = network.grid.cpu()
    if lmax is not None:
        return OrientationSignal(grid, lmax)
    for degree in (2, 1, 0):
        try:
            return OrientationSignal(grid, degree)
        except ValueError:
            continue
    return Scalar()


def as_module(fn: Any, *parts: nn.Module) -> nn.Module:
    """A function around modules as one module, for measures that watch the modules inside."""
    return _Wrapped(fn, *parts).eval()


class _Wrapped(nn.Module):
    def __init__(self, fn: Any, *parts: nn.Module) -> None:
        super().__init__()
        self.fn, self.parts = fn, nn.ModuleList(parts)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See `as_module`."""
        return self.fn(*args, **kwargs)
