"""Glyphs: generated images that move one by one, and labels that do not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from rapidash.groups import Product, cyclic
from rapidash.methods import Variant, build_model
from rapidash.models import MLPConfig, RapidashConfig
from rapidash.relax import LearnedLatentAction
from rapidash.study import get_design, run_one
from rapidash.tasks import get_task
from rapidash.testing import check_task

HEAD = Variant("a", MLPConfig(hidden_dim=16, num_layers=1))


@pytest.mark.parametrize(
    "options",
    [{}, {"group": "D4"}, {"num_glyphs": 1}, {"num_glyphs": 1, "predict": "image", "latent_dim": 8}],
    ids=["pairs", "mirrored pairs", "one", "drawn"],
)
def test_it_does_what_studies_rely_on(options: dict[str, object]) -> None:
    check_task(get_task("glyphs", num_train=20, num_val=20, num_test=20, **options), [HEAD])


def test_without_noise_a_sample_is_a_turned_letter_of_the_alphabet() -> None:
    task = get_task("glyphs", noise=0.0, num_train=40)
    data, alphabet = task.dataset("train"), task._alphabet()
    torch.testing.assert_close(alphabet.mean(dim=(1, 2)), torch.zeros(6).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(alphabet.square().mean(dim=(1, 2)), torch.ones(6).double())
    label = data.tensors["label"]
    kinds = {"left": label // 6, "right": label % 6}
    turns = set()
    for name, kind in kinds.items():
        for image, letter in zip(data.tensors[name][:, 0], alphabet[kind]):
            distances = [float((image - torch.rot90(letter, k)).abs().max()) for k in range(4)]
            assert min(distances) < 1e-9
            turns.add((name, distances.index(min(distances))))
    assert len(turns) == 8  # every turn, of each of the two
    assert task.moves == Product((cyclic(4), cyclic(4)))


def test_noise_is_that_of_each_sample_and_splits_differ() -> None:
    clean, noisy = (get_task("glyphs", noise=noise, num_train=300).dataset("train") for noise in (0.0, 2.0))
    difference = noisy.tensors["left"] - clean.tensors["left"]
    assert float(difference.std()) == pytest.approx(2.0, rel=0.02)
    task = get_task("glyphs", num_train=20, num_val=20)
    assert not torch.equal(task.dataset("train").tensors["left"], task.dataset("val").tensors["left"])
    assert torch.equal(task.dataset("val").tensors["left"], task.dataset("val").tensors["left"])


def test_loss_and_errors_by_hand() -> None:
    task = get_task("glyphs", num_train=3)
    batch = task.dataset("train").batch(torch.arange(3))
    logits = torch.zeros(3, 36)
    logits[torch.arange(3), batch["label"]] = torch.tensor([1.0, -1.0, 2.0])
    assert task.errors(logits, batch).tolist() == [0, 100, 0]
    torch.testing.assert_close(task.loss(logits, batch), cross_entropy(logits, batch["label"]))
    drawn = get_task("glyphs", num_train=2, num_glyphs=1, predict="image")
    batch = drawn.dataset("train").batch(torch.arange(2))
    shifted = batch["target"] + torch.tensor([1.0, 2.0])[:, None, None]
    torch.testing.assert_close(drawn.errors(shifted, batch), torch.tensor([1.0, 4.0]).double())
    assert float(drawn.loss(shifted, batch)) == pytest.approx(2.5)


def test_options_that_make_no_sense_are_said() -> None:
    for options, message in (
        ({"group": "C3"}, r"group must be one of \('C4', 'D4'\), got 'C3'"),
        ({"predict": "image"}, "draws one glyph: set num_glyphs=1"),
        ({"noise": -1.0}, "noise at least 0, got 6, 64 and -1.0"),
        ({"num_train": 0}, "must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            get_task("glyphs", **options)
    with pytest.raises(ValueError, match=r"acts on R.3, but dim=0"):
        build_model(get_task("glyphs"), Variant("a", RapidashConfig()))


def figures(record: dict, name: str) -> dict[str, float]:
    """By moment, a measurement of a record."""
    return {entry["moment"]: entry["value"] for entry in record["measurements"] if entry["name"].startswith(name)}


@pytest.mark.parametrize("name", ["relax-latent", "relax-latent-actions", "relax-latent-clouds"])
def test_a_run_of_each_study_of_latents_has_the_error_of_its_latent_on_record(name: str, tmp_path: Path) -> None:
    design = get_design(name)
    sizes = {"num_train": 20, "num_val": 20, "num_test": 20}
    train = replace(design.train, steps=4, warmup_steps=0, eval_every=2)
    design = replace(design, task_options={**design.task_options, **sizes}, train=train, seeds=(0,))
    assert get_design(name, full=True).setting == "full"
    run = design.runs()[1]
    record = run_one(run, tmp_path / "out")
    assert record is not None
    assert record["status"] == "done", record["error"]
    kind = "permuted orientations" if name == "relax-latent-clouds" else "regular action"
    for action in (kind, "trivial action"):
        found = figures(record, f"latent error, {action}")
        assert found.keys() == {"before", "after"}
        assert all(0 < value < 4 for value in found.values())
    if name == "relax-latent-actions":
        assert isinstance(run.variant.methods[0], LearnedLatentAction)
        counts = [figures(record, f"irrep {index}")["after"] for index in range(4)]
        assert sum(counts) == pytest.approx(8)
