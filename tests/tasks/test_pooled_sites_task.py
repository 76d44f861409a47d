"""Rows of several sites: the structural model, which sites are held out, and columns as they are prepared."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rapidash.data import RowDataset
from rapidash.datasets import SITES_COLUMNS, structural_sites_dataset
from rapidash.methods import Variant, build_model
from rapidash.models import MLPConfig
from rapidash.represent.pooling import ComBat, CombatColumns, LargestSite, SiteColumnsConfig, pooled_model
from rapidash.tasks import get_task

HOSPITALS = ("a", "b", "c", "d")
COLUMNS = (
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "slope",
    "ca",
    "thal",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four hospitals of ten patients, two of them in each fold; site 2 lacks a measure."""
    site = np.repeat(np.arange(4, dtype=np.int8), 10)
    rng = np.random.default_rng(0)
    x = np.ones((40, 13), dtype=np.float32)
    x[:, 0] = 40 + site * 5 + np.tile(np.arange(10), 4)
    x[:, 3] = 120 + 10 * rng.standard_normal(40)
    x[:, 7] = 150 + 20 * rng.standard_normal(40)
    x[:, 12] = 3
    observed = np.ones((40, 13), dtype=bool)
    observed[site == 2, 4] = False
    arrays = {
        "x": x,
        "observed": observed,
        "feature": np.array(COLUMNS),
        "y": np.tile([0, 1], 20).astype(np.int8),
        "site": site,
        "site_name": np.array(HOSPITALS),
        "fold": np.tile(np.repeat(np.arange(5), 2), 4).astype(np.int8),
    }
    np.savez(tmp_path / "heart_disease_sites.npz", **arrays)
    return tmp_path


def test_the_structural_model_has_the_laws_that_it_says() -> None:
    """Beta(2, 4) has mean 1/3 and variance 2/63, Beta(4, 2) mean 2/3; the median guess of the site is 13/16."""
    data = structural_sites_dataset("train", size=40_000, seed=3).tensors
    site, c = data["site"], data["covariate"][:, 0]
    for number, mean in ((0, 1 / 3), (1, 2 / 3)):
        of_site = c[site == number]
        assert float(of_site.mean()) == pytest.approx(mean, abs=0.005)
        assert float(of_site.var()) == pytest.approx(2 / 63, abs=0.001)
    assert float((site == (c > 0.5)).double().mean()) == pytest.approx(13 / 16, abs=0.008)
    assert data["x"].shape == (40_000, SITES_COLUMNS)
    rates = [float(data["label"][site == number].double().mean()) for number in (0, 1)]
    assert rates[0] < 0.45 < 0.55 < rates[1]  # the label goes with the covariate


def test_rows_of_a_split_have_the_structure_of_the_others() -> None:
    """Within a site and at one covariate nothing but the causes differs: each site has its own range of each column."""
    train, test = (structural_sites_dataset(s, size=4000, seed=1).tensors for s in ("train", "test"))  # type: ignore[arg-type]
    assert not torch.equal(train["x"], test["x"])
    for number in (0, 1):
        ends = [part["x"][part["site"] == number].max(dim=0).values for part in (train, test)]
        torch.testing.assert_close(ends[0], ends[1], rtol=0.1, atol=0.15)
    other = structural_sites_dataset("train", size=4000, seed=2).tensors
    assert float((other["x"].max(dim=0).values - train["x"].max(dim=0).values).abs().max()) > 0.3
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        structural_sites_dataset("train", size=0)


def test_synthetic_columns_are_scaled_by_the_training_rows() -> None:
    task = get_task("pooled-sites", num_train=50, num_val=20, num_test=30, data_seed=4)
    train = task.dataset("train").tensors
    torch.testing.assert_close(train["x"].mean(dim=0), torch.zeros(24, dtype=torch.float64))
    torch.testing.assert_close(train["covariate"].std(dim=0, correction=0), torch.ones(1, dtype=torch.float64))
    raw = [structural_sites_dataset(s, size=n, seed=4).tensors["covariate"] for s, n in (("train", 50), ("test", 30))]  # type: ignore[arg-type]
    expected = (raw[1] - raw[0].mean()) / raw[0].std(correction=0)
    torch.testing.assert_close(task.dataset("test").tensors["covariate"], expected)


