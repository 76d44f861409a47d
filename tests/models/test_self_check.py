"""A saved network answers for made-up points as it did when it was saved, whatever computes it."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from rapidash.models import ANSWERS, Rapidash
from rapidash.models._self_check import answers, made_up
from rapidash.ops import use_products
from rapidash.predict import TrainedModel

SIZES: dict[str, Any] = {"channels": 8, "num_layers": 2, "basis_dim": 8, "basis_hidden_dim": 8}
INPUTS: dict[str, Any] = {"in_scalars": 2, "in_vectors": 1, "out_scalars": 3, "out_vectors": 1, "level": "node"}


def network(**changes: Any) -> Rapidash:
    torch.manual_seed(0)
    return Rapidash(**(SIZES | INPUTS | {"num_orientations": 6, "grid": "platonic"} | changes)).eval()


def change(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))


def test_made_up_points_by_hand() -> None:
    """Sines of 0.1 + 1.7 k + 0.3 k^2 / 114 in 38 points of 3 coordinates; two clouds of 20 and 18."""
    pos, batch, inputs = made_up(network().double())
    assert batch.tolist() == [0] * 20 + [1] * 18
    assert pos[0, 0] == pytest.approx(math.sin(0.1))
    assert pos[1, 1] == pytest.approx(math.sin(0.1 + 1.7 * 4 + 0.3 * 16 / 114))
    assert {name: tuple(value.shape) for name, value in inputs.items()} == {"scalars": (38, 2), "vectors": (38, 1, 3)}
    assert float(torch.pdist(pos).min()) > 0.01


def test_answers_are_outputs_of_the_definition() -> None:
    model = network().double()
    pos, batch, inputs = made_up(model)
    out = model.with_kernel("exact", backend="reference")(pos, batch, **inputs)
    expected = torch.cat([part.flatten()[:32] for part in out])
    (found,) = answers(model).values()
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"space": "R3", "in_vectors": 0, "out_vectors": 0},
        {"edges": "knn-4"},
        {"num_layers": (1, 1)},
        {"kernel": "tabulated"},
        {"dim": 2, "grid": "fibonacci"},
    ],
    ids=str,
)
def test_a_network_that_is_loaded_answers_alike_by_every_backend(
    tmp_path: Path, changes: dict[str, Any], dtype: torch.dtype
) -> None:
    if changes.get("dim") == 2:
        changes = {**changes, "symmetry": "E(2)", "space": "R2xS1"}
    model = network(**changes).to(dtype)
    model.save_pretrained(tmp_path)
    assert list(json.loads((tmp_path / "config.json").read_text())[ANSWERS]) == [""]
    for backend in ("auto", "reference"):
        Rapidash.from_pretrained(tmp_path, backend=backend)
    with use_products("torch"):
        Rapidash.from_pretrained(tmp_path)


@contextmanager
def flag_of_torch() -> Iterator[None]:
    """Under it some processors round the operands of float32 products."""
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


ROUNDING: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "flag": flag_of_torch,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "bfloat16": lambda: use_products("bfloat16"),
}


@pytest.mark.parametrize("changes", [{}, {"orientation_mlp": "bandlimited", "channels": 16}], ids=str)
@pytest.mark.parametrize("rounding", list(ROUNDING))
def test_settings_that_round_products_are_no_wrong_answers(
    tmp_path: Path, rounding: str, changes: dict[str, Any]
) -> None:
    """Saved with them and loaded without, and the other way round; the network itself stays as it is."""
    model = network(**changes)
    with ROUNDING[rounding]():
        model.save_pretrained(tmp_path / "rounded")
    model.save_pretrained(tmp_path / "plain")
    Rapidash.from_pretrained(tmp_path / "rounded")
    with ROUNDING[rounding]():
        assert Rapidash.from_pretrained(tmp_path / "plain").embedding.weight.dtype == torch.float32
    first, second = (
        json.loads((tmp_path / name / "config.json").read_text())[ANSWERS][""] for name in ("rounded", "plain")
    )
    assert first == pytest.approx(second, abs=1e-4 * max(map(abs, second)))


def test_a_wrong_fast_path_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network().save_pretrained(tmp_path)
    forward = Rapidash.forward
    monkeypatch.setattr(
        Rapidash, "forward", lambda self, *a, **k: type(out := forward(self, *a, **k))(*(1.01 * o for o in out))
    )
    with pytest.raises(
        ValueError, match=r"config.json: the network does not answer as it did .* outputs that are 0\.0\d+ off"
    ):
        Rapidash.from_pretrained(tmp_path)


def test_weights_of_another_training_are_told_even_with_their_checksum(tmp_path: Path) -> None:
    import hashlib

    network().save_pretrained(tmp_path)
    tensors = load((tmp_path / "model.safetensors").read_bytes())
    name = max((n for n, t in tensors.items() if t.ndim == 2), key=lambda n: tensors[n].numel())
    tensors[name] = 1.5 * tensors[name]
    data = save(tensors)
    (tmp_path / "model.safetensors").write_bytes(data)
    change(tmp_path, weights_sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ValueError, match="does not answer as it did when it was saved"):
        Rapidash.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([1.0], "'answers' must be lists of numbers by name of a network, got list"),
        ({"other": [1.0]}, "and network 'other' has none"),
        ({"": "many"}, "and the network has none"),
        ({"": [1.0, 2.0]}, "the network gives 64 answers, 2 were saved"),
    ],
)
def test_damaged_answers(tmp_path: Path, entry: object, message: str) -> None:
    network().save_pretrained(tmp_path)
    change(tmp_path, **{ANSWERS: entry})
    with pytest.raises(ValueError, match=message):
        Rapidash.from_pretrained(tmp_path)


def test_files_of_earlier_versions_have_no_answers(tmp_path: Path) -> None:
    network().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    said = config.pop(ANSWERS)
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = answers(Rapidash.from_pretrained(tmp_path))
    assert found[""] == pytest.approx(said[""], abs=1e-6)


def test_a_network_without_finite_outputs_is_saved_without_answers() -> None:
    model = network()
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    assert answers(model) == {}


def test_the_model_of_a_task_has_those_of_its_networks(tmp_path: Path) -> None:
    from rapidash.methods import Variant, build_model
    from rapidash.models import RapidashConfig
    from rapidash.tasks import get_task

    variant = Variant("a", RapidashConfig(space="R3", **SIZES))
    model = build_model(get_task("nbody", num_train=4, num_val=4, num_test=4), variant, seed=0)
    TrainedModel("nbody", {"num_train": 4, "num_val": 4, "num_test": 4}, variant, model.eval()).save_pretrained(
        tmp_path
    )
    (name,) = json.loads((tmp_path / "config.json").read_text())[ANSWERS]
    assert isinstance(model.get_submodule(name), Rapidash)
    TrainedModel.from_pretrained(tmp_path)
    change(tmp_path, **{ANSWERS: {name: [0.0] * 64}})
    with pytest.raises(ValueError, match=f"network '{name}'"):
        TrainedModel.from_pretrained(tmp_path)
