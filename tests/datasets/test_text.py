import io
from pathlib import Path

import pytest

from rapidash.datasets._reading import DataError
from rapidash.datasets._text import lines_of, split_lines, text_lines


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_lines_end_where_the_file_says_and_nowhere_else(tmp_path: Path, end: str, encoding: str) -> None:
    # The last byte of \u0445 is 0x85, of \u5143 0x83; \u2028, \u0085, \x0b, \x0c and \x1c end lines of str.splitlines.
    lines = ["# \u0445 \u5143\u7d20 \u00c5", "a\u2028b\u0085c", "d\x0be\x0cf\x1cg\x1dh\x1e", "", " i "]
    path = tmp_path / "a.txt"
    path.write_bytes(end.join(lines).encode(encoding))
    assert list(text_lines(path)) == lines
    path.write_bytes((end.join(lines) + end).encode(encoding))
    assert list(text_lines(path)) == lines
    assert split_lines(end.join(lines)) == split_lines(end.join(lines) + end) == lines
    assert split_lines("") == list(lines_of(io.BytesIO(b""), "a")) == []
    assert split_lines(end) == list(lines_of(io.BytesIO(end.encode()), "a")) == [""]


def test_text_that_is_no_utf8_is_latin1() -> None:
    assert list(lines_of(io.BytesIO(b"5 \xc5\n\xc3\x85 \xff\x85\n"), "a")) == ["5 \u00c5", "\u00c3\u0085 \u00ff\u0085"]


def test_lines_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "giant.txt"
    with path.open("wb") as file:
        file.write(b"first\nsecond\n")
        file.truncate(1 << 36)  # sparse: it needs no room on the disk
    lines = text_lines(path)
    assert [next(lines), next(lines)] == ["first", "second"]
    with pytest.raises(DataError, match=r"giant\.txt, line 3 has more than 4194304 characters: it is no text file"):
        next(lines)


def test_the_longest_line_is_read() -> None:
    for end in (b"", b"\n", b"\r\n"):
        assert list(lines_of(io.BytesIO(b"a" * 8 + end), "a", longest=8)) == ["a" * 8]
        with pytest.raises(DataError, match="line 1 has more than 8 characters"):
            list(lines_of(io.BytesIO(b"a" * 9 + end), "a", longest=8))


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("OFF\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"a\.txt is text in UTF-16: save it as UTF-8"):
        list(text_lines(tmp_path / "a.txt"))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.txt is missing"):
        next(text_lines(tmp_path / "a.txt"))
    with pytest.raises(DataError, match="cannot be read"):
        next(text_lines(tmp_path))
