"""The weights of the released network in a network of this library."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rapidash.geometry import KNN, EdgeRule, FullyConnected
from rapidash.models import Rapidash

_IGNORED = re.compile(r"layers\.\d+\.conv\.(pre_linear\.weight|callibrated|calibrated)$")  # never used, or a flag
_RENAMED = (
    (r"^x_embedder\.", "embedding."),
    (r"^readout\.", "readout.linear."),
    (r"^spatial_basis_fn\.1\.", "spatial_basis.linear_1."),
    (r"^spatial_basis_fn\.3\.", "spatial_basis.linear_2."),
    (r"^spherical_basis_fn\.1\.", "spherical_basis.linear_1."),
    (r"^spherical_basis_fn\.3\.", "spherical_basis.linear_2."),
    (r"^layers\.", "blocks."),
)
_CONFIG_KEYS = {
    "hidden_dim", "num_layers", "edge_types", "ratios", "degree", "widening_factor", "layer_scale",
    "last_feature_conditioning", "skip_connections", "basis_dim", "basis_hidden_dim", "input_dim", "output_dim",
    "output_dim_vec", "equivariance", "dim", "num_ori", "task_level",
}  # fmt: skip


def from_rapidash_state_dict(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Rapidash:
    """The released Rapidash network with its weights, as a `Rapidash` with exact kernels.

    What the released code does otherwise than this library is kept: with ``knn-k`` edges each point sends to (not
    receives from) its k nearest points. Its weights that are never used (``conv.pre_linear``) are left out. The
    configuration says only how many scalars and vectors come in together, so the network accepts every split.

    Args:
        state_dict: weights under the names of the released code; their dtype is kept.
        config: arguments of the released constructor (``hidden_dim``, ``num_layers``, ``num_ori``, ...).
    Raises: ValueError for an unknown configuration key, missing or superfluous weights, and for what the released code
        computes in a way that is not offered here (radius graphs, whose attributes it windows; the plane with rotations
        and orientations, where its second attribute is not invariant).
    Source: Vadgama et al., arXiv 2501.01999, released code (MIT).
    """
    if unknown := sorted(set(config) - _CONFIG_KEYS):
        raise ValueError(f"config has unknown keys {unknown}, expected some of {sorted(_CONFIG_KEYS)}")
    if "input_dim" not in config or "hidden_dim" not in config or "num_layers" not in config:
        raise ValueError("config needs at least input_dim, hidden_dim and num_layers")
    dim, num_orientations = int(config.get("dim", 3)), int(config.get("num_ori", 12))
    equivariance = config.get("equivariance", "SEn")
    if equivariance not in ("SEn", "Tn"):
        raise ValueError(f"config['equivariance'] must be 'SEn' or 'Tn', got {equivariance!r}")
    if dim == 2 and num_orientations > 0 and equivariance == "SEn":
        raise ValueError("the released network on R2xS1 with 'SEn' is not rotation invariant: it has no twin here")
    weights = {_renamed(name): tensor for name, tensor in state_dict.items() if not _IGNORED.match(name)}
    grid = weights.pop("sphere_grid", None)
    if num_orientations > 0 and grid is None:
        raise ValueError("state_dict has no 'sphere_grid', which a network with num_ori > 0 needs")
    depths = _as_list(config["num_layers"])
    widths = _as_list(config["hidden_dim"]) * (len(depths) if isinstance(config["hidden_dim"], int) else 1)
    edge_types = config.get("edge_types", ["fc"])
    rules = [_edge_rule(text) for text in ([edge_types] * len(depths) if isinstance(edge_types, str) else edge_types)]
    ratios = config.get("ratios", [])
    basis_dim = config.get("basis_dim") or widths[0]
    degree = int(config.get("degree", 2))
    model = Rapidash(
        dim=dim,
        symmetry=f"E({dim})" if equivariance == "SEn" else f"T({dim})",
        space=f"R{dim}xS{dim - 1}" if num_orientations else f"R{dim}",
        num_orientations=num_orientations or 1,
        grid="fibonacci" if grid is None else grid,
        in_scalars=weights["embedding.weight"].shape[1] if "embedding.weight" in weights else config["input_dim"],
        out_scalars=int(config.get("output_dim", 1)),
        out_vectors=int(config.get("output_dim_vec", 0) or 0) if num_orientations else 0,
        level=config.get("task_level", "node"),
        channels=widths,
        num_layers=depths,
        edges=rules,
        ratios=[float(ratio) for ratio in ([ratios] * (len(depths) - 1) if isinstance(ratios, float) else ratios)],
        skip_connections=bool(config.get("skip_connections", True)),
        basis_dim=basis_dim,
        basis_hidden_dim=config.get("basis_hidden_dim") or basis_dim,
        max_degree=degree + 1,
        widening=int(config.get("widening_factor", 4)),
        layer_scale=config.get("layer_scale"),
        kernel="exact",
    )
    model.accepts_any_split = True
    model.to(weights["embedding.weight"].dtype if "embedding.weight" in weights else torch.get_default_dtype())
    if grid is not None:
        model.grid = grid.detach().to(torch.float64)
    result = model.load_state_dict(weights, strict=False)
    missing = [name for name in result.missing_keys if name not in ("grid", "table_reach")]
    if missing or result.unexpected_keys:
        raise ValueError(
            f"the weights do not fit the configuration: missing {missing}, not expected {list(result.unexpected_keys)}"
        )
    return model


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _as_list(value: int | list[int]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def _edge_rule(text: str) -> EdgeRule:
    kind, _, number = text.lower().partition("-")
    if kind == "fc":
        return FullyConnected()
    if kind == "knn" and number.isdigit():
        return KNN(int(number), reverse=True)
    raise ValueError(f"edge type {text!r} of the released network has no twin here: only 'fc' and 'knn-K' do")
