"""Necklaces and turned digits: what a sample is, and what the studies of them compare."""

import sys
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from rapidash._plain import from_plain, to_plain
from rapidash.datasets import digits_images
from rapidash.groups import cyclic, scaling
from rapidash.methods import Augment, Variant, build_model
from rapidash.models import ImageGCNNConfig, Interface, MLPConfig, NetworkConfig, SignalGCNNConfig
from rapidash.study import get_design, run_one
from rapidash.symmetrize import IntegrateInvariants, InvariantIntegration, MultiStreamConfig, ScaleStreamConfig
from rapidash.tasks import get_task
from rapidash.tasks.necklaces import necklace_classes
from rapidash.testing import check_method, check_network, check_task

RING = SignalGCNNConfig(pooling="mean+max")
IMAGE = ImageGCNNConfig(channels=3, num_layers=2)
SMALL = {"num_train": 20, "num_val": 20, "num_test": 20}


@pytest.fixture
def digits() -> None:
    pytest.importorskip("sklearn")


def test_necklaces_do_what_studies_rely_on() -> None:
    variants = [
        Variant("pooled", RING),
        Variant("deep", replace(RING, num_layers=2, channels=4, readout_dim=5)),
        Variant("rows", MLPConfig(hidden_dim=8)),
    ]
    check_task(get_task("necklaces", **SMALL), variants)


@pytest.mark.parametrize("cues", ["turns", "turns and sizes"])
def test_digits_do_what_studies_rely_on(cues: str, digits: None) -> None:
    variants = [
        Variant("C4", IMAGE),
        Variant("D4", replace(IMAGE, symmetry="D4")),
        Variant("plain", replace(IMAGE, symmetry="C1", readout_dim=4)),
        Variant("rows", MLPConfig(hidden_dim=8)),
    ]
    check_task(get_task("rotated-digits", cues=cues, **SMALL), variants)


def test_there_are_ten_necklaces() -> None:
    classes = necklace_classes()
    assert classes.shape == (10, 8)
    assert classes.sum(dim=1).tolist() == [4.0] * 10
    assert classes[0].tolist() == [1.0] * 4 + [0.0] * 4
    assert classes[-1].tolist() == [1.0, 0.0] * 4
    for a, b in permutations(range(10), 2):
        assert all(not torch.equal(classes[a].roll(k), classes[b]) for k in range(8))


def test_without_noise_a_signal_is_a_turned_necklace() -> None:
    data = get_task("necklaces", noise=0.0, num_train=300).dataset("train")
    signals, labels = data.tensors["signal"][:, 0], data.tensors["label"]
    seen = set()
    for signal, own in zip(signals, necklace_classes()[labels]):
        shifts = [k for k in range(8) if torch.equal(own.roll(k), signal)]
        assert shifts
        seen.update(shifts)
    assert seen == set(range(8))
    assert len(set(labels.tolist())) == 10
    noisy = get_task("necklaces", noise=0.5, num_train=300).dataset("train").tensors["signal"][:, 0]
    assert float((noisy - signals).std()) == pytest.approx(0.5, rel=0.05)


def test_a_digit_is_a_turned_image_and_splits_share_none(digits: None) -> None:
    images, labels = (torch.from_numpy(array) for array in digits_images())
    assert images.shape == (1797, 8, 8)
    assert float(images.max()) == 1.0
    assert labels[:10].tolist() == list(range(10))
    task = get_task("rotated-digits", num_train=200, num_val=300, num_test=600)
    assert task.moves == cyclic(4)
    known = {tuple(image.flatten().tolist()): int(label) for image, label in zip(images, labels)}
    used, turns = [], set()
    for split in ("train", "val", "test"):
        data = task.dataset(split)
        assert data.tensors["image"].shape == ({"train": 200, "val": 300, "test": 600}[split], 1, 15, 15)
        for image, label in zip(data.tensors["image"][:, 0], data.tensors["label"]):
            small = image[::2, ::2]  # every second pixel is one of the 8 x 8
            rows = [(k, tuple(torch.rot90(small, k).flatten().tolist())) for k in range(4)]
            k, row = next((k, row) for k, row in rows if row in known)
            assert known[row] == label != 9
            used.append(row)
            turns.add(k)
    assert len(set(used)) == len(used) == 1100
    assert turns == {0, 1, 2, 3}


