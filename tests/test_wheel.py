"""The wheel of this commit holds what it must, and every extra of it gives its feature in an environment of its own."""

import io
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import rapidash
from tests.test_changelog import load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # minutes, and what they share is made once
ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
release = load("release")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this commit."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository: there is no commit to build")
    pip = [sys.executable, "-m", "pip"]
    reached = subprocess.run([*pip, "index", "versions", "hatchling"], capture_output=True, text=True, timeout=300)
    if reached.returncode != 0:
        pytest.skip(f"no package index is reachable: {reached.stderr.strip()[-200:]}")
    made = release.make("HEAD", tmp_path_factory.mktemp("dist"))
    assert len(made) == 2
    [path] = [path for path in made if path.suffix == ".whl"]
    return path


class Environment(NamedTuple):
    """A virtual environment."""

    folder: Path

    def run(self, *words: str, cwd: Path | None = None, fails: bool = False) -> str:
        """Output of its Python, which sees nothing of the environment of the tests."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAPIDASH"))}
        variables |= {"RAPIDASH_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"}
        command = [str(self.folder / "bin" / "python"), *words]
        where = cwd or self.folder
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=where, env=variables)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *words: str) -> None:
        self.run("-m", "pip", "install", "--quiet", "--no-cache-dir", "-c", str(ROOT / "constraints.txt"), *words)

    @property
    def packages(self) -> Path:
        [found] = (self.folder / "lib").glob("python*/site-packages")
        return found


@pytest.fixture(scope="module")
def base() -> Iterator[Environment]:
    """The dependencies of the core, torch first, as the Makefile installs them; not the package."""
    with tempfile.TemporaryDirectory(prefix="rapidash-base-") as folder:
        venv.create(folder, with_pip=True)
        made = Environment(Path(folder))
        made.install("torch==2.13.0")
        made.install(*PROJECT["dependencies"])
        yield made


@pytest.fixture
def environment(base: Environment, wheel: Path, request: pytest.FixtureRequest) -> Iterator[Environment]:
    """An environment with the wheel and some extras, or none; it also sees what the core needs."""
    with tempfile.TemporaryDirectory(prefix="rapidash-extra-") as folder:
        venv.create(folder, with_pip=True)
        made = Environment(Path(folder))
        (made.packages / "base.pth").write_text(f"{base.packages}\n")
        made.install(f"{wheel}{request.param}")
        made.run("-m", "pip", "check")
        yield made


CORE = """
import torch, rapidash
from pathlib import Path
from rapidash.predict import TrainedModel
water = "3\\n\\nO 0 0 0.1173\\nH 0 0.7572 -0.4692\\nH 0 -0.7572 -0.4692\\n"
Path("water.xyz").write_text(water)
made = TrainedModel.from_pretrained("dipole").predict_files("water.xyz")  # a model that comes along
assert 1.0 < made.outputs["mu"].values.item() < 3.0, made.outputs["mu"]
from importlib.metadata import version
from rapidash.models import Rapidash
assert "site-packages" in rapidash.__file__, rapidash.__file__
assert rapidash.__version__ == version("rapidash")
network = Rapidash(num_orientations=4, in_scalars=1, channels=4, num_layers=1, edges="knn-2", level="node")
assert network(torch.randn(5, 3), scalars=torch.ones(5, 1)).scalars.shape == (5, 1)
"""
MODULES = """
import importlib, pkgutil, rapidash
names = [module.name for module in pkgutil.walk_packages(rapidash.__path__, "rapidash.")]
names = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
kernels = [name for name in names if name.split(".")[-1].split("_")[0] in ("numba", "triton")]  # see select_backend
for name in sorted({*names} - {*kernels}):
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: {error}")
print(len(names), len(kernels))
"""
DATA = """
import h5py, numpy as np
from rapidash.datasets import scanobjectnn_dataset
with h5py.File("training_objectdataset.h5", "w") as file:
    file["data"] = np.random.default_rng(0).normal(size=(10, 2048, 3)).astype(np.float32)
    file["label"] = np.arange(10)
