"""A network that the first version saved (at commit 4da3294) is the same function today."""

import json
from pathlib import Path

import torch

from rapidash.models import Interface, Rapidash

FOLDER = Path(__file__).parent / "earlier" / "network"


def test_a_network_of_the_first_version_gives_its_outputs() -> None:
    expected = json.loads((FOLDER / "expected.json").read_text())
    model = Rapidash.from_pretrained(FOLDER)
    assert model.io == Interface(3, in_scalars=1, out_scalars=1, out_vectors=1, level="node", pool="mean")
    assert (model.config.channels, model.config.grid, model.config.num_orientations) == ((4, 8), "platonic", 4)
    out = model(torch.tensor(expected["pos"]), scalars=torch.ones(6, 1))
    torch.testing.assert_close(out.scalars, torch.tensor(expected["scalars"]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out.vectors, torch.tensor(expected["vectors"]), rtol=1e-5, atol=1e-6)


def test_it_is_saved_in_the_form_of_today_and_read_again(tmp_path: Path) -> None:
    model = Rapidash.from_pretrained(FOLDER)
    model.save_pretrained(tmp_path)
    plain = json.loads((tmp_path / "config.json").read_text())["model"]
    assert plain["kind"] == "rapidash"
    again = Rapidash.from_pretrained(tmp_path)
    assert (again.config, again.io) == (model.config, model.io)