def test_half_the_digits_are_turned_and_half_are_shrunk(digits: None) -> None:
    task = get_task("rotated-digits", cues="turns and sizes", num_train=400)
    plain = get_task("rotated-digits", num_train=400)
    assert task.moves is None
    assert [group.name for group in task.measured_groups] == ["C(4)", "scaling(2)"]
    mixed, turned = (one.dataset("train").tensors for one in (task, plain))
    assert torch.equal(mixed["label"], turned["label"])
    is_even = mixed["label"] % 2 == 0
    assert torch.equal(mixed["image"][is_even], turned["image"][is_even])
    ink = (mixed["image"][~is_even].sum(dim=(1, 2, 3)) / turned["image"][~is_even].sum(dim=(1, 2, 3))).sqrt()
    assert 0.45 < float(ink.min()) < 0.6
    assert 0.9 < float(ink.max()) < 1.1  # sizes between 1/2 and 1
    assert float(ink.median()) == pytest.approx(0.5**0.5, abs=0.06)


def test_loss_and_errors_by_hand() -> None:
    task = get_task("necklaces", num_train=3)
    batch = task.dataset("train").batch(torch.arange(3))
    logits = torch.zeros(3, 10)
    logits[torch.arange(3), batch["label"]] = torch.tensor([1.0, -1.0, 2.0])
    assert task.errors(logits, batch).tolist() == [0, 100, 0]
    torch.testing.assert_close(task.loss(logits, batch), cross_entropy(logits, batch["label"]))


def test_ledgers_name_the_group_of_the_layers(digits: None) -> None:
    task = get_task("rotated-digits")
    for symmetry, effective in (("C4", "C(4)"), ("D4", "D(4)"), ("C1", "trivial")):
        assert task.ledger(Variant("a", replace(IMAGE, symmetry=symmetry))).effective.name == effective
    assert task.ledger(Variant("a", MLPConfig())).effective.name == "trivial"
    streams = MultiStreamConfig((IMAGE, ScaleStreamConfig(replace(IMAGE, symmetry="D4"), (1.0, 2.0))))
    ledger = task.ledger(Variant("a", streams))
    assert ledger.effective.name == "C(4)"
    assert "approximately invariant to scaling" in ledger.reasons[-1]
    assert "intersection" in ledger.reasons[-2]
    assert scaling(2).name == "scaling(2)"


@pytest.mark.parametrize("function", ["monomial", "weighted-sum", "mlp", "linear"])
def test_integration_is_a_method_like_others(function: str, tmp_path: Path) -> None:
    variant = Variant("a", RING, methods=(Augment("C8"),))
    check_method(IntegrateInvariants(function, 4, kernel_size=1, hidden=3), get_task("necklaces"), variant, tmp_path)


def test_integration_replaces_pooling_and_readout(digits: None) -> None:
    task = get_task("rotated-digits")
    method = IntegrateInvariants("mlp", 5, hidden=3)
    model = build_model(task, Variant("a", IMAGE, methods=(method,)))
    head = model.network.head
    assert isinstance(head.invariants, InvariantIntegration)
    assert head.invariants.norm is not None
    assert [tuple(p.shape) for p in head.invariants.conv.parameters()] == [(3, 3, 4, 3, 3), (3,)]
    assert [tuple(p.shape) for p in head.readout.parameters()] == [(9, 5), (9,)]
    assert to_plain(method)["kind"] == "invariant-integration"


def test_networks_are_those_of_the_package() -> None:
    io = Interface(dim=0, in_scalars=2, out_scalars=3)
    for config in (IMAGE, RING, replace(RING, num_layers=1, symmetry="D3"), replace(IMAGE, pool_after=())):
        check_network(config, io)
        assert from_plain(NetworkConfig, to_plain(config), complete=True) == config


