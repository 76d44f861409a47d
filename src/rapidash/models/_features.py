"""Whether input features fit the network that gets them."""

from collections.abc import Mapping

from torch import Tensor


def check_features(
    num_points: int, sizes: Mapping[str, tuple[int, ...]], features: Mapping[str, Tensor | None]
) -> None:
    """Raises: ValueError naming the features that are missing or have another shape than (points, *sizes)."""
    for name, size in sizes.items():
        tensor, shape = features[name], (num_points, *size)
        if tensor is None and size[0] > 0:
            raise ValueError(f"{name} is missing: the network was made with in_{name}={size[0]}, expected {shape}")
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape} (points, in_{name}, ...)")


def check_any_split(expected: int, *features: Tensor | None) -> None:
    """Raises: ValueError unless the features, together, are as many as expected."""
    width = sum(tensor.shape[1] for tensor in features if tensor is not None)
    if width != expected:
        raise ValueError(f"got {width} input features, the network has {expected}")
