"""The study of ModelNet10: the variants and settings of the study of shapes, on its 10 classes of CAD models."""

from dataclasses import replace

from rapidash.study._design import StudyDesign
from rapidash.study.designs import shapes


def make_design(full: bool) -> StudyDesign:
    """As for shapes. Quick: 128 points of each shape and parts of the splits. Full: 1024 points, all shapes."""
    options = {"num_points": 1024} if full else {"num_points": 128, "num_train": 1500, "num_val": 200, "num_test": 300}
    return replace(shapes.make_design(full), task="modelnet10", task_options=options)
