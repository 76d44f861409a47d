"""Shapes of any source: put together, normalized and refused; tables and lists of files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.datasets._reading import DataError, SampleErrors
from rapidash.datasets._shapes import ShapeCollector, held_out, read_table, unit_ball
from rapidash.datasets._text import listed_files, read_listing
from rapidash.groups import Position, Scalar, Vector
from tests.datasets.test_shapes import POINTS, clouds


def collector(on_error: str = "raise", **arguments: object) -> ShapeCollector:
    settings = {"num_points": 4, "normalize": True, **arguments}
    return ShapeCollector(Path("f"), SampleErrors("f", on_error), ["a", "b"], **settings)


def test_normalization_and_fields() -> None:
    pos, normals = clouds()
    shapes = collector(num_points=None)
    shapes.add("x", pos[0], 1, normal=normals[0] * 127)
    shapes.add("y", pos[1][:7], 0, normal=normals[1][:7] * 0)
    data = shapes.dataset(torch.float64)
    assert data.num_points.tolist() == [POINTS, 7]
    assert data.tensors["label"].tolist() == [1, 0]
    assert data.tensors["pos"][:POINTS].mean(0).abs().max() < 1e-6
    assert data.tensors["pos"][:POINTS].norm(dim=1).max() == pytest.approx(1)
    np.testing.assert_allclose(data.tensors["normal"][:POINTS], normals[0], atol=1e-6)
    assert (data.tensors["normal"][POINTS:] == 0).all()
    kinds = {name: (field.representation, field.unit, field.level) for name, field in data.fields.items()}
    assert kinds == {
        "pos": (Position(), "largest radius", "point"),
        "normal": (Vector(), "1", "point"),
        "label": (Scalar(), "1", "cloud"),
    }
    assert data.info["class_names"] == ("a", "b")
    raw = collector(normalize=False)
    raw.add("x", pos[0], 1)
    np.testing.assert_allclose(raw.dataset(torch.float64).tensors["pos"], pos[0][:4], rtol=1e-6)
    np.testing.assert_allclose(unit_ball(np.array([[1.0, 0, 0], [5, 0, 0]])), [[-1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("pos", "label", "message"),
    [
        (np.ones((3, 3)).cumsum(0), 0, "it has 3 points, 4 are asked for"),
        (np.ones((5, 2)), 0, r"shape \(5, 2\)"),
        (np.full((5, 3), np.nan), 0, "not finite"),
        (np.ones((5, 3)), 0, "coincide"),
        (np.ones((5, 3)).cumsum(0), 2, "its label 2 is out of range, expected 0 to 1"),
        (np.ones((5, 3)).cumsum(0), -1, "its label -1 is out of range"),
    ],
)
def test_bad_shapes_raise_or_are_skipped(pos: np.ndarray, label: int, message: str) -> None:
    with pytest.raises(DataError, match=f"f, x: .*{message}"):
        collector().add("x", pos, label)
    shapes = collector("skip")
    shapes.add("x", pos, label)
    shapes.add("y", clouds()[0][0], 1)
    with pytest.warns(RuntimeWarning, match="skipped 1 of 2"):
        data = shapes.dataset(torch.float32)
    assert len(data) == len(data.skipped) == 1


def test_arrays_must_fit() -> None:
    with pytest.raises(DataError, match="it has 3 rows of 'normal' for 16 points"):
        collector().add("x", clouds()[0][0], 1, normal=np.ones((3, 3)))
    with pytest.raises(DataError, match="its 'normal' is not finite"):
        collector().add("x", clouds()[0][0], 1, normal=np.full((POINTS, 3), np.inf))
    shapes = collector()
    shapes.add("x", clouds()[0][0], 1, normal=clouds()[1][0])
    shapes.add("y", clouds()[0][0], 1)
    with pytest.raises(DataError, match=r"its 'normal' has the shape \(16, 2\), its points have \(16, 3\)"):
        collector().add("x", clouds()[0][0], 1, normal=np.ones((POINTS, 2)))
    with pytest.raises(DataError, match=r"its 'normal' has the shape \(\), its points have \(16, 3\)"):
        collector().add("x", clouds()[0][0], 1, normal=np.float64(1))
    with pytest.raises(DataError, match="1 of 2 shapes have 'normal'"):
        shapes.dataset(torch.float32)
    with pytest.raises(ValueError, match="num_points"):
        collector(num_points=0)


def test_validation_is_held_out() -> None:
    train, val = held_out(100, 0.1)
    assert (len(train), len(val)) == (90, 10)
    assert sorted([*train, *val]) == list(range(100))
    with pytest.raises(ValueError, match="val_fraction"):
        held_out(10, 1.0)


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("1,2,3\n4, 5 6\n7 8 9\n")
    assert read_table(path, columns=3, max_rows=2).tolist() == [[1, 2, 3], [4, 5, 6]]
    for text, message in {
        "1 2\n": "2 columns",
        "": "0 columns",
        "1 2 3\n4 5": "cannot be read",
        "a b c": "cannot",
        "0,5 0,25 -0,5\n": r"in '0,5 0,25 -0,5' commas may be decimal marks: write 0.5, not 0,5",
        "0,5\t0,25\t-0,5\n": "commas may be decimal marks",
        "1,5 2 3\n": "commas may be decimal marks",
        "1 2 3 4\n": "has 4 columns, expected 3",
        "1;2;3\n": "cannot be read",
        "1 2 \u0663\n": "cannot be read",
        "1 2 1_0\n": "cannot be read",
    }.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            read_table(path, columns=3)


@pytest.mark.parametrize(
    "text", ["1, 2, 3\n4,5,6\n", "1,2, 3,\n4\t5 6", "# \u0445 \u2028 1 2\r\n\r\n1 2 3 # a\r\n4 ,5 ,6\r\n"]
)
def test_separators_comments_and_blank_lines_of_tables(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.txt").write_bytes(text.encode())
    assert read_table(tmp_path / "t.txt", columns=(2, 3)).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert read_table(tmp_path / "t.txt", columns=3, max_rows=1).tolist() == [[1, 2, 3]]


def test_lists_of_files_begin_with_any_mark_and_end_lines_as_they_like(tmp_path: Path) -> None:
    path = tmp_path / "files.txt"
    path.write_bytes("\ufeffdata/\u0445.h5\r\ndata/b.h5\r".encode())
    assert read_listing(path) == ["data/\u0445.h5", "data/b.h5"]
    path.write_text("a" * 5000)
    with pytest.raises(DataError, match="which is not beside it"):
        listed_files(path)


@pytest.mark.parametrize("scale", [1e300, 1e200, 1e-200, 1e-305])
def test_shapes_of_any_size_fit_the_unit_ball(scale: float) -> None:
    pos = clouds()[0][0].astype(np.float64)
    np.testing.assert_allclose(unit_ball(pos * scale), unit_ball(pos), atol=1e-9)
