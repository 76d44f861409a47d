"""Bad files of a user's own: each a clear error or a stated rule; streams of clouds; what is said of trajectories."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rapidash.cli import main
from rapidash.datasets import DataError, FileCloud
from rapidash.tasks import _own_reading as reading
from rapidash.tasks import get_task, own_data_options
from rapidash.tasks._own_reading import Wanted, read_own


def write_xyz(
    path: Path, num: int = 12, *, head: str = "energy={i}.5 mol=m{mol}", symbols: str = "OHH", cell: str = ""
) -> Path:
    rng, lines = np.random.default_rng(0), list[str]()
    lattice = f'Lattice="{cell}" pbc="T T T" ' if cell else ""
    for index in range(num):
        lines += [str(len(symbols)), f"{lattice}Properties=species:S:1:pos:R:3 {head.format(i=index, mol=index // 4)}"]
        lines += [
            f"{symbol} {x:.4f} {y:.4f} {z:.4f}"
            for symbol, (x, y, z) in zip(symbols, rng.normal(size=(len(symbols), 3)))
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_table(path: Path, num: int = 12) -> Path:
    rng = np.random.default_rng(1)
    rows = [
        f"c{cloud},{x:.3f},{y:.3f},{z:.3f},{cloud / 7:.4f}"
        for cloud in range(num)
        for x, y, z in rng.normal(size=(4, 3))
    ]
    path.write_text("\n".join(["cloud,x,y,z,energy", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    pytest.importorskip("ase", reason="files of atoms are read by ASE")
    gaps = write_xyz(tmp_path / "gaps.xyz")
    gaps.write_text(gaps.read_text().replace("energy=3.5", "energy=nan").replace("energy=7.5 ", ""))
    return {
        "good": write_xyz(tmp_path / "good.xyz"),
        "table": write_table(tmp_path / "t.csv"),
        "gaps": gaps,
        "same": write_xyz(tmp_path / "same.xyz", head="energy=2.5"),
        "rare": write_xyz(tmp_path / "rare.xyz", head="kind=k{mol} other=x{i}"),
        "one group": write_xyz(tmp_path / "g.xyz", head="energy={i}.5 mol=ethanol"),
        "two groups": write_xyz(tmp_path / "h.xyz", 8, head="energy={i}.5 mol=m{mol}"),
        "flat": write_xyz(tmp_path / "flat.xyz", cell="4 0 0 0 4 0 4 4 0"),
        "no cell": write_xyz(tmp_path / "zero.xyz", cell="4 0 0 0 4 0 0 0 0"),
        "nameless": write_xyz(tmp_path / "x.xyz", symbols="OXH"),
        "unknown": write_xyz(tmp_path / "q.xyz", symbols=("O", "Qq", "H")),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize(
    ("names", "target", "split", "message"),
    [
        (["good", "table"], "energy", "seed", r"mixed.*good\.xyz, frame 0 has elements and .*cloud c0 has none"),
        (["table", "good"], "size", "seed", r"mixed kinds of files: .*good\.xyz, frame 0 has elements and .*t\.csv"),
        (["gaps"], "energy", "seed", r"'energy': missing in 2 of 12 clouds, the first: .*frame 3: 'energy' is empty"),
        (["same"], "energy", "seed", r"target 'energy' is the same everywhere, 2\.5: there is nothing to learn"),
        (["rare"], "other", "seed", r"the class 'x0' has fewer than 3 clouds, .* each; 12 such"),
        (["one group"], "energy", "group:mol", r"split by group:mol: it has 1 value \(ethanol\), three parts need"),
        (["two groups", "two groups"], "energy", "group:mol", r"it has 2 values \(m0, m1\), three parts"),
        (["good"], "energy", "group:molecule", r"no cloud has 'molecule': the files have (mol, energy|energy, mol)"),
        (["flat"], "energy", "seed", r"flat\.xyz, frame 0: its cell has no volume along its periodic vectors: \["),
        (["no cell"], "energy", "seed", r"zero\.xyz, frame 0: its cell has no volume along its periodic vectors"),
        (["nameless"], "energy", "seed", r"x\.xyz, frame 0: atom 1 has no name: its element is missing, or X"),
        (["unknown"], "energy", "seed", r"q\.xyz, frame 0: ASE cannot read it: unknown element 'Qq'"),
    ],
    ids=lambda value: value if isinstance(value, str) else " and ".join(value),
)  # fmt: skip
def test_what_is_wrong_is_said(files: dict[str, Path], names: list[str], target: str, split: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        own_data_options([files[name] for name in names], target, split=split)


def test_clouds_with_gaps_are_left_out_if_asked_for(files: dict[str, Path]) -> None:
    options, said = own_data_options([files["gaps"]], "energy", on_error="skip")
    targets = get_task("own-data", **options).clouds().targets[0]
    assert [float(value) for value in targets] == [i + 0.5 for i in range(12) if i not in (3, 7)]
    assert said[-1].startswith("left out: 2 clouds; the first:")


def test_frames_of_one_molecule_are_said_to_leak_by_seed(files: dict[str, Path]) -> None:
    """One composition determines the sum of its offsets alone; frames of a trajectory are to be split in time."""
    _, said = own_data_options([files["good"]], "energy")
    assert any("the clouds determine 1 of these 2" in line for line in said)
    assert any("all clouds have the same atoms: if they are frames of one trajectory" in line for line in said)
    _, said = own_data_options([files["good"]], "energy", split="time")
    assert not any("the same atoms" in line for line in said)


def test_a_table_without_a_column_of_clouds_says_so(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    table = files["table"].with_name("u.csv")
    table.write_text(files["table"].read_text().replace("cloud,", "piece no,"))
    assert main(["train", str(table), "--target", "energy"]) == 1
    assert (
        "a table without --cloud COLUMN is one cloud, and this one has the columns piece no" in capsys.readouterr().err
    )
    options, _ = own_data_options([table], "energy", column="piece no")
    assert options["kind"] == "number"


def test_one_labeled_scan_is_too_few(tmp_path: Path) -> None:
    np.savez(tmp_path / "scan.npz", pos=np.random.default_rng(0).normal(size=(9, 3)), label=np.arange(9) % 3)
    with pytest.raises(DataError, match=r"at least 3 clouds, .* got 1; cut one large scan into several, a file each"):
        own_data_options([tmp_path / "scan.npz"], "label")


class Streamed:
    """Clouds that are made as they are asked for, and how many of their arrays are alive at once."""

    def __init__(self, num: int, num_points: int) -> None:
        self.num, self.num_points, self.alive, self.most = num, num_points, 0, 0

    def _gone(self) -> None:
        self.alive -= 1

    def __call__(self, path: Path, *, column: str | None = None) -> Iterator[tuple[str, Any]]:
        rng = np.random.default_rng(0)
        for index in range(self.num):
            pos = rng.normal(size=(self.num_points, 3))
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(pos, self._gone)
            cloud = FileCloud(f"cloud {index}", {"pos": pos}, values={"size": float(index)})
            yield cloud.name, cloud
            del pos, cloud


def test_clouds_are_read_one_at_a_time_and_few_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 clouds of 5,000 points two are alive at once; 64 or fewer of 256 points are kept, every 16th here."""
    source, seen = Streamed(1000, 5000), list[int]()
    monkeypatch.setattr(reading, "read_valued_clouds", source)
    path = tmp_path / "huge.csv"
    path.write_text("stands for gigabytes")
    gc.collect()
    clouds = read_own(Wanted((str(path),), ("size",), max_clouds=64), seen.append)
    assert source.most <= 3
    assert (clouds.seen, sum(seen)) == (1000, 1000)
    assert [float(value) for value in clouds.targets[0]] == [16.0 * index for index in range(63)]
    assert {len(pos) for pos in clouds.pos} == {256}
    assert all(pos.untyped_storage().nbytes() == 256 * 3 * 8 for pos in clouds.pos)  # copies, not views of the file's
    assert read_own(Wanted((str(path),), ("size",), max_clouds=64)) is clouds  # once


def test_many_points_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "read_valued_clouds", Streamed(100, 50))
    monkeypatch.setattr(reading, "MOST_POINTS", 1000)
    path = tmp_path / "huge.csv"
    path.write_text("stands for gigabytes of molecules")
    clouds = read_own(Wanted((str(path),), ("size",)))
    assert [float(value) for value in clouds.targets[0]] == [8.0 * index for index in range(13)]  # 13 * 50 <= 1000


def test_files_are_read_once_for_a_name_of_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options are told from REF_energy, found by its end, and the task of the options reads nothing again."""
    reads = list[Path]()

    def once(path: Path, *, column: str | None = None) -> Iterator[tuple[str, Any]]:
        reads.append(path)
        for name, cloud in Streamed(20, 5)(path):
            yield name, FileCloud(name, cloud.arrays, values={"REF_size": cloud.values["size"] / 7})

    monkeypatch.setattr(reading, "read_valued_clouds", once)
    path = tmp_path / "a.csv"
    path.write_text("twenty clouds")
    options, _ = own_data_options([path], "size")
    get_task("own-data", **options).dataset("train")
    assert (options["target"], len(reads)) == ("REF_size", 1)
