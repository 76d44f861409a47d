"""The estimator of scikit-learn around the packaged network."""

import numpy as np
import pytest
import torch

from rapidash.models import Interface
from rapidash.symmetrize.tabular import (
    EquiTabPFNConfig,
    fitted_to_width,
    load_in_context,
    save_in_context,
    standardized,
)
from rapidash.symmetrize.tabular._saved import PACKAGED

pytest.importorskip("sklearn", reason="the classifier needs scikit-learn: pip install 'rapidash[tabular]'")
from sklearn.datasets import load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_estimator

from rapidash.symmetrize.tabular import EquiTabPFNClassifier
from rapidash.symmetrize.tabular._classifier import _principal, _thinned


def blobs(num_classes: int, num_features: int = 6, size: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return make_classification(
        size,
        num_features,
        n_informative=num_features,
        n_redundant=0,
        n_classes=num_classes,
        n_clusters_per_class=1,
        class_sep=2.0,
        random_state=seed,
    )


def test_scikit_learn_accepts_the_estimator() -> None:
    check_estimator(EquiTabPFNClassifier(num_members=2), on_skip=None)


def test_renamed_classes_permute_the_probabilities() -> None:
    """Names as text in another order, more of them than the network was fitted to."""
    x, y = blobs(12)
    names = np.array([f"class {place:02d}" for place in np.random.RandomState(0).permutation(12)])
    plain = EquiTabPFNClassifier().fit(x[:200], y[:200])
    named = EquiTabPFNClassifier().fit(x[:200], names[y[:200]])
    assert list(named.classes_) == sorted(names)
    here, there = plain.predict_proba(x[200:]), named.predict_proba(x[200:])
    assert np.abs(there[:, np.argsort(np.argsort(names))] - here).max() < 1e-12
    assert (named.predict(x[200:]) == named.classes_[there.argmax(axis=1)]).all()


def test_the_packaged_network_has_learned_something() -> None:
    for x, y in (load_iris(return_X_y=True), blobs(12)):
        x_train, x_test, y_train, y_test = train_test_split(x, y, train_size=0.5, random_state=0, stratify=y)
        ours, chance = EquiTabPFNClassifier(), DummyClassifier()
        found, majority = (model.fit(x_train, y_train).score(x_test, y_test) for model in (ours, chance))
        assert found > majority + 0.5 * (1 - majority)


def test_probabilities_are_those_of_the_network_for_one_member() -> None:
    x, y = blobs(3)
    model = EquiTabPFNClassifier(num_members=1).fit(x[:100], y[:100])
    rows = fitted_to_width(standardized(torch.from_numpy(x[:110]), 100), 32)
    logits = load_in_context(dtype="float64")(rows[None], torch.from_numpy(y[None, :100]), 3)
    assert np.abs(model.predict_proba(x[100:110]) - logits[0].softmax(-1).numpy()).max() < 1e-12
    single = EquiTabPFNClassifier(num_members=1, dtype="float32").fit(x[:100], y[:100])
    assert 0 < np.abs(single.predict_proba(x[100:110]) - model.predict_proba(x[100:110])).max() < 1e-4


def test_rows_that_are_asked_for_do_not_see_each_other() -> None:
    x, y = blobs(3)
    model = EquiTabPFNClassifier().fit(x[:100], y[:100])
    assert np.abs(model.predict_proba(x[100:160])[:3] - model.predict_proba(x[100:103])).max() < 1e-12


def test_wide_tables_are_projected_and_long_ones_thinned_out() -> None:
    x, y = blobs(4, num_features=50, size=400)
    model = EquiTabPFNClassifier(max_context=120).fit(x, y)
    assert model.is_projected_
    assert model.num_context_ == 120
    assert model.predict_proba(x[:5]).shape == (5, 4)
    assert not EquiTabPFNClassifier().fit(x[:, :32], y).is_projected_
    again = EquiTabPFNClassifier(max_context=120, random_state=0).fit(x, y)
    assert np.array_equal(again.predict_proba(x[:5]), model.predict_proba(x[:5]))


def test_principal_components_of_a_plane() -> None:
    """Two columns that say the same are one direction; the mean variance of what comes out is 1."""
    rows = torch.tensor([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]).double()
    out = standardized(rows, 4) @ _principal(rows, 2)
    assert out.square().mean(dim=0).sum().item() == pytest.approx(2.0)
    assert out.abs().amin(dim=1).max().item() < 1e-9


def test_thinning_keeps_the_shares_and_every_class() -> None:
    codes = np.repeat([0, 1, 2], [900, 90, 10])
    kept = _thinned(codes, 100, np.random.RandomState(0))
    assert np.bincount(codes[kept]).tolist() == [90, 9, 1]
    assert (np.diff(kept) > 0).all()
    assert _thinned(codes[:50], 100, np.random.RandomState(0)).tolist() == list(range(50))
    rare = np.repeat(np.arange(6), [95, 1, 1, 1, 1, 1])
    assert np.bincount(rare[_thinned(rare, 10, np.random.RandomState(0))], minlength=6).tolist() == [5, 1, 1, 1, 1, 1]


def test_missing_values_are_taken_as_they_are() -> None:
    x, y = blobs(3)
    x[::4, 2] = np.nan
    kept = x.copy()
    model = EquiTabPFNClassifier().fit(x[:200], y[:200])
    assert np.isfinite(model.predict_proba(x[200:])).all()
    assert np.array_equal(np.isnan(x), np.isnan(kept))
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.full((1, 6), np.inf))


