"""A network that is saved and read again is the same, and files that are not a network say what they are."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rapidash._pretrained import find_pretrained
from rapidash.interop import from_rapidash_state_dict
from rapidash.models import Rapidash

SMALL = {"channels": 4, "num_layers": 1, "basis_dim": 4, "basis_hidden_dim": 4, "num_orientations": 4}
NETWORKS = {
    "calibrated": {"in_scalars": 1, "in_vectors": 1, "out_vectors": 1, **SMALL},
    "multi-scale": {"in_scalars": 1, "level": "node", **SMALL, "channels": [4, 8], "edges": ["knn-2", "fc"]},
    "plane": {"dim": 2, "symmetry": "SE(2)", "in_scalars": 1, **SMALL},
    "no orientations": {"space": "R3", "symmetry": "T(3)", "in_scalars": 1, "edges": "radius-2.5", **SMALL},
    "custom grid": {"in_scalars": 1, **SMALL, "grid": torch.tensor([[0.6, 0.8, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]])},
}


def network(name: str, dtype: torch.dtype = torch.float32) -> Rapidash:
    torch.manual_seed(0)
    model = Rapidash(**NETWORKS[name]).to(dtype)
    if name == "calibrated":
        model.calibrate(*(cloud(model)[key] for key in ("pos", "batch")), **features(model))
    return model.eval()


def cloud(model: Rapidash) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(1)
    dtype = model.embedding.weight.dtype
    return {"pos": torch.randn(7, model.dim, generator=rng, dtype=dtype), "batch": torch.tensor([0] * 4 + [1] * 3)}


def features(model: Rapidash) -> dict[str, torch.Tensor]:
    vectors = torch.ones(7, 1, model.dim, dtype=model.embedding.weight.dtype) if model.in_vectors else None
    return {"scalars": torch.ones(7, 1, dtype=model.embedding.weight.dtype), "vectors": vectors}


def output(model: Rapidash) -> torch.Tensor:
    with torch.no_grad():
        out = model(**cloud(model), **features(model))
    return torch.cat([out.scalars, out.vectors.flatten(1)], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_network_comes_back_bit_for_bit(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    model = network(name, dtype)
    before = torch.get_rng_state()
    assert model.save_pretrained(tmp_path / "a" / "model") == tmp_path / "a" / "model"
    twin = Rapidash.from_pretrained(tmp_path / "a" / "model")
    assert twin.config == model.config
    assert not twin.training
    assert twin.is_calibrated == model.is_calibrated == (name == "calibrated")
    state = twin.state_dict()
    assert state.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key]), key
        assert tensor.dtype == state[key].dtype
    assert torch.equal(output(model), output(twin))
    assert torch.equal(before, torch.get_rng_state())
    assert sorted(os.listdir(tmp_path / "a" / "model")) == ["README.md", "config.json", "model.safetensors"]


def test_weights_of_the_released_code_keep_their_freedom(tmp_path: Path) -> None:
    config = {"input_dim": 2, "hidden_dim": 4, "num_layers": 1, "num_ori": 4, "edge_types": ["knn-2"], "basis_dim": 4}
    torch.manual_seed(0)
    source = Rapidash(in_scalars=2, level="node", **SMALL, max_degree=3)
    names = {"embedding.": "x_embedder.", "readout.linear.": "readout.", "blocks.": "layers."}
    for kind in ("spatial", "spherical"):
        names |= {f"{kind}_basis.linear_{i}.": f"{kind}_basis_fn.{2 * i - 1}." for i in (1, 2)}
    weights = {}
    for key, tensor in source.state_dict().items():
        for old, new in names.items():
            if key.startswith(old):
                weights[key.replace(old, new)] = tensor
    released = from_rapidash_state_dict({**weights, "sphere_grid": source.grid.float()}, config)
    twin = Rapidash.from_pretrained(released.save_pretrained(tmp_path))
    pos, vectors = torch.randn(5, 3), torch.randn(5, 2, 3)
    assert torch.equal(twin(pos, vectors=vectors).scalars, released(pos, vectors=vectors).scalars)


def test_the_order_of_saving_leaves_no_wrong_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the files of a second model is noticed; nothing temporary stays."""
    network("plane").save_pretrained(tmp_path)
    real, calls = os.replace, []

    def failing(source: str, target: Path) -> None:
        calls.append(target)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match=r"could not write .*config.json: No space left"):
        network("calibrated").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model.safetensors does not have the checksum in 'weights_sha256'"):
        Rapidash.from_pretrained(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def change_config(folder: Path, **entries: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **entries}))


