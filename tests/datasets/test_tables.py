from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapidash.datasets import DataError, Table, abide_dataset, heart_disease_dataset, tabular_dataset
from rapidash.groups import Scalar

SIZE = 20
HEART = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"]


def folds() -> np.ndarray:
    return (np.arange(SIZE) % 5).astype(np.int8)


def write_tabular(folder: Path, **changes: np.ndarray) -> None:
    """Two tables: "toy", a number and a category of three, which the changes change, and "vowel" with speakers."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=SIZE), rng.integers(0, 3, SIZE)], axis=1).astype(np.float32)
    observed = np.ones((SIZE, 2), dtype=bool)
    observed[3], x[3] = False, 0
    toy = {"x": x, "observed": observed, "n_categories": np.array([0, 3], np.int16), "feature": np.array(["w", "hue"])}
    toy |= {"y": (np.arange(SIZE) % 4).astype(np.int16), "class_name": np.array(list("abcd")), "fold": folds()}
    vowel = toy | {"is_test": np.arange(SIZE) >= 12, "speaker": np.array(["Bill", "Andrew"] * (SIZE // 2))}
    tables = {"toy": toy | changes, "vowel": vowel}
    arrays = {f"{table}/{name}": array for table, own in tables.items() for name, array in own.items()}
    np.savez(folder / "tabular_multiclass.npz", **arrays)


def write_heart(folder: Path, **changes: np.ndarray) -> None:
    x = np.tile(np.array([50, 1, 4, 120, 200, 0, 2, 150, 1, 1.5, 2, 0, 7], np.float32), (SIZE, 1))
    arrays = {"x": x, "observed": np.ones_like(x, dtype=bool), "feature": np.array(HEART), "fold": folds()}
    arrays |= {"y": np.arange(SIZE) % 2, "site": np.arange(SIZE) % 3, "site_name": np.array(["north", "south", "west"])}
    np.savez(folder / "heart_disease_sites.npz", **(arrays | changes))


def write_abide(folder: Path, **changes: np.ndarray) -> None:
    names = np.array(["lh_cuneus_thickness", "rh_cuneus_area", "lh_cuneus_volume", "aseg_Left-Accumbens-area"])
    arrays = {"x": np.random.default_rng(0).random((SIZE, 4), np.float32), "feature": names, "fold": folds()}
    arrays |= {"asd": np.arange(SIZE) % 2, "site": np.arange(SIZE) % 2, "site_name": np.array(["NYU", "UM"])}
    arrays |= {"age_years": np.linspace(6, 60, SIZE, dtype=np.float32), "female": np.arange(SIZE) % 3 == 0}
    arrays |= {"fiq": np.full(SIZE, 100, np.float32), "fiq_observed": np.ones(SIZE, bool)}
    arrays |= {"abide_sub_id": np.arange(50000, 50000 + SIZE, dtype=np.int32)}
    np.savez(folder / "abide1_freesurfer.npz", **(arrays | changes))


def read_toy(split: str = "all", **options: Any) -> Table:
    return tabular_dataset("toy", split, **options)


READERS: dict[str, tuple[Callable[..., None], Callable[..., Table], str]] = {
    "tabular": (write_tabular, read_toy, "y"),
    "heart": (write_heart, heart_disease_dataset, "y"),
    "abide": (write_abide, abide_dataset, "asd"),
}


def test_fields_columns_and_names(tmp_path: Path) -> None:
    write_tabular(tmp_path)
    write_heart(tmp_path)
    write_abide(tmp_path)
    toy, vowel = (tabular_dataset(name, data_dir=tmp_path, verify=False) for name in ("toy", "vowel"))
    heart, abide = (read(data_dir=tmp_path, verify=False) for read in (heart_disease_dataset, abide_dataset))
    for data in (toy, vowel, heart, abide):
        assert set(data.fields) == set(data.tensors)
        assert {(field.representation, field.level) for field in data.fields.values()} == {(Scalar(), "cloud")}
        assert data.tensors["x"].shape == (SIZE, len(data.columns))
        assert data.tensors["label"].dtype == data.tensors["fold"].dtype == torch.int64
    assert [(column.name, column.unit, column.categories) for column in toy.columns] == [
        ("w", "unit of the file", ()),
        ("hue", "1", (0, 1, 2)),
    ]
    assert toy.names == {"label": ("a", "b", "c", "d")}
    assert not toy.tensors["observed"][3].any()
    assert vowel.names["speaker"] == ("Andrew", "Bill")
    assert vowel.tensors["speaker"][:3].tolist() == [1, 0, 1]
    assert vowel.tensors["is_test"].sum() == SIZE - 12
    units = {column.name: column.unit for column in heart.columns}
    assert (units["age"], units["trestbps"], units["thalach"], units["sex"]) == ("year", "mmHg", "1/min", "1")
    assert heart.names == {"label": ("healthy", "disease"), "site": ("north", "south", "west")}
    assert [column.unit for column in abide.columns] == ["mm", "mm^2", "mm^3", "mm^3"]
    assert abide.fields["age"].unit == "year"
    assert abide.tensors["age"][[0, -1]].tolist() == [6, 60]
    assert abide.tensors["subject"][1] == 50001
    rows = abide.rows(torch.tensor([4, 1]))
    assert rows["subject"].tolist() == [50004, 50001]
    assert set(rows) == set(abide.tensors)
    assert abide_dataset(data_dir=tmp_path, verify=False, dtype=torch.float64).tensors["x"].dtype == torch.float64


@pytest.mark.parametrize("name", READERS)
def test_splits_are_folds_and_cover_every_row_once(tmp_path: Path, name: str) -> None:
    write, read, _ = READERS[name]
    write(tmp_path)
    for test_fold in (0, 4):
        parts = {
            split: read(split, test_fold=test_fold, data_dir=tmp_path, verify=False)
            for split in ("train", "val", "test")
        }
        assert parts["test"].tensors["fold"].unique().tolist() == [test_fold]
        assert parts["val"].tensors["fold"].unique().tolist() == [(test_fold + 1) % 5]
        every = torch.cat([part.tensors["x"] for part in parts.values()])
        assert sorted(every.tolist()) == sorted(read(data_dir=tmp_path, verify=False).tensors["x"].tolist())


@pytest.mark.parametrize("name", READERS)
def test_bad_rows_are_named_or_skipped(tmp_path: Path, name: str) -> None:
    write, read, label = READERS[name]
    write(tmp_path)
    whole = read(data_dir=tmp_path, verify=False).tensors

    def changed(key: str, row: int, value: float) -> np.ndarray:
        array = whole[key].double().numpy() if isinstance(value, float) else whole[key].numpy().copy()
        array[row] = value
        return array

    for changes, message in (
        ({label: changed("label", 5, 9)}, r"row 5: its label is 9, expected 0 to \d"),
        ({label: changed("label", 5, 0.5)}, r"row 5: its label is 0.5, expected 0 to \d"),
        ({"fold": changed("fold", 7, -1)}, "row 7: its fold is -1, expected 0 to 4"),
        ({"x": changed("x", 2, np.nan)}, "row 2: its .* is nan, expected a finite number"),
    ):
        write(tmp_path, **changes)
        with pytest.raises(DataError, match=rf"\.npz, {message}"):
            read(data_dir=tmp_path, verify=False)
        with pytest.warns(RuntimeWarning, match="skipped 1 of 20"):
            data = read(data_dir=tmp_path, verify=False, on_error="skip")
        assert len(data) == SIZE - 1
        assert len(data.skipped) == 1
    write(tmp_path, **{label: changed("label", 5, 9)})  # row 5 is of fold 0
    assert len(read("val", data_dir=tmp_path, verify=False)) == SIZE // 5
    with pytest.raises(DataError, match="row 5"):
        read("test", data_dir=tmp_path, verify=False)


def test_categories_are_checked_where_they_are_observed(tmp_path: Path) -> None:
    write_tabular(tmp_path)
    whole = read_toy(data_dir=tmp_path, verify=False).tensors
    x = whole["x"].numpy().copy()
    x[3, 1] = 7  # missing
    write_tabular(tmp_path, x=x)
    assert len(read_toy(data_dir=tmp_path, verify=False)) == SIZE
    x[4, 1] = 3
    write_tabular(tmp_path, x=x)
    with pytest.raises(DataError, match=r"row 4: its hue is 3.0, expected one of its 3 categories, 0 to 2"):
        read_toy(data_dir=tmp_path, verify=False)


def test_bad_files_and_arguments_teach(tmp_path: Path) -> None:
    for name, (write, read, label) in READERS.items():
        with pytest.raises(FileNotFoundError, match="It is an npz file"):
            read(data_dir=tmp_path)
        write(tmp_path)
        with pytest.raises(DataError, match="has the sha256 checksum"):
            read(data_dir=tmp_path)
        with pytest.raises(ValueError, match=r"unknown split 'dev', expected one of .*'all'"):
            read("dev", data_dir=tmp_path)
        with pytest.raises(ValueError, match="test_fold must be 0 to 4, got 5"):
            read(test_fold=5, data_dir=tmp_path)
        write(tmp_path, **{label: np.zeros(3, int)})
        with pytest.raises(DataError, match=r"expected numbers \(3,"):
            read(data_dir=tmp_path, verify=False)
        write(tmp_path, x=np.array(["red"] * SIZE))
        with pytest.raises(DataError, match="'x' is <U3"):
            read(data_dir=tmp_path, verify=False)
        if name != "tabular":
            write(tmp_path, feature=np.array(["age"]))
            with pytest.raises(
                DataError, match=r"features \('age',\), expected|'x' is float32 .*expected numbers \(20, 1\)"
            ):
                read(data_dir=tmp_path, verify=False)
    write_tabular(tmp_path, n_categories=np.array([0]))
    with pytest.raises(DataError, match=r"'toy': n_categories is int64 \(1,\), expected 2 counts"):
        read_toy(data_dir=tmp_path, verify=False)
    with pytest.raises(ValueError, match=r"unknown table 'iris', .* has \['toy', 'vowel'\]"):
        tabular_dataset("iris", data_dir=tmp_path, verify=False)
    with np.load(tmp_path / "tabular_multiclass.npz") as file:
        arrays = {name: array for name, array in file.items() if name != "toy/y"}
    np.savez(tmp_path / "tabular_multiclass.npz", **arrays)
    with pytest.raises(DataError, match="has no array 'toy/y'"):
        read_toy(data_dir=tmp_path, verify=False)


def test_shared_tables(shared_data: Path) -> None:
    sizes = {
        "letter": (20000, 16, 26),
        "spectrometer": (531, 101, 48),
        "wine": (178, 13, 3),
        "arrhythmia": (452, 279, 13),
    }
    for name, (rows, width, classes) in sizes.items():
        data = tabular_dataset(name, data_dir=shared_data)
        assert (*data.tensors["x"].shape, len(data.names["label"])) == (rows, width, classes)
    vowel = tabular_dataset("vowel", data_dir=shared_data).tensors
    assert not set(vowel["speaker"][vowel["is_test"]].tolist()) & set(vowel["speaker"][~vowel["is_test"]].tolist())


def test_shared_sites(shared_data: Path) -> None:
    heart = heart_disease_dataset(data_dir=shared_data)
    site, label = heart.tensors["site"], heart.tensors["label"].double()
    assert site.bincount().tolist() == [303, 294, 123, 200]
    shares = [float(label[site == k].mean()) for k in range(4)]
    assert shares == pytest.approx([0.46, 0.36, 0.94, 0.75], abs=0.006)
    abide = abide_dataset(data_dir=shared_data)
    assert (len(abide), len(abide.columns), len(abide.names["site"])) == (1035, 259, 20)
    assert abide.tensors["label"].double().mean() == pytest.approx(0.49, abs=0.005)
    thickness = [k for k, column in enumerate(abide.columns) if column.unit == "mm"]
    assert 2 < abide.tensors["x"][:, thickness].median() < 3


def test_other_types_of_numbers_are_read_alike(tmp_path: Path) -> None:
    write_abide(tmp_path)
    before = abide_dataset(data_dir=tmp_path, verify=False)
    arrays = {
        "fold": folds().astype(np.float64),
        "age_years": np.arange(SIZE),
        "female": (np.arange(SIZE) % 3 == 0) * 1,
    }
    arrays |= {"asd": (np.arange(SIZE) % 2).astype(">i4"), "site_name": np.array([b"NYU", b"UM"])}
    write_abide(tmp_path, **arrays)
    after = abide_dataset(data_dir=tmp_path, verify=False)
    assert {name: tensor.dtype for name, tensor in after.tensors.items()} == {
        name: tensor.dtype for name, tensor in before.tensors.items()
    }
    assert torch.equal(after.tensors["label"], before.tensors["label"])
    assert after.names == before.names
    write_heart(tmp_path, x=np.ones((SIZE, 13), dtype=np.int64) * [50, 1, 4, 120, 200, 0, 2, 150, 1, 1, 2, 0, 7])
    assert heart_disease_dataset(data_dir=tmp_path, verify=False).tensors["x"].dtype == torch.float32
    write_heart(tmp_path, y=np.int64(1))
    with pytest.raises(DataError, match="expected numbers"):
        heart_disease_dataset(data_dir=tmp_path, verify=False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("female", 2.0, "its female is 2.0, expected 0 or 1"),
        ("fiq_observed", np.nan, "its fiq_observed is nan, expected 0 or 1"),
        ("abide_sub_id", 50000.5, "its subject is 50000.5, expected a whole number"),
        ("abide_sub_id", 1e300, "its subject is 1e.300, expected a whole number"),
        ("abide_sub_id", np.inf, "its subject is inf, expected a whole number"),
    ],
)
def test_numbers_that_are_no_answer_and_no_count(tmp_path: Path, name: str, value: float, message: str) -> None:
    given = np.arange(SIZE, dtype=float) if name == "abide_sub_id" else np.ones(SIZE)
    given[7] = value
    write_abide(tmp_path, **{name: given})
    with pytest.raises(DataError, match=f"row 7: {message}"):
        abide_dataset(data_dir=tmp_path, verify=False)


def test_a_category_for_every_number_there_is(tmp_path: Path) -> None:
    write_tabular(tmp_path, n_categories=np.array([0, 2**62]))
    with pytest.raises(DataError, match=r"'toy': n_categories is int64 .* expected 2 counts of at most 1000000"):
        tabular_dataset("toy", data_dir=tmp_path, verify=False)
