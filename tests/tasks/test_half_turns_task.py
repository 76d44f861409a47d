"""Six and nine: half turns are other classes, or any quarter turn is none."""

import pytest
import torch

from rapidash.groups import Image, cyclic
from rapidash.methods import Variant, build_model
from rapidash.models import ImageGCNNConfig
from rapidash.tasks import get_task


def test_the_second_half_of_the_classes_is_turned() -> None:
    task = get_task("half-turns")
    figures = task.figures()
    half = Image(boundary="zeros").act(cyclic(2).elements()[1], figures)
    torch.testing.assert_close(half[:4], figures[4:])
    assert float((figures[:4] - figures[4:]).abs().mean()) > 0.3
    torch.testing.assert_close(figures.mean(dim=(1, 2)), torch.zeros(8, dtype=torch.float64))
    torch.testing.assert_close(figures.std(dim=(1, 2), correction=0), torch.ones(8, dtype=torch.float64))
    assert get_task("half-turns", turns="ignored").figures().shape == (8, 13, 13)
    assert task.moves is None


@pytest.mark.parametrize("turns", ["told apart", "ignored"])
def test_an_image_is_its_figure_moved(turns: str) -> None:
    """Without noise the inner pixels of each image are those of its figure, shifted by at most one, in some turn."""
    task = get_task("half-turns", turns=turns, noise=0.0, num_train=12)
    batch = task.dataset("train").batch(torch.arange(12))
    turned = [Image(boundary="zeros").act(g, task.figures()) for g in cyclic(4).elements()]
    allowed = turned if turns == "ignored" else turned[:1]
    for image, label in zip(batch["image"][:, 0], batch["label"]):
        inner = image[2:-2, 2:-2]
        places = [f[label, 2 + a : 11 + a, 2 + b : 11 + b] for f in allowed for a in (-1, 0, 1) for b in (-1, 0, 1)]
        assert min(float((inner - place).abs().max()) for place in places) < 1e-9
    again = task.dataset("train").batch(torch.arange(12))
    assert torch.equal(again["image"], batch["image"])
    assert not torch.equal(task.dataset("val").batch(torch.arange(12))["image"], batch["image"])


def test_what_keeps_half_turns_cannot_tell_them_apart() -> None:
    task = get_task("half-turns", noise=0.0)
    variant = Variant("a", ImageGCNNConfig(symmetry="C4", channels=2, subgroups=("C4", "C4", "C2")))
    model = build_model(task, variant).double().eval()
    images = task.figures()[:, None]
    with torch.no_grad():
        out = model.network(images)
    torch.testing.assert_close(out[:4], out[4:])
    assert task.ledger(variant).effective.name == "C(2)"
    assert task.ledger(variant).exact


def test_options_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="turns must be one of"):
        get_task("half-turns", turns="some")
    with pytest.raises(ValueError, match="noise must be at least 0"):
        get_task("half-turns", noise=-1.0)
