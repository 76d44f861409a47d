from pathlib import Path

import pytest

from rapidash.datasets._locate import locate


def find(layouts: tuple[str, ...], data_dir: Path | None = None) -> tuple[int, Path]:
    return locate(layouts, dataset="toys", obtain="Get them from the toy shop.", data_dir=data_dir)


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