def test_sites_are_held_out(folder: Path) -> None:
    task = get_task("pooled-sites", table="heart-disease", held_out=2, data_dir=str(folder), verify=False)
    parts = {split: task.dataset(split) for split in ("train", "val", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 24, "val": 6, "test": 10}
    assert set(parts["test"].tensors["site"].tolist()) == {2}
    assert set(parts["train"].tensors["site"].tolist()) == set(parts["val"].tensors["site"].tolist()) == {0, 1, 3}
    assert task.site_names == HOSPITALS
    train = parts["train"]
    assert isinstance(train, RowDataset)
    age = torch.tensor([40 + 5 * site + patient for site in (0, 1, 3) for patient in range(2, 10)]).double()
    expected = (age - age.mean()) / age.std(correction=0)
    torch.testing.assert_close(train.tensors["covariate"][:, 0], expected)
    torch.testing.assert_close(train.tensors["x"][:, 0], expected)  # the age is a column too
    is_there = train.tensors["x"][:, -11:]  # no column of flags is 1 throughout but that of what site 2 lacks
    assert is_there.shape == (24, 11)
    assert len(task.dataset("test").tensors["x"][0]) == len(train.tensors["x"][0])


def test_methods_prepare_the_model(folder: Path) -> None:
    task = get_task("pooled-sites", table="heart-disease", held_out=0, data_dir=str(folder), verify=False)
    columns = SiteColumnsConfig()
    batch = task.dataset("train").batch(torch.arange(24))
    model = pooled_model(build_model(task, Variant("it", columns, methods=(CombatColumns(), LargestSite())))).double()
    combat = ComBat(batch["x"].shape[1], 4, 1).double().fit(batch["x"], batch["site"], batch["covariate"])
    expected = combat(batch["x"], batch["site"], batch["covariate"])
    torch.testing.assert_close(model.columns(batch), expected, rtol=0, atol=1e-5)  # kept in float32
    assert float((expected - batch["x"]).abs().max()) > 0.1
    assert model.learns_from(batch).tolist() == (batch["site"] == 1).tolist()  # of equal sites the first
    plain = pooled_model(build_model(task, Variant("it", columns)))
    assert torch.equal(plain.columns(batch), batch["x"])
    assert bool(plain.learns_from(batch).all())
    test = task.dataset("test").batch(torch.arange(10))
    assert torch.equal(model.columns(test), test["x"])  # of a hospital that nobody knows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "hart"}, "unknown table: 'hart', expected one of .*; did you mean 'heart-disease'"),
        ({"table": "abide", "held_out": 5}, "held_out must be 0 to 4 for the table 'abide', got 5"),
        ({"held_out": 1}, "held_out must be 0 to 0 for the table 'synthetic', got 1"),
        ({"num_train": 0}, "num_test must be at least 1, got .'num_train': 0"),
    ],
)
def test_options_that_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_task("pooled-sites", **options)


def test_a_network_without_a_representation_is_refused() -> None:
    task = get_task("pooled-sites", num_train=20, num_val=20, num_test=20)
    with pytest.raises(ValueError, match=r"need a network with a representation, .* got Sequential"):
        task.build(Variant("it", MLPConfig()))


def test_a_file_without_the_held_out_site_is_named(folder: Path) -> None:
    with np.load(folder / "heart_disease_sites.npz") as file:
        arrays = dict(file)
    kept = arrays["site"] != 3
    rows = {name: a[kept] if len(a) == 40 else a for name, a in arrays.items()}
    np.savez(folder / "heart_disease_sites.npz", **rows)
    task = get_task("pooled-sites", table="heart-disease", held_out=3, data_dir=str(folder), verify=False)
    with pytest.raises(ValueError, match=r"has no rows for \['test'\] with held_out=3: it lacks sites or folds"):
        task.dataset("train")
