from pathlib import Path

import pytest
import torch

from rapidash.datasets._locate import beside, locate
from tests.datasets.test_damaged_files import LAYOUTS

IN_UPPER_CASE = (
    "cmu npz",
    "cmu pickle",
    "cmu asf amc",
    "md17",
    "md collection",
    "qm7 npz",
    "qm9 xyz",
    "qm9 sdf",
    "qm9 dimenet",
    "modelnet40 off",
    "mnist gz",
)


def find(layouts: tuple[str, ...], data_dir: Path | None = None, not_in: tuple[str, ...] = ()) -> tuple[int, Path]:
    return locate(layouts, dataset="toys", obtain="Get them from the toy shop.", data_dir=data_dir, not_in=not_in)


def test_the_best_layout_is_found_in_the_folder_or_two_levels_below(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "second.txt").touch()
    assert find(("first.txt", "second.txt"), tmp_path) == (1, deep / "second.txt")
    (tmp_path / "first.txt").touch()
    assert find(("first.txt", "second.txt"), tmp_path) == (0, tmp_path / "first.txt")
    assert find(("x.npz", "fir*.txt"), tmp_path / "first.txt") == (1, tmp_path / "first.txt")
    (deep / "c").mkdir()
    (deep / "c" / "third.txt").touch()
    with pytest.raises(FileNotFoundError):
        find(("third.txt",), tmp_path)


def test_the_environment_names_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.txt").touch()
    monkeypatch.setenv("RAPIDASH_DATA", f"{tmp_path / 'no'}:{tmp_path}")
    assert find(("there.txt",)) == (0, tmp_path / "there.txt")


def test_the_error_says_what_was_looked_for_where_and_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"no toys: looked for 'a\.npz' or 'b/\*' in .*subfolders.*toy shop"):
        find(("a.npz", "b/*"), tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find(("a.npz",), tmp_path / "nowhere")
    monkeypatch.delenv("RAPIDASH_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"--data DIR.*RAPIDASH_DATA.*toy shop"):
        find(("a.npz",))


def test_names_fit_in_upper_and_lower_case_the_exact_one_first(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "TOYS.Txt").touch()
    assert find(("a/toys.*",), tmp_path) == find(("toys.txt",), tmp_path / "A") == (0, tmp_path / "A" / "TOYS.Txt")
    assert find(("toys.txt",), tmp_path / "A" / "TOYS.Txt") == (0, tmp_path / "A" / "TOYS.Txt")
    (tmp_path / "A" / "toys.txt").touch()
    assert find(("toys.txt",), tmp_path) == (0, tmp_path / "A" / "toys.txt")
    assert beside(tmp_path / "A" / "b", "Toys.TXT").name == "TOYS.Txt"
    assert beside(tmp_path / "A" / "b", "none.txt") == tmp_path / "A" / "none.txt"


def test_folders_are_not_taken_for_files(tmp_path: Path) -> None:
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toys").touch()
    assert find(("toys",), tmp_path) == (0, tmp_path / "toys" / "toys")


def test_folders_of_other_data_are_passed_over_unless_searched_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "Dolls"
    folder.mkdir()
    (folder / "toys").touch()
    with pytest.raises(FileNotFoundError):
        find(("toys",), tmp_path, ("doll*",))
    assert find(("toys",), folder, ("doll*",)) == (0, folder / "toys")


@pytest.mark.parametrize("name", IN_UPPER_CASE)
def test_extensions_in_upper_case_give_the_same_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPIDASH_CACHE", str(tmp_path / "cache"))
    folder, layout = tmp_path / "data", LAYOUTS[name]
    folder.mkdir()
    layout.write(folder)
    expected = layout.read(folder)
    for file in [path for path in folder.rglob("*.*") if path.is_file()]:
        stem, extension = file.name.split(".", 1)
        file.rename(file.with_name(f"{stem}.{extension.upper()}"))
    data = layout.read(folder)
    assert all(torch.equal(data.tensors[name], tensor) for name, tensor in expected.tensors.items())