def test_a_class_that_is_alone_is_certain() -> None:
    model = EquiTabPFNClassifier().fit(np.zeros((3, 2)), ["a", "a", "a"])
    assert model.predict_proba(np.ones((2, 2))).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("name", ["num_members", "max_context"])
def test_bad_settings_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1, got 0"):
        EquiTabPFNClassifier(**{name: 0}).fit(np.zeros((4, 2)), [0, 1, 0, 1])


def test_a_network_of_ones_own(tmp_path) -> None:
    """Saved and read back with its checksum; the packaged one is small."""
    config = EquiTabPFNConfig(dim=8, num_blocks=1, num_heads=1, decoder_hidden=4)
    network = config.build(Interface(dim=0, in_scalars=4))
    folder = save_in_context(tmp_path / "network", network, config, "a card")
    read = load_in_context(folder)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), read.state_dict().values(), strict=True)
    )
    x, y = blobs(2)
    model = EquiTabPFNClassifier(weights=str(folder)).fit(x, y)
    assert model.is_projected_  # six features, and the network has four
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_in_context(tmp_path / "network" / ".." / "network")  # another path: networks are kept by path
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) < 2 * 2**20


def test_it_beats_the_nearest_neighbor_where_columns_are_noise() -> None:
    random = np.random.RandomState(0)
    x = random.standard_normal((400, 12))
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).astype(int) + (x[:, 0] - x[:, 1] > 1)
    ours, neighbor = EquiTabPFNClassifier(), KNeighborsClassifier(1)
    found, nearest = (model.fit(x[:200], y[:200]).score(x[200:], y[200:]) for model in (ours, neighbor))
    assert found > nearest + 0.05


@pytest.mark.parametrize(("unit", "offset"), [(1e-200, 0.0), (1e-15, 0.0), (1e200, 0.0), (1.0, 2.0**31)])
def test_the_unit_and_the_zero_of_a_column_do_not_matter(unit: float, offset: float) -> None:
    """Charges in coulomb and times in seconds since 1970 are no constant columns."""
    random = np.random.default_rng(0)
    x = random.integers(-100, 100, size=(40, 3)).astype(float)
    y = (x[:, 0] > 0).astype(int)
    plain, other = (EquiTabPFNClassifier().fit(rows[:30], y[:30]) for rows in (x, unit * x + offset))
    np.testing.assert_allclose(other.predict_proba(unit * x[30:] + offset), plain.predict_proba(x[30:]), atol=1e-9)
    assert plain.predict_proba(x[30:]).max() > 0.8


def test_a_value_far_outside_the_training_rows_has_finite_probabilities() -> None:
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    model = EquiTabPFNClassifier().fit(x, y)
    assert np.isfinite(model.predict_proba(np.array([[1e308, -1e308], [-1e308, np.nan]]))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_members": 1.5}, "num_members must be a whole number of at least 1, got 1.5"),
        ({"max_context": "all"}, "max_context must be a whole number of at least 1, got 'all'"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
    ],
)
def test_settings_of_another_type_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EquiTabPFNClassifier(**options).fit(np.zeros((4, 2)), [0, 1, 0, 1])  # type: ignore[arg-type]
