"""The study of ScanObjectNN: the variants and settings of the study of shapes, on its 15 classes of scanned objects."""

from dataclasses import replace

from rapidash.study._design import StudyDesign
from rapidash.study.designs import shapes


def make_design(full: bool) -> StudyDesign:
    """As for shapes. Quick: 128 points of each scan and parts of the splits. Full: 1024 points, all scans."""
    quick_sizes = {"num_points": 128, "num_train": 1500, "num_val": 200, "num_test": 300}
    return replace(shapes.make_design(full), task="scanobjectnn", task_options={} if full else quick_sizes)
