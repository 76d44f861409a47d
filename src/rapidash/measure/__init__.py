"""Measure symmetry: how equivariant is a model, where is it lost, and does it matter?"""

from rapidash.measure._action import Action
from rapidash.measure._check import EquivarianceCheck, assert_equivariant, check_equivariance
from rapidash.measure._defect import defect
from rapidash.measure._equivariance_error import EquivarianceError, draw_elements, equivariance_error
from rapidash.measure._layerwise import LayerwiseError, layerwise_equivariance_error
from rapidash.measure._lie_derivative import (
    LieDerivative,
    LocalEquivarianceError,
    lie_derivative,
    local_equivariance_error,
)
from rapidash.measure._report import Report

__all__ = [
    "Action",
    "EquivarianceCheck",
    "EquivarianceError",
    "LayerwiseError",
    "LieDerivative",
    "LocalEquivarianceError",
    "Report",
    "assert_equivariant",
    "check_equivariance",
    "defect",
    "draw_elements",
    "equivariance_error",
    "layerwise_equivariance_error",
    "lie_derivative",
    "local_equivariance_error",
]
