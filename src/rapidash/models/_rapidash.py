"""The Rapidash network: one architecture in all its symmetry variants."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rapidash._hub import upload
from rapidash.geometry import (
    Cell,
    EdgeRule,
    Hierarchy,
    build_hierarchy,
    check_cloud,
    find_tie,
    pair_invariants,
    parse_edges,
    safe_norm,
    tie_exception,
)
from rapidash.groups import Group, orientation_grid, parse_group
from rapidash.models._chosen_parts import check_choice, components_of, kernel_table
from rapidash.models._config import KernelMode, RapidashConfig
from rapidash.models._edge_sets import check_hierarchy, edge_sets
from rapidash.models._features import check_any_split, check_features
from rapidash.models._hidden_features import hidden_features
from rapidash.models._network import Interface, RapidashOutput, TensorOutput
from rapidash.models._readout import Readout
from rapidash.models._saved import CUSTOM_GRID, load_network, save_network
from rapidash.models._scales import block_order, block_widths, per_scale
from rapidash.models._subgroups import draw_tables, grid_motions, keep_subgroups
from rapidash.nn import (
    ConvNextBlock,
    GroupConv,
    Kept,
    KernelBasis,
    OrientationMaps,
    PairAttributes,
    check_types,
    spans_tensors,
)
from rapidash.ops import Backend


class Rapidash(nn.Module):
    r"""Group-convolutional network on point clouds, on R^D or R^D x S^(D-1), under a chosen symmetry.

    Lifting, separable convolutions with one shared kernel basis in ConvNeXt blocks, readout; with several scales,
    farthest point sampling between them, and for node-level tasks the mirrored way up with skip connections.
    The edges upward reuse the attributes of the edges downward (d always points from the coarse to the fine point).

    Symmetry: ``model.symmetry`` is the group of the layers. On R^D it holds exactly. On R^D x S^(D-1) it holds exactly
    for ``model.exact_symmetry``, the motions that permute the orientation grid, and approximately for the rest of the
    group, better with more orientations. Neither holds where distances tie: of points that are equally far, as on a
    grid, ``"knn-K"`` takes exactly K and sampling between scales takes one, by order or by rounding. ``"fc"`` and
    ``"radius-R"`` on one scale know no ties (the kernel goes to 0 at R). ``model.tie_exception`` names the exception,
    and `connect` warns of it.

    ``"E(3)"`` cannot tell a cloud from its mirror image, ``"SE(3)"`` can.

    Args:
        dim: dimension of space, 2 or 3.
        symmetry: ``"T(3)"``, ``"E(3)"``, ``"SE(3)"``, ``"SO2(z)"`` (2 in the plane, no axis), or a `Group`.
        space: ``"R3"`` or ``"R3xS2"`` (``"R2"``, ``"R2xS1"``). Default: with orientations.
        num_orientations: O, size of the orientation grid.
        grid: ``"platonic"``, of 4, 6, 8, 12 or 20 orientations, which the rotations of the solid permute; of any number
            ``"fibonacci"`` and ``"repulsion"``, which hardly a motion permutes; or a tensor (O, D) of unit vectors. In
            the plane every name gives the uniform grid.
        in_scalars, in_vectors: input features per point. Vectors need orientations.
        in_pairs: number of point scalars whose products s_i s_j modulate the kernel (charges).
        out_scalars, out_vectors, out_tensors: outputs. Vectors on R^D are sums over edges along relative positions
            (components for T(D)). Tensors are symmetric ones of rank 2; they need orientations whose o o^T span them,
            or T(D). A network with tensors returns a `TensorOutput`.
        level: ``"graph"`` for an output per cloud, ``"node"`` for one per point.
        pool: ``"sum"`` or ``"mean"`` over the points of a cloud.
        channels, num_layers, edges: width, blocks and edge rule (``"fc"``, ``"knn-16"``, ``"radius-0.5"`` in units of
            the positions, or a rule object); lists, one entry per scale, make the network multi-scale.
        ratios: share of points kept from each scale to the next, in (0, 1].
        skip_connections: add the features on the way down to those on the way up.
        basis_dim, basis_hidden_dim, max_degree: kernel basis; monomials of the attributes up to ``max_degree``.
        widening: hidden width of the channel MLP over C.
        layer_scale: initial factor of each block's output, or None.
        kernel: ``"exact"`` evaluates the kernel basis at every edge: the definition. ``"tabulated"`` evaluates it on a
            grid of the attribute domain and interpolates (attributes on at most 2 dimensions; see `kernel_error`).
            ``"auto"`` tabulates where it can, except when positions need gradients, and in float64 before calibration:
            a network that was calibrated, and so trained, with tables stays the same function in every dtype.
        interpolation: ``"linear"`` or ``"cubic"`` (twice differentiable in the positions).
        table_size: nodes along a positive attribute; twice as many along a signed one, eight times on a single axis.
        recompute: keep fewer activations for the backward pass and compute them again.
        subgroups: for every block a group by name, e.g. ``("E(3)", "C2(z)")``: it has kernels of its own for every
            orbit of orientations, and of pairs of them, under those motions of the grid that belong to it, and keeps
            these alone, see `rapidash.nn.SubgroupConv`; empty: all blocks keep ``symmetry``.
        orientation_mlp: the linear maps of the blocks: ``"pointwise"``, one weight at each orientation alone;
            ``"bandlimited"``, a weight for each degree of the harmonics up to ``bandlimit``, which needs fewer products
            where these are fewer than the orientations; ``"irreps"``, a weight for each irreducible part of a signal on
            a grid, at the cost of pointwise. All three keep the motions of the grid exactly.
        bandlimit: L, of ``"bandlimited"``: at least 1 for vectors and 2 for tensors as outputs.
        backend: ``"auto"``, ``"reference"``, ``"numba"`` or ``"triton"``; asked by name it runs or raises.
    Shape: pos (N, D), batch (N,) sorted, scalars (N, in_scalars), vectors (N, in_vectors, D), pairs (N, in_pairs).
    Raises: ValueError for arguments or inputs outside the above.
    Source: Vadgama et al., "Probing Equivariance and Symmetry Breaking in Convolutional Networks", arXiv 2501.01999.
    """

    keeps_answers: ClassVar[bool] = True  # when it is saved, see `rapidash.models.check_answers`

    grid: Tensor
    table_reach: Tensor

    def __init__(
        self,
        *,
        dim: int = 3,
        symmetry: str | Group = "",
        space: str = "",
        num_orientations: int = 12,
        grid: str | Tensor = "platonic",
        in_scalars: int = 0,
        in_vectors: int = 0,
        in_pairs: int = 0,
        out_scalars: int = 1,
        out_vectors: int = 0,
        out_tensors: int = 0,
        level: Literal["node", "graph"] = "graph",
        pool: Literal["sum", "mean"] = "sum",
        channels: int | Sequence[int] = 256,
        num_layers: int | Sequence[int] = 7,
        edges: str | EdgeRule | Sequence[str | EdgeRule] = "fc",
        ratios: float | Sequence[float] = 0.5,
        skip_connections: bool = True,
        basis_dim: int = 256,
        basis_hidden_dim: int = 128,
        max_degree: int = 3,
        widening: int = 4,
        layer_scale: float | None = None,
        kernel: KernelMode = "auto",
        interpolation: Literal["linear", "cubic"] = "linear",
        table_size: int = 32,
        recompute: bool = False,
        subgroups: Sequence[str] = (),
        orientation_mlp: OrientationMaps = "pointwise",
        bandlimit: int = 1,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        check_choice("orientation_mlp", orientation_mlp, get_args(OrientationMaps))
        check_choice("level", level, ("node", "graph"))
        check_choice("pool", pool, ("sum", "mean"))
        counts = {"in_scalars": in_scalars, "in_vectors": in_vectors, "in_pairs": in_pairs}
        counts |= {"out_scalars": out_scalars, "out_vectors": out_vectors, "out_tensors": out_tensors}
        if wrong := {name: value for name, value in counts.items() if value < 0}:
            raise ValueError(f"sizes must be at least 0, got {wrong}")
        if in_scalars + in_vectors == 0 or out_scalars + out_vectors + out_tensors == 0:
            raise ValueError(f"a network needs an input and an output, got {counts}: give points at least a constant 1")
        self.dim, self.level = dim, level
        group = parse_group(symmetry or f"E({dim})", dim)
        self.invariants = pair_invariants(space or f"R{dim}xS{dim - 1}", group)
        self.symmetry = self.invariants.group
        has_orientations = self.invariants.has_orientations
        if in_vectors and not has_orientations:
            raise ValueError(
                f"in_vectors={in_vectors} on space R{dim}: scalar features cannot hold a vector. Use space='R{dim}xS"
                f"{dim - 1}', or pass invariants of the vectors (norms, inner products) as scalars"
            )
        self.in_scalars, self.in_vectors, self.in_pairs = in_scalars, in_vectors, in_pairs
        self.io = Interface(dim, **counts, level=level, pool=pool)
        self.accepts_any_split = False  # of the input features into scalars and vectors
        self.backend = backend

        # scales and the order of the blocks
        lists = [given for given in (channels, num_layers, edges) if isinstance(given, (list, tuple))]
        num_scales = max((len(given) for given in lists), default=1)
        widths = per_scale("channels", channels, num_scales)
        depths = per_scale("num_layers", num_layers, num_scales)
        self.rules = [parse_edges(rule) for rule in per_scale("edges", edges, num_scales)]
        self.ratios = [float(ratio) for ratio in per_scale("ratios", ratios, num_scales - 1)]
        if min(*widths, *depths) < 1:
            raise ValueError(f"channels and num_layers must be at least 1, got {channels=}, {num_layers=}")
        if wrong_ratios := [ratio for ratio in self.ratios if not 0 < ratio <= 1]:
            raise ValueError(f"ratios must be in (0, 1], got {wrong_ratios}")
        self.skip_connections = skip_connections
        self.steps = block_order(depths, has_way_up=level == "node")

        # parameters
        if has_orientations:
            vectors_of_grid = orientation_grid(grid, num_orientations, dim)
            if out_tensors and not spans_tensors(vectors_of_grid):
                raise ValueError(
                    f"out_tensors={out_tensors}: the o o^T of the {len(vectors_of_grid)} orientations do not span all "
                    "symmetric tensors of rank 2; use grid='platonic' with 12 or 20, or 'fibonacci' with 12"
                )
        else:
            vectors_of_grid = torch.zeros(0, dim, dtype=torch.float64)
        self.register_buffer("grid", vectors_of_grid)  # stays float64, see _apply
        self.pair_attributes = PairAttributes(self.invariants)
        self.spatial_basis = KernelBasis(self.invariants.spatial_dim, basis_hidden_dim, basis_dim, max_degree)
        self.spherical_basis = (
            KernelBasis(self.invariants.spherical_dim, basis_hidden_dim, basis_dim, max_degree)
            if has_orientations
            else None
        )
        self.embedding = nn.Linear(in_scalars + in_vectors, widths[0], bias=False)
        components = components_of(orientation_mlp, bandlimit, self.invariants, vectors_of_grid, self.io)
        self.blocks = nn.ModuleList()
        for step, (width, out_width) in zip(self.steps, block_widths(self.steps, widths)):
            conv = GroupConv(
                width,
                basis_dim,
                has_orientations=has_orientations,
                is_chiral=self.invariants.is_chiral,
                num_pairs=in_pairs,
            )
            self.blocks.append(
                ConvNextBlock(
                    conv,
                    width,
                    out_width,
                    widening=widening,
                    layer_scale=layer_scale,
                    is_residual=step.stage == "scale",
                    recompute=recompute,
                    components=components,
                )
            )
        last_width = widths[-1] if level == "graph" else widths[0]
        self.readout = Readout(
            last_width,
            out_scalars,
            out_vectors,
            invariants=self.invariants,
            basis_dim=basis_dim,
            level=level,
            pool=pool,
            out_tensors=out_tensors,
        )
        self.register_buffer("table_reach", torch.zeros(2 * num_scales - 1))  # of every set of edges; set by calibrate
        self.config = RapidashConfig(
            symmetry=symmetry if symmetry and isinstance(symmetry, str) else group.name,  # its name rounds an axis
            space=space or f"R{dim}xS{dim - 1}",
            num_orientations=num_orientations,
            grid=grid if isinstance(grid, str) else CUSTOM_GRID,
            pool=pool,
            channels=widths[0] if num_scales == 1 else tuple(widths),
            num_layers=depths[0] if num_scales == 1 else tuple(depths),
            edges=str(self.rules[0]) if num_scales == 1 else tuple(str(rule) for rule in self.rules),
            ratios=tuple(self.ratios),
            skip_connections=skip_connections,
            basis_dim=basis_dim,
            basis_hidden_dim=basis_hidden_dim,
            max_degree=max_degree,
            widening=widening,
            layer_scale=layer_scale,
            kernel=kernel,
            interpolation=interpolation,
            table_size=table_size,
            recompute=recompute,
            orientation_mlp=orientation_mlp,
            bandlimit=bandlimit,
        )
        if subgroups:
            keep_subgroups(self, subgroups)
            draw_tables(self)
        self.table = kernel_table(self.config, self.invariants)
        self.is_calibrated = False
        self.kept_basis = Kept()
        self._looks_for_ties = bool(self.tie_exception)
        self.register_load_state_dict_post_hook(_note_calibration)

    @classmethod
    def from_config(cls, config: RapidashConfig, io: Interface, *, backend: Backend = "auto") -> "Rapidash":
        """A network with fresh weights from its knobs and sizes."""
        return cls(**config.arguments(io), backend=backend)

    def save_pretrained(self, folder: Path | str, *, license: str | None = None) -> Path:
        """Write the network into a folder: ``model.safetensors``, ``config.json`` and a card, each whole or not at all.

        Args:
            folder: created where it is missing.
            license: for the card, an identifier as the Hugging Face hub has it, e.g. ``"mit"``.
        Returns: the folder.
        Raises: OSError naming the file; ValueError for a symmetry without a name that `parse_group` reads.
        """
        return save_network(self, folder, license)

    def push_to_hub(self, repo_id: str, *, private: bool = True, license: str | None = None) -> str:
        """Upload the network to the Hugging Face hub, as `save_pretrained` writes it, and return its address.

        Args:
            repo_id: ``"USER/NAME"``; made where it is missing.
            private: of a new repository.
            license: for the card.
        Raises: ModuleNotFoundError where ``huggingface_hub`` is missing, and its errors, e.g. without a login.
        """
        with tempfile.TemporaryDirectory() as folder:
            return upload(self.save_pretrained(folder, license=license), repo_id, private=private)

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, backend: Backend = "auto", revision: str | None = None
    ) -> "Rapidash":
        """The network in a local folder that `save_pretrained` wrote, bit for bit, on the CPU and in eval mode.

        Args:
            folder: or, where there is none, the name of a network on the Hugging Face hub, ``"USER/NAME"``.
            backend: as for the constructor.
            revision: branch, tag or commit of a network of the hub.
        Raises: FileNotFoundError for a missing file or network; ValueError for a damaged or foreign file, or weights
            that do not fit, naming the file and the entry.
        """
        return load_network(cls, folder, backend=backend, revision=revision)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Rapidash":
        """Move or cast the network, but keep the orientation grid in float64: exact symmetry needs all its digits."""
        grid = self.grid
        super()._apply(fn, recurse)
        self.grid = grid.to(self.grid.device)
        return self

    @property
    def exact_symmetry(self) -> Group:
        """The largest group for which the layers are equivariant in floating point, for this orientation grid."""
        if not self.invariants.has_orientations or not self.symmetry.linear.generators(self.dim).numel():
            return self.symmetry
        return Group(self.dim, grid_motions(self.invariants, self.grid).linear, translations=True)

    @property
    def tie_exception(self) -> str:
        """On which clouds the symmetry does not hold exactly, in words; empty if there are none."""
        return tie_exception(self.rules)

    def connect(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"],
        *,
        num_clouds: int | None = None,
        generator: torch.Generator | None = None,
        cell: Cell | None = None,
    ) -> Hierarchy:
        """Check a batch of clouds and build its edges at every scale; pass the result to `forward` to reuse it.

        With a cell the structures are periodic, which needs edges ``"radius-R"`` on one scale. The first call looks for
        ties (see ``tie_exception``) in the first cloud, and warns of them.
        """
        check_cloud(pos, batch)
        if pos.shape[1] != self.dim:
            raise ValueError(f"pos has {pos.shape[1]} coordinates, the network was made with dim={self.dim}")
        hierarchy = build_hierarchy(
            pos, batch, self.rules, self.ratios, num_clouds=num_clouds, generator=generator, cell=cell
        )
        if self._looks_for_ties and not torch.compiler.is_compiling():
            self._looks_for_ties = False
            if tie := find_tie(pos, hierarchy, self.rules):
                warnings.warn(
                    f"{tie} of the first cloud. Order or rounding decides, so that {self.symmetry} is broken on such "
                    "clouds: use edges 'fc' or 'radius-R' on one scale for exact symmetry",
                    stacklevel=2,
                )
        return hierarchy

    def forward(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"] | None = None,
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
        hierarchy: Hierarchy | None = None,
        grid_rotation: Float[Tensor, "D D"] | None = None,
        cell: Cell | None = None,
    ) -> RapidashOutput | TensorOutput:
        """Scalars and vectors per point or cloud, with ``out_tensors`` also tensors.

        Args:
            pos: positions; the unit is the user's, edges and cutoffs are in the same.
            batch: cloud of each point, sorted; absent for a single cloud.
            scalars, vectors, pairs: input features.
            hierarchy: edges from `connect`, to reuse them or for ``torch.compile`` and ``torch.export``.
            grid_rotation: turns the orientation grid, e.g. at random in each training step.
            cell: of periodic structures; also with a ``hierarchy`` that was made with it.
        """
        self._check_types(pos, scalars, vectors, pairs)
        if batch is None:
            batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
        if hierarchy is None:
            hierarchy = self.connect(pos, batch, cell=cell)
        elif not torch.compiler.is_compiling():
            check_hierarchy(hierarchy, pos, cell)
        merges = self.backend != "reference" and self.readout.merges_with(self.blocks[-1])
        output = self.readout.linear if merges else None
        features = self._checked(pos, scalars, vectors, pairs)
        hidden, kernels, grid = hidden_features(
            self, pos, hierarchy, features, pairs=pairs, grid_rotation=grid_rotation, cell=cell, output=output
        )
        if output is not None:
            found = self.readout.outputs(hidden, grid, hierarchy)
        else:
            found = self.readout(hidden, kernels[0], grid, hierarchy)
        return TensorOutput(*found) if len(found) == 3 else RapidashOutput(*found)

    def hidden(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"],
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
        cell: Cell | None = None,
    ) -> Tensor:
        """Features before the readout: (N, O, C), on R^D (N, C); at graph level on the coarsest scale's points."""
        self._check_types(pos, scalars, vectors, pairs)
        hierarchy = self.connect(pos, batch, cell=cell)
        features = self._checked(pos, scalars, vectors, pairs)
        hidden, _, _ = hidden_features(self, pos, hierarchy, features, pairs=pairs, cell=cell)
        return hidden if self.invariants.has_orientations else hidden.squeeze(1)

    @torch.no_grad()
    def calibrate(
        self,
        pos: Float[Tensor, "N D"],
        batch: Int[Tensor, " N"],
        *,
        scalars: Float[Tensor, "N Cs"] | None = None,
        vectors: Float[Tensor, "N Cv D"] | None = None,
        pairs: Float[Tensor, "N P"] | None = None,
        cell: Cell | None = None,
    ) -> None:
        """Rescale every kernel so that the standard deviation of the features is kept on this batch.

        It also fixes the range of kernel tables at 1.25 times the largest distance seen, so that in this range a
        result does not depend on the other clouds of its batch. Call it once, before training, on a typical batch.
        """
        self._check_types(pos, scalars, vectors, pairs)
        hierarchy = self.connect(pos, batch, cell=cell)
        for index, (graph, offset) in enumerate(edge_sets(pos, hierarchy, cell)):
            if graph.num_edges:
                self.table_reach[index] = 1.25 * safe_norm(offset).max()
        self.is_calibrated = True
        features = self._checked(pos, scalars, vectors, pairs)
        hidden, kernels, _ = hidden_features(self, pos, hierarchy, features, pairs=pairs, cell=cell, calibrate=True)
        self.readout.calibrate(hidden, kernels[0])

    def _check_types(self, pos: Tensor, scalars: Tensor | None, vectors: Tensor | None, pairs: Tensor | None) -> None:
        """Everything must have the type and the device of the network; scalars next to vectors take their type."""
        used = scalars if self.in_scalars or self.accepts_any_split else None
        groups = {"pos": pos}, {"vectors": vectors}, {"scalars": used, "vectors": vectors}, {"pos": pos, "pairs": pairs}
        check_types("network", self.embedding.weight, *groups)

    def _checked(
        self, pos: Tensor, scalars: Tensor | None, vectors: Tensor | None, pairs: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Check the features against what the network was made for."""
        if self.accepts_any_split:
            check_any_split(self.in_scalars + self.in_vectors, scalars, vectors)
            return scalars, vectors
        sizes = {"scalars": (self.in_scalars,), "vectors": (self.in_vectors, self.dim), "pairs": (self.in_pairs,)}
        check_features(len(pos), sizes, {"scalars": scalars, "vectors": vectors, "pairs": pairs})
        return (scalars if self.in_scalars else None), (vectors if self.in_vectors else None)

    def with_kernel(
        self,
        kernel: KernelMode,
        *,
        table_size: int | None = None,
        interpolation: Literal["linear", "cubic"] | None = None,
        backend: Backend | None = None,
    ) -> "Rapidash":
        """This network, with the same parameter tensors, and another way to evaluate its kernels.

        Raises: ValueError for choices that the constructor would refuse.
        """
        changed = replace(
            self.config,
            kernel=kernel,
            table_size=self.config.table_size if table_size is None else table_size,
            interpolation=interpolation or self.config.interpolation,
        )
        table = kernel_table(changed, self.invariants)
        if table is not None:
            table.to(self.grid.device).train(self.training)
        twin = Rapidash.__new__(Rapidash)
        nn.Module.__init__(twin)
        twin.__dict__.update(self.__dict__)
        twin._modules = {**self._modules, "table": table}
        twin.config, twin.backend = changed, backend or self.backend
        return twin


def _note_calibration(model: nn.Module, _: object) -> None:
    """Loaded weights say whether their network was calibrated."""
    assert isinstance(model, Rapidash)
    model.is_calibrated = bool((model.table_reach > 0).any())