def change_model(folder: Path, **entries: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    change_config(folder, model={**config["model"], **entries})


DAMAGE = {
    "half of the weights": (
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:200]),
        r"model\.safetensors is not a whole safetensors file",
    ),
    "other weights": (
        lambda d: save_file({"a": torch.zeros(1)}, d / "model.safetensors"),
        r"model\.safetensors does not have the checksum in 'weights_sha256' of config\.json",
    ),
    "half of the config": (lambda d: (d / "config.json").write_text('{"kind":'), r"config\.json is not a whole JSON"),
    "bytes as config": (lambda d: (d / "config.json").write_bytes(b"\xff\x00"), r"config\.json is not a whole JSON"),
    "config of another library": (
        lambda d: (d / "config.json").write_text('{"model_type": "bert"}'),
        r"config\.json: 'library_name' is None, expected 'rapidash'",
    ),
    "a list": (lambda d: (d / "config.json").write_text("[1]"), r"'library_name' is 'list', expected 'rapidash'"),
    "later version": (lambda d: change_config(d, format_version=2), r"'format_version' is 2, this version .* reads 1"),
    "no checksum": (lambda d: change_config(d, weights_sha256=None), r"'weights_sha256' must be of type str, got None"),
    "of a task": (lambda d: change_config(d, kind="task"), r"'kind' is 'task', expected 'network': .*TrainedModel"),
    "wider": (
        lambda d: change_model(d, channels=8),
        r"model\.safetensors do not fit .*'embedding\.weight' has shape \(4, 1\), expected \(8, 1\).*and \d+ more",
    ),
    "deeper": (lambda d: change_model(d, num_layers=2), r"'blocks\.1\..*' is missing"),
    "misspelled": (lambda d: change_model(d, chanels=2), r"config\.json does not describe .*did you mean 'channels'"),
    "wrong value": (lambda d: change_model(d, edges="knn-0"), r"does not describe .*unknown edges 'knn-0'"),
    "wrong dtype": (lambda d: change_config(d, dtype="int8"), r"'dtype' must be the name of a floating-point dtype"),
    "no model": (lambda d: change_config(d, model=None), r"config\.json: 'model' must be of type dict, got None"),
    "word": (lambda d: change_config(d, accepts_any_split="no"), r"'accepts_any_split' must be of type bool, got 'no'"),
}  # fmt: skip


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damaged_and_foreign_files_are_named_with_their_entry(tmp_path: Path, damage: str) -> None:
    network("plane").save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")
    spoil, message = DAMAGE[damage]
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message):
        Rapidash.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    network("plane").save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
        Rapidash.from_pretrained(tmp_path)


def test_what_is_no_saved_network_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no saved model at .*/nowhere: expected .*of the Hugging Face hub has"
    ):
        Rapidash.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(FileNotFoundError, match="it is a file of another name"):
        Rapidash.from_pretrained(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError, match="it has neither"):
        Rapidash.from_pretrained(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"a.txt is a file: give a folder"):
        network("plane").save_pretrained(tmp_path / "a.txt")


def test_an_axis_keeps_all_its_digits_or_is_refused(tmp_path: Path) -> None:
    named = Rapidash(symmetry="SO2(0.3,0.5,0.81)", space="R3", in_scalars=1, **SMALL)
    assert Rapidash.from_pretrained(named.save_pretrained(tmp_path)).symmetry == named.symmetry
    rounded = Rapidash(symmetry=named.symmetry, space="R3", in_scalars=1, **SMALL)
    with pytest.raises(ValueError, match=r"symmetry 'O2\(0.300587.*' is no name of this group"):
        rounded.save_pretrained(tmp_path)


def test_the_folder_of_a_training_stands_for_its_only_model(tmp_path: Path) -> None:
    saved = network("plane").save_pretrained(tmp_path / "work" / "a1" / "model")
    assert find_pretrained(tmp_path) == saved
    network("plane").save_pretrained(tmp_path / "work" / "b2" / "model")
    with pytest.raises(ValueError, match=r"has the models of 2 runs: give the folder of one of them, .*a1/model, .*b2"):
        Rapidash.from_pretrained(tmp_path)
