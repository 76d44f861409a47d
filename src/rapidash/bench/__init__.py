"""Benchmarks: whole networks against their definition, in one process, as ratios of medians."""

from rapidash.bench._cases import CASES, Batch, BenchCase
from rapidash.bench._growth import GrowthRow, measure_growth
from rapidash.bench._measure import BenchResult, check_agreement, measure, select_cases, variants
from rapidash.bench._render import text_table, write_results

__all__ = [
    "CASES",
    "Batch",
    "BenchCase",
    "BenchResult",
    "GrowthRow",
    "check_agreement",
    "measure",
    "measure_growth",
    "select_cases",
    "text_table",
    "variants",
    "write_results",
]