def test_options_that_make_no_sense_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    digits_task, rings = get_task("rotated-digits"), get_task("necklaces")
    for make, message in (
        (lambda: get_task("necklaces", noise=-1.0), "noise must be at least 0, got -1.0"),
        (lambda: get_task("rotated-digits", cues="sizes"), "cues must be 'turns' or 'turns and sizes', got 'sizes'"),
        (lambda: get_task("rotated-digits", num_train=0), "must be at least 1"),
        (lambda: build_model(rings, Variant("a", IMAGE)), "'image-gcnn' takes images, not a finite group"),
        (lambda: build_model(digits_task, Variant("a", RING)), "'signal-gcnn' takes a finite group, not images"),
        (lambda: replace(IMAGE, symmetry="C8"), "symmetry='C8' does not fit images: an element takes pixels between"),
        (lambda: replace(IMAGE, symmetry="SO(2)"), "does not fit images: .* is not finite"),
        (lambda: replace(IMAGE, kernel_size=4), "kernel_size must be odd, got 4"),
        (lambda: replace(IMAGE, num_layers=0), "num_layers at least 1"),
        (lambda: replace(IMAGE, pool_after=(3,)), r"layers from 1 to num_layers=2, got \[3\]"),
        (lambda: replace(IMAGE, padding="mirror"), "padding must be one of"),
        (lambda: replace(RING, pooling="sum"), "pooling must be one of"),
        (lambda: replace(RING, symmetry="SO(2)"), "is not finite"),
        (lambda: IMAGE.build(Interface(dim=0, in_vectors=1)), "no vectors"),
        (lambda: IntegrateInvariants("cubic"), "function must be one of .* got 'cubic'"),
        (lambda: IntegrateInvariants(eps=0.0), "eps must be finite and above 0"),
        (lambda: IntegrateInvariants(kernel_size=2), "kernel_size must be odd, got 2"),
        (
            lambda: Variant("a", MLPConfig(), methods=(IntegrateInvariants(),)),
            "'image-gcnn' or 'signal-gcnn', got 'mlp'",
        ),
        (lambda: Variant("a", RING, methods=(IntegrateInvariants(),)), "set kernel_size=1, got 3"),
        (
            lambda: Variant("a", replace(IMAGE, readout_dim=3), methods=(IntegrateInvariants(),)),
            "a readout of its own: set readout_dim=0",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ModuleNotFoundError, match=r"come with scikit-learn: pip install 'rapidash\[tabular\]'"):
        digits_images()


def test_more_images_than_there_are_is_said(digits: None) -> None:
    with pytest.raises(ValueError, match="are 1901 together, there are 1617 images"):
        get_task("rotated-digits", num_train=1001).dataset("train")


@pytest.mark.usefixtures("shape_checks_off")
def test_a_signal_of_another_length_is_named() -> None:
    network = RING.build(Interface(dim=0, in_scalars=1, out_scalars=2))
    with pytest.raises(ValueError, match=r"functions on C\(8\) \(B, C, 8\), got shape \(1, 1, 7\)"):
        network(torch.zeros(1, 1, 7))


def num_weights(name: str, full: bool = False) -> dict[str, int]:
    design = get_design(name, full=full)
    task = get_task(design.task, **design.task_options)
    models = {variant.name: build_model(task, variant) for variant in design.variants}
    return {name: sum(weight.numel() for weight in model.parameters()) for name, model in models.items()}


@pytest.mark.parametrize("name", ["invariants", "invariants-digits", "invariants-streams"])
def test_arms_have_the_same_number_of_weights(name: str) -> None:
    """Within seven per cent, but for the smaller ones from which they are reached one knob at a time."""
    counts = num_weights(name)
    small = {"mean + max pooling", "C4, average pool", "plain CNN, 8 channels", "plain CNN, 11 channels"}
    others = [count for variant, count in counts.items() if variant not in small]
    assert len(others) >= 5
    assert max(others) < 1.07 * min(others)
    assert num_weights(name, full=True) == counts


@pytest.mark.parametrize("name", ["invariants", "invariants-digits", "invariants-streams"])
def test_a_run_of_each_study(name: str, tmp_path: Path, digits: None) -> None:
    design = get_design(name)
    train = replace(design.train, steps=2, warmup_steps=0, eval_every=2)
    design = replace(design, task_options={**design.task_options, **SMALL}, train=train, seeds=(0,))
    for run in design.runs()[-2:]:
        record = run_one(run, tmp_path / "out")
        assert record is not None
        assert record["status"] == "done", record["error"]


@pytest.mark.slow
def test_necklaces_need_more_than_pooling(tmp_path: Path) -> None:
    """Integrals with a nonlinearity inside the mean tell them apart; pooling and linear integrals guess."""
    design = replace(get_design("invariants"), seeds=(0,))
    errors = {}
    for run in design.runs():
        record = run_one(run, tmp_path / "out")
        assert record is not None
        errors[run.variant.name] = record["test_error"]
        assert max(record["exact_symmetry"]["after"].values()) < 1e-11
    assert all(errors[name] < 5 for name in ("weighted-sum II", "monomial II", "MLP II"))
    assert all(errors[name] > 80 for name in errors.keys() - {"weighted-sum II", "monomial II", "MLP II"})
