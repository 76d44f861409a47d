"""The code of the guide runs, every page is in the table of contents, and the pages build without a warning."""

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from rapidash.registry import DESIGNS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def python_of(page: str) -> str:
    """The Python blocks of a page, one after the other."""
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", page + "\n")
    return "\n".join(textwrap.dedent(block) for block in blocks)


STAND_INS = """
import shutil, sys, types
from pathlib import Path
import torch

class LightningModule(torch.nn.Module):
    def log(self, name, value, *, batch_size): pass

class Trainer:  # the calls of the real one: optimizer first, then a step for every batch
    def __init__(self, *, max_epochs, accelerator, logger, enable_checkpointing): self.max_epochs = max_epochs
    def fit(self, module, loader):
        optimizer = module.configure_optimizers()
        for epoch in range(self.max_epochs):
            for index, batch in enumerate(loader):
                loss = module.training_step(batch.to(torch.device("cpu")), index)
                optimizer.zero_grad(); loss.backward(); optimizer.step()

HUB = Path("hub")

class HfApi:
    def create_repo(self, repo_id, *, private=None, exist_ok=False): (HUB / repo_id).mkdir(parents=True)
    def upload_folder(self, *, repo_id, folder_path, allow_patterns=None):
        shutil.copytree(folder_path, HUB / repo_id, dirs_exist_ok=True)

def snapshot_download(repo_id, *, revision=None, allow_patterns=None): return str(HUB / repo_id)

sys.modules["lightning"] = types.SimpleNamespace(LightningModule=LightningModule, Trainer=Trainer)
sys.modules["huggingface_hub"] = types.SimpleNamespace(HfApi=HfApi, snapshot_download=snapshot_download)
"""  # neither a hub nor Lightning here: tests/test_lightning.py and tests/predict/test_hub.py try the real ones


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAPIDASH_CACHE": str(directory / "cache")}
    old = "ignore:`torch.jit.script` is deprecated:DeprecationWarning"  # when torch_geometric is imported
    command = [sys.executable, "-W", "error", "-W", old, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=directory, env=environment)


