"""The operations that cost time, each with a definition in plain torch and fast twins that agree with it."""

from rapidash.ops._backend import Backend
from rapidash.ops._flops import FlopCount, counted_flops, flop_formulas, uncounted_operations
from rapidash.ops._linear import linear
from rapidash.ops._probe import LARGEST_FLOAT32_ERROR, ProductKind, ProductLibrary, product_libraries, product_probe
from rapidash.ops._products import (
    Precision,
    Products,
    check_float32,
    check_rounded,
    has_float32_products,
    product_error,
    product_kind,
    product_settings,
    products_for,
    products_of,
    row_chunks,
    use_products,
)
from rapidash.ops.channel_mlp import channel_mlp
from rapidash.ops.component_mlp import component_mlp
from rapidash.ops.edge_conv import edge_conv
from rapidash.ops.gelu import gelu
from rapidash.ops.orbit_table_conv import orbit_table_conv
from rapidash.ops.spherical_conv import spherical_conv
from rapidash.ops.table_conv import (
    Interpolation,
    KeptTable,
    interpolate_table,
    keep_points,
    spline_coefficients,
    table_conv,
)
from rapidash.ops.tensor_powers import tensor_powers

__all__ = [
    "LARGEST_FLOAT32_ERROR",
    "Backend",
    "FlopCount",
    "Interpolation",
    "KeptTable",
    "Precision",
    "ProductKind",
    "ProductLibrary",
    "Products",
    "channel_mlp",
    "check_float32",
    "check_rounded",
    "component_mlp",
    "counted_flops",
    "edge_conv",
    "flop_formulas",
    "gelu",
    "has_float32_products",
    "interpolate_table",
    "keep_points",
    "linear",
    "orbit_table_conv",
    "product_error",
    "product_kind",
    "product_libraries",
    "product_probe",
    "product_settings",
    "products_for",
    "products_of",
    "row_chunks",
    "spherical_conv",
    "spline_coefficients",
    "table_conv",
    "tensor_powers",
    "uncounted_operations",
    "use_products",
]