data = scanobjectnn_dataset("train", variant="objectdataset", num_points=16, data_dir=".")
assert len(data) == 9 and data.info["class_names"][0] == "bag"
"""
FAST = """
import torch
from rapidash.models import Rapidash
torch.manual_seed(0)
pos = torch.randn(9, 3)
options = {"num_orientations": 4, "in_scalars": 1, "channels": 8, "num_layers": 1, "edges": "knn-3"}
outputs = []
for backend in ("numba", "reference"):
    torch.manual_seed(0)
    outputs.append(Rapidash(**options, backend=backend)(pos, scalars=torch.ones(9, 1)).scalars)
torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
"""
HUB = """
import huggingface_hub, os
from pathlib import Path
from rapidash.predict import TrainedModel
trained = TrainedModel.from_pretrained("dipole")
card = huggingface_hub.ModelCard.load(str(trained.save_pretrained("model", license="mit") / "README.md"))
assert card.data.license == "mit" and card.data.eval_results[0].metric_value < 0.5
place = Path("cache/models--someone--dipole")
trained.save_pretrained(place / "snapshots" / ("0" * 40))
(place / "refs").mkdir()
(place / "refs" / "main").write_text("0" * 40)
huggingface_hub.constants.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_CACHE = True, "cache"
assert TrainedModel.from_pretrained("someone/dipole").task_name == "qm9"
"""
MOL = """
import ase.io, torch
from rapidash.interop.ase import from_ase
open("water.xyz", "w").write("3\\n\\nO 0 0 0\\nH 0.96 0 0\\nH -0.24 0.93 0\\n")
data = from_ase(ase.io.read("water.xyz"))
batch = data.batch(torch.arange(1))
assert batch.tensors["z"].tolist() == [8, 1, 1] and data.fields["pos"].unit == "angstrom"
torch.testing.assert_close(batch.tensors["pos"][1], torch.tensor([0.96, 0, 0]))
from rapidash.generate.metrics import smiles
assert smiles(data) == ["O"]
"""
MESH = """
import trimesh
from rapidash.datasets import read_valued_clouds
trimesh.creation.box().export("box.stl")
((_, cloud),) = read_valued_clouds("box.stl")
assert cloud.triangles.shape == (12, 3)
"""
TABLES = """
import pyarrow, pyarrow.parquet
from rapidash.datasets import read_valued_clouds
table = pyarrow.table({"x": [0.0, 1.0], "y": [0.0, 2.0], "z": [0.0, 3.0]})
pyarrow.parquet.write_table(table, "points.parquet")
((_, cloud),) = read_valued_clouds("points.parquet")
assert cloud.arrays["pos"].tolist() == [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]
"""
RL = """
import torch
from rapidash.relax.rl import Pendulum
pendulum = Pendulum()
pendulum.start(torch.tensor([1.0, 0.0, 0.0]))
assert abs(pendulum.step(1.0) + 0.001) < 1e-9
"""
TABULAR = """
from rapidash.datasets import digits_images
images, labels = digits_images()
assert images.shape == (1797, 8, 8) and labels[:3].tolist() == [0, 1, 2]
import numpy as np
from rapidash.symmetrize.tabular import EquiTabPFNClassifier
x = np.random.default_rng(0).normal(size=(90, 3)) + 4 * np.arange(3).repeat(30)[:, None]
y = np.array(["a", "b", "c"]).repeat(30)
assert EquiTabPFNClassifier().fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.9  # with the packaged weights
"""
STUDY = """
import json, sys
from pathlib import Path
from rapidash.cli import main
TINY = ["--task_options.num_train", "16", "--task_options.num_val", "8", "--task_options.num_test", "8"]
TINY += ["--train.steps", "4", "--train.batch_size", "8", "--train.eval_every", "2", "--quiet"]
assert main(["study", "nbody", "--seeds", "2", "--workers", "1", "--out", "out", *TINY]) == 0
assert "E(3) on R3xS2" in Path("out/report.html").read_text()
assert main(["report", "out", "--publish", "published.rst"]) == 0 and Path("published.svg").stat().st_size > 1000
egnn = ["--variant", "EGNN", "--model.channels", "4", "--model.num_layers", "1", "--train.log_tensorboard", "true"]
assert main(["train", "nbody", "--full", *egnn, "--out", "egnn", *TINY]) == 0
records = [json.loads(path.read_text()) for path in Path(".").glob("*/records/*.json")]
assert len(records) == 13 and {record["status"] for record in records} == {"done"}
assert list(Path("egnn").rglob("events.out.tfevents*"))
from rapidash.models import DGCNNConfig, Interface
DGCNNConfig(channels=4, num_layers=1, edges="knn-2").build(Interface(3, in_scalars=1, out_scalars=1))
"""
FEATURES = {
    "[data]": DATA,
    "[fast]": FAST,
    "[hub]": HUB,
    "[mesh]": MESH,
    "[mol]": MOL,
    "[rl]": RL,
    "[study]": STUDY,
    "[tables]": TABLES,
    "[tabular]": TABULAR,
}


def test_a_wheel_with_another_content_is_refused(wheel: Path) -> None:
    built = {path.name: path.read_bytes() for path in wheel.parent.iterdir()}
    assert release.check(built, "HEAD") == rapidash.__version__
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert {
            "rapidash/py.typed",
            "rapidash/report/templates/report.html.j2",
            "rapidash/report/templates/style.css",
            "rapidash/pretrained/dipole/README.md",
            "rapidash/pretrained/dipole/model.safetensors",
            "rapidash/pretrained/nbody/model.safetensors",
            "rapidash/symmetrize/tabular/weights/config.json",
            "rapidash/symmetrize/tabular/weights/model.safetensors",
        } < {*names}
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        assert max(size for name, size in sizes.items() if "/pretrained/" in name) < 1 << 20
        assert wheel.stat().st_size < 5 << 20
        for left_out, added in (("rapidash/report/templates/style.css", None), (None, "tests/test_cli.py")):
            changed = io.BytesIO()
            with zipfile.ZipFile(changed, "w") as other:
                for name in [name for name in names if name != left_out]:
                    other.writestr(name, archive.read(name))
                if added:
                    other.writestr(added, "")
            with pytest.raises(release.BuildError, match=re.escape(left_out or added or "")):
                release.check(built | {wheel.name: changed.getvalue()}, "HEAD")


def test_the_core_holds_no_package_of_an_extra(base: Environment) -> None:
    """But for jinja2, which torch needs: an extra is tried without the others."""
    installed = {line.split("==")[0].lower() for line in base.run("-m", "pip", "freeze").splitlines()}
    optional = PROJECT["optional-dependencies"]
    extra = {re.split(r"[\[>=]", entry)[0] for entries in optional.values() for entry in entries}
    assert installed & extra == {"jinja2"}


@pytest.mark.parametrize("environment", [""], indirect=True)
def test_the_core_alone(environment: Environment) -> None:
    environment.run("-W", "error", "-c", CORE)
    *errors, counts = environment.run("-c", MODULES).splitlines()
    assert errors == [
        "rapidash.testing.strategies: rapidash.testing.strategies needs hypothesis: pip install hypothesis"
    ]
    assert int(counts.split()[0]) > 60
    assert environment.run("-m", "rapidash.cli", "--version") == f"rapidash {rapidash.__version__}\n"
    said = environment.run("-m", "rapidash.cli", "study", "nbody", fails=True)
    assert said == 'rapidash: error: the command line needs PyYAML: pip install "rapidash[study]"\n'


@pytest.mark.parametrize("environment", FEATURES, indirect=True)
def test_an_extra_alone_gives_its_feature(environment: Environment, request: pytest.FixtureRequest) -> None:
    work = environment.folder / "work"
    work.mkdir()
    environment.run("-c", CORE)
    environment.run("-c", FEATURES[request.node.callspec.params["environment"]], cwd=work)