def test_code_of_the_guide_runs(tmp_path: Path) -> None:
    """All pages in one process, each with names of its own."""
    pages = {path.name: python_of(path.read_text(encoding="utf-8")) for path in sorted(DOCS.glob("*.rst"))}
    pages = {name: code for name, code in pages.items() if code}
    assert {"getting_started.rst", "ledger.rst", "measuring.rst", "training.rst", "your_loop.rst"} <= set(pages)
    code = f"for name, text in {pages!r}.items():\n    exec(compile(text, name, 'exec'), {{'__name__': name}})\n"
    ended = run(STAND_INS + code, tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_files_of_add_your_own_are_short_and_its_entry_points_name_them() -> None:
    page = (DOCS / "add_your_own.rst").read_text(encoding="utf-8")
    files = dict(
        re.findall(r"^# my_package/(\w+)\.py\n(.*?)(?=^# my_package|\Z)", python_of(page), re.MULTILINE | re.DOTALL)
    )
    assert set(files) == {"network", "data", "task", "agree", "absolute", "swap", "design"}
    groups = re.findall(r'entry-points\."rapidash\.(\w+)"\]\n +(\S+) = "my_package\.(\w+):(\w+)"', page)
    assert len(groups) == page.count("entry-points.") == 6
    for group, name, file, attribute in groups:
        definition = rf'@{group.upper()}\.register\("{name}"\)\n(@dataclass.*\n)?(class|def) {attribute}\b'
        assert re.search(definition, files[file]), (group, name)
    blocks = re.findall(r"code-block:: python\n\n(    # my_package(?:.*\n)(?:    .*\n|\n)+)", page)
    assert len(blocks) == len(files)
    assert max(len([line for line in block.splitlines() if line.strip()]) for block in blocks) < 30


def test_own_data_are_trained_on_in_15_lines_and_a_task_has_20() -> None:
    page = (DOCS / "your_data.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"code-block:: python\n\n((?:    .*\n|\n)+)", page)
    [loop] = [block for block in blocks if "for batch in loader" in block]
    [task] = [block for block in blocks if "class MySolids(FieldTask)" in block]
    for block, most in ((loop, 15), (task, 20)):
        lines = [line for line in block.splitlines() if line.strip()]
        assert len([line for line in lines if "import" not in line]) <= most
        assert len(lines) <= most + 3


def test_wrong_code_is_noticed(tmp_path: Path) -> None:
    page = "Title\n=====\n\n.. code-block:: python\n\n    x = 1\n\n    assert x == 2\n\nText.\n"
    assert python_of(page) == "x = 1\n\nassert x == 2\n\n"
    assert run(python_of(page), tmp_path).returncode == 1


def sections() -> ModuleType:
    """The extension that reads docstrings; it needs no Sphinx."""
    spec = importlib.util.spec_from_file_location("docstring_sections", DOCS / "_ext" / "docstring_sections.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sections_of_one_line_become_fields() -> None:
    lines = ["Args:", "    x: a number.", "Shape: x (N, C)", "    -> (N,).", "Raises: ValueError for 0.", "Source: us."]
    lines = [*lines[:5], *lines[5:], "", "Text: and more."]
    expected = ["Args:", "    x: a number.", "", ":Shape: x (N, C)", "    -> (N,).", ":Raises: ValueError for 0."]
    assert sections().one_line_sections(lines) == [*expected, ":Source: us.", "", "Text: and more."]


def test_mathematics_in_plain_text_is_escaped() -> None:
    given = ["|d| and a * b, but ``|d|`` and :math:`|d|`.", ".. math:: |x| * y", "   |z|", "", "|w|"]
    expected = [r"\|d\| and a \* b, but ``|d|`` and :math:`|d|`.", ".. math:: |x| * y", "   |z|", "", r"\|w\|"]
    assert sections().plain_mathematics(given) == expected


def extension(name: str) -> ModuleType:
    """An extension of the documentation; it needs docutils, no Sphinx."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def systems() -> ModuleType:
    """The extension that collects the papers."""
    return extension("systems")


def test_every_row_of_a_paper_names_what_exists() -> None:
    """A registered study, which the command runs, and a module; the page has all of them."""
    extension = systems()
    rows = extension.read_rows(DOCS / "systems")
    assert {"2501.01999", "2210.02984", "2207.07065"} <= {row["arxiv"] for row in rows}
    assert len({row["arxiv"] for row in rows}) == len(rows) == len(list((DOCS / "systems").iterdir()))
    shown = "\n".join(extension.page(rows))
    for row in rows:
        assert row["study"] in DESIGNS, row["title"]
        assert f"rapidash study {row['study']}" in row["command"], row["title"]
        assert importlib.util.find_spec(row["module"]) is not None, row["title"]
        assert float(row["minutes"]) > 0, row["title"]
        for name in ("title", "arxiv", "module", "command", "claimed", "measured", "source", "differs"):
            assert " ".join(row[name].split())[:60] in " ".join(shown.split()), (row["title"], name)
    assert ".. systems:: systems\n" in (DOCS / "systems.rst").read_text(encoding="utf-8")


def test_numbers_of_a_row_stand_in_the_published_tables_that_it_names() -> None:
    row = {row["study"]: row for row in systems().read_rows(DOCS / "systems")}["nbody"]
    pages = [DOCS / f"{name}.rst" for name in re.findall(r":doc:`(results/\w+)`", row["source"])]
    included = [
        page.parent / name for page in pages for name in re.findall(r"include:: (\w+_table\.rst)", page.read_text())
    ]
    tables = " ".join(table.read_text(encoding="utf-8") for table in included)
    printed = set(re.findall(r"(?<![\d.])\d+\.\d+", tables))
    numbers = re.findall(r"(?<![\d.])\d+\.\d+", row["measured"])
    assert len(numbers) == 15
    assert set(numbers) <= printed


def test_a_row_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    extension = systems()
    text = (DOCS / "systems" / "rapidash.toml").read_text(encoding="utf-8")
    for wrong, message in (
        (text.replace("minutes = ", "minuts = "), r"a\.toml must have .*\['minutes'\] are missing, \['minuts'\]"),
        (
            text.replace("2501.01999", "arXiv 2501"),
            "a.toml: arxiv must be a number such as 2501.01999, got 'arXiv 2501'",
        ),
        (text.replace('"nbody"', '" "'), r"a\.toml: \['study'\] must be texts that are not empty"),
        (re.sub('minutes = "(.*)"', r"minutes = \1", text), r"a\.toml: \['minutes'\] must be texts"),
        (text + "=", "a.toml is not TOML"),
    ):
        (tmp_path / "a.toml").write_text(wrong, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            extension.read_rows(tmp_path)


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    """As ``make docs``, but for running the examples, which have their own test."""
    for module in ("sphinx_gallery", "pydata_sphinx_theme", "latex2mathml"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install --group docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-D", "sphinx_gallery_conf.plot_gallery=0"]
    built = subprocess.run([*command, "-b", "html", str(DOCS), str(tmp_path / "html")], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "html" / "api" / "generated" / "rapidash.models.html").read_text(encoding="utf-8")
    assert 'class="sig-name descname"' in page
    assert all(word in page for word in ("Rapidash", "num_orientations", "exact_symmetry"))


def test_the_tables_of_a_folder_with_what_they_cost(tmp_path: Path) -> None:
    """2 threads for 90 minutes are 3 core-hours, and 36 s are a hundredth of one."""
    entry = ":Command: ``rapidash study {name}``\n:Seeds: {seeds}\n:Cost: {cost}, threads of each: {threads}\n"
    (tmp_path / "b.rst").write_text("B\n=\n\n.. include:: two_table.rst\n")
    (tmp_path / "a.rst").write_text("A\n=\n\n.. include:: one_table.rst\n")
    one = entry.format(name="one", seeds="0, 1, 2", cost="6 runs, 90.0 min of run time in all", threads=2)
    (tmp_path / "one_table.rst").write_text(one)
    two = entry.format(name="two --full", seeds="4", cost="1 run, 36 s of run time in all", threads=1)
    (tmp_path / "two_table.rst").write_text(two)
    reproduction = extension("reproduction")
    found = reproduction.read_tables(tmp_path)
    assert [tuple(table)[:4] for table in found] == [
        ("a", "rapidash study one", 3, 6),
        ("b", "rapidash study two --full", 1, 1),
    ]
    assert [table.core_hours for table in found] == pytest.approx([3.0, 0.01])
    lines = list(reproduction.table("results", found))
    assert "   * - :doc:`a </results/a>`" in lines
    assert lines[-5:] == ["   * - all", "     - ", "     - ", "     - 7", "     - 3.0"]
    (tmp_path / "two_table.rst").write_text(two.replace("each: 1", "each: 1, 2"))
    with pytest.raises(ValueError, match=r"two_table\.rst: expected .* with one number of threads"):
        reproduction.read_tables(tmp_path)
    (tmp_path / "two_table.rst").write_text(two)
    (tmp_path / "b.rst").write_text("nothing")
    with pytest.raises(ValueError, match=r"two_table\.rst is included by no page"):
        reproduction.read_tables(tmp_path)
    (tmp_path / "two_table.rst").unlink()
    (tmp_path / "one_table.rst").write_text(one.replace(":Seeds", ":Seed"))
    with pytest.raises(ValueError, match=r"one_table\.rst: expected the entries Command, Seeds and Cost"):
        reproduction.read_tables(tmp_path)


def test_every_published_table_can_be_made_again() -> None:
    """By a command of a study that exists, on a page of the table of contents."""
    found = extension("reproduction").read_tables(DOCS / "results")
    assert len(found) == len(list((DOCS / "results").glob("*_table.rst")))
    contents = (DOCS / "results" / "index.rst").read_text(encoding="utf-8")
    for table in found:
        assert f"   {table.page}\n" in contents
        words = table.command.split()
        assert words[:2] == ["rapidash", "study"]
        assert words[2] == "--config" or words[2] in DESIGNS, table.command
        assert 0 < table.core_hours < 4, table.page
    assert ".. reproduction:: results\n" in (DOCS / "reproduce.rst").read_text(encoding="utf-8")
