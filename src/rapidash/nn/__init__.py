"""Layers: the kernel basis, the group convolution, the ConvNeXt block, lifting and projection."""

from rapidash.nn._block import Block, ConvNextBlock
from rapidash.nn._check_types import check_types
from rapidash.nn._fiber_head import FiberHead, FiberPool, Pooling
from rapidash.nn._group_conv import GroupConv
from rapidash.nn._image_group_conv import (
    CenteredMaxPool,
    ImageGroupConv,
    ImageLifting,
    Padding,
    fiber_conv,
    moved_conv,
)
from rapidash.nn._kept import Kept
from rapidash.nn._kernel import EdgeKernel, ExactKernel, TabulatedKernel
from rapidash.nn._kernel_basis import KernelBasis
from rapidash.nn._kernel_table import KernelTable
from rapidash.nn._lifting import lift, project_scalars, project_tensors, project_vectors, spans_tensors
from rapidash.nn._orbit_tables import OrbitTables, Tables, used_parameters
from rapidash.nn._orientation_components import (
    OrientationComponents,
    OrientationMaps,
    Part,
    harmonics_of_degree,
    orientation_components,
)
from rapidash.nn._orientation_linear import OrientationLinear
from rapidash.nn._pair_attributes import PairAttributes
from rapidash.nn._subgroup_conv import SubgroupConv
from rapidash.nn._subgroup_image_layers import ImageSubgroupConv, SubgroupBatchNorm, SubgroupHead, has_mean
from rapidash.ops import tensor_powers

__all__ = [
    "Block",
    "CenteredMaxPool",
    "ConvNextBlock",
    "EdgeKernel",
    "ExactKernel",
    "FiberHead",
    "FiberPool",
    "GroupConv",
    "ImageGroupConv",
    "ImageLifting",
    "ImageSubgroupConv",
    "Kept",
    "KernelBasis",
    "KernelTable",
    "OrbitTables",
    "OrientationComponents",
    "OrientationLinear",
    "OrientationMaps",
    "Padding",
    "PairAttributes",
    "Part",
    "Pooling",
    "SubgroupBatchNorm",
    "SubgroupConv",
    "SubgroupHead",
    "Tables",
    "TabulatedKernel",
    "check_types",
    "fiber_conv",
    "harmonics_of_degree",
    "has_mean",
    "lift",
    "moved_conv",
    "orientation_components",
    "project_scalars",
    "project_tensors",
    "project_vectors",
    "spans_tensors",
    "tensor_powers",
    "used_parameters",
]
