"""Models by their names: those of the Hugging Face hub, without a network, and the card that it reads."""

import json
import shutil
import sys
import types
from pathlib import Path

import pytest
import torch

from rapidash._hub import model_folder
from rapidash.methods import Variant
from rapidash.models import Rapidash, RapidashConfig
from rapidash.predict import TrainedModel
from rapidash.tasks import get_task

TINY = {"symmetry": "T(3)", "space": "R3", "channels": 4, "num_layers": 1, "basis_dim": 4, "basis_hidden_dim": 4}
VARIANT = Variant("tiny: 1", RapidashConfig(**TINY))
FILES = ["README.md", "config.json", "model.safetensors"]
RESULTS = {"metric": "MSE of positions", "unit": "length^2", "test_error": 0.0123, "test_error_tta": 0.01}


def trained(**results: object) -> TrainedModel:
    torch.manual_seed(0)
    options = {"num_train": 4, "num_val": 2, "num_test": 3}
    model = get_task("nbody", **options).build(VARIANT).eval()
    return TrainedModel("nbody", options, VARIANT, model, results=results)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the hub: the calls are those of huggingface_hub, whose signatures a test below looks at.

    Paths are relative to another folder.
    """
    place = tmp_path / "hub"

    class HfApi:
        def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
            (place / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            (place / repo_id / "private").write_text(str(private))
            return f"https://hub/{repo_id}"

        def upload_folder(self, *, repo_id: str, folder_path: Path, allow_patterns: list[str]) -> None:
            for name in allow_patterns:
                shutil.copy(Path(folder_path) / name, place / repo_id / name)

    def snapshot_download(repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        found = place / (repo_id if revision is None else f"{repo_id}@{revision}")
        if not found.is_dir():
            raise OSError(f"404: no repository {found.name}\n(Request ID: 1)")
        return str(found)

    module = types.SimpleNamespace(HfApi=HfApi, snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return place


def test_a_model_goes_to_the_hub_and_comes_back_bit_for_bit(hub: Path) -> None:
    model = trained(**RESULTS)
    assert model.push_to_hub("someone/tiny", license="mit", notes="Simulated.") == "https://hub/someone/tiny"
    assert sorted(path.name for path in (hub / "someone" / "tiny").iterdir()) == [*FILES, "private"]
    assert (hub / "someone" / "tiny" / "private").read_text() == "True"
    again = TrainedModel.from_pretrained("someone/tiny")
    state = again.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.model.state_dict().items())
    assert again.results == RESULTS
    shutil.copytree(hub / "someone" / "tiny", hub / "someone" / "tiny@v1")
    assert TrainedModel.from_pretrained("someone/tiny", revision="v1").task_name == "nbody"
    with pytest.raises(
        FileNotFoundError, match=r"no saved model at someone/tiny: .* gives none .*: 404: no repository"
    ):
        TrainedModel.from_pretrained("someone/tiny", revision="v2")


def test_a_network_goes_to_the_hub_and_comes_back(hub: Path) -> None:
    torch.manual_seed(0)
    network = Rapidash(in_scalars=1, **TINY).eval()
    network.push_to_hub("someone/network", private=False, license="apache-2.0")
    assert (hub / "someone" / "network" / "private").read_text() == "False"
    assert 'license: "apache-2.0"' in (hub / "someone" / "network" / "README.md").read_text()
    pos = torch.randn(5, 3)
    again = Rapidash.from_pretrained("someone/network")
    features = {"scalars": torch.ones(5, 1)}
    assert torch.equal(network(pos, **features).scalars, again(pos, **features).scalars)


def test_local_folders_come_first(hub: Path, tmp_path: Path) -> None:
    trained().push_to_hub("runs/tiny")
    assert model_folder("runs/tiny") == hub / "runs" / "tiny"
    Path("runs").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no saved model at runs/tiny: expected a folder"):
        TrainedModel.from_pretrained("runs/tiny")  # a folder of the user whose name was mistyped
    trained().save_pretrained("runs/tiny")
    assert model_folder("runs/tiny") == Path("runs/tiny")
    for name in ("./someone/tiny", "/someone/tiny", "someone/tiny/model", "someone", "../tiny"):
        with pytest.raises(FileNotFoundError, match=r"no saved model at .*expected a folder"):
            TrainedModel.from_pretrained(name)
    with pytest.raises(ValueError, match="revision='v1' is for a model of the hub, USER/NAME, and runs/tiny is none"):
        TrainedModel.from_pretrained("runs/tiny", revision="v1")
    with pytest.raises(ValueError, match="repo_id must be 'USER/NAME' as on the hub, got 'tiny'"):
        trained().push_to_hub("tiny")


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=r"push_to_hub needs huggingface_hub: pip install 'rapidash\[hub\]'"):
        trained().push_to_hub("someone/tiny")
    with pytest.raises(FileNotFoundError, match=r"no saved model at someone/tiny: .*huggingface_hub: pip install"):
        TrainedModel.from_pretrained("someone/tiny")


def head(card: str) -> dict[str, object]:
    """The head of a card: every line is a name and JSON, which is YAML."""
    _, text, _ = card.split("---\n", 2)
    return {name: json.loads(value) for name, value in (line.split(": ", 1) for line in text.splitlines())}


def test_the_card_has_license_and_metrics_in_the_form_of_the_hub(tmp_path: Path) -> None:
    card = (trained(**RESULTS).save_pretrained(tmp_path, license="mit", notes="Simulated.") / "README.md").read_text()
    found = head(card)
    assert found["license"] == "mit"
    assert (found["library_name"], found["tags"]) == ("rapidash", ["nbody"])
    [entry] = found["model-index"]
    assert entry["name"] == "nbody: tiny: 1"
    [result] = entry["results"]
    options = {"num_train": 4, "num_val": 2, "num_test": 3}
    assert result["dataset"] == {"type": "nbody", "name": "nbody", "split": "test", "args": options}
    assert [(metric["name"], metric["value"]) for metric in result["metrics"]] == [
        ("MSE of positions (length^2)", 0.0123),
        ("MSE of positions, averaged over motions (length^2)", 0.01),
    ]
    assert "\n## Data\n\nSimulated.\n" in card
    plain = (trained().save_pretrained(tmp_path / "plain") / "README.md").read_text()
    assert head(plain) == {"library_name": "rapidash", "tags": ["nbody"]}
    assert "## Data" not in plain


def test_the_library_of_the_hub_reads_the_card_and_has_these_calls(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install 'rapidash[hub]'")
    folder = trained(**RESULTS).save_pretrained(tmp_path / "model", license="mit")
    data = hub.ModelCard.load(str(folder / "README.md")).data
    assert (data.license, data.library_name, data.model_name) == ("mit", "rapidash", "nbody: tiny: 1")
    values = {result.metric_name: result.metric_value for result in data.eval_results}
    assert values["MSE of positions (length^2)"] == 0.0123
    import inspect

    names = inspect.signature(hub.snapshot_download).parameters
    assert {"repo_id", "revision", "allow_patterns"} <= names.keys()
    assert {"private", "exist_ok"} <= inspect.signature(hub.HfApi.create_repo).parameters.keys()
    assert {"repo_id", "folder_path", "allow_patterns"} <= inspect.signature(hub.HfApi.upload_folder).parameters.keys()


def test_a_model_in_the_cache_of_the_library_is_read_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real library, offline, with the layout of its cache; what it lacks is an error that says so."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: pip install 'rapidash[hub]'")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "cache" / "models--someone--tiny"
    trained().save_pretrained(place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    assert hub.constants.HF_HUB_OFFLINE
    assert TrainedModel.from_pretrained("someone/tiny").task_name == "nbody"
    with pytest.raises(FileNotFoundError, match=r"no saved model at someone/other: .*the hub gives none"):
        TrainedModel.from_pretrained("someone/other")
