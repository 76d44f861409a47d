"""Docstrings of the package say who does what: none begins with "What"."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "rapidash"


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring of a file, of modules, classes, functions and attributes, however deep.

    Each is a string that stands as a statement by itself: first in its block, or after the assignment of an attribute.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def begins_with_what(text: str) -> list[int]:
    """The lines of the docstrings that begin with the word."""
    return sorted(line for line, docstring in docstrings(text) if docstring.split()[:1] == ["What"])


def test_no_docstring_begins_with_what() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    assert sum(len(list(docstrings(text))) for text in texts.values()) > 1000, "the search finds too few docstrings"
    found = [f"{path.relative_to(SOURCE)}:{line}" for path, text in texts.items() for line in begins_with_what(text)]
    assert not found, "these docstrings begin with What: say who does what, or name the thing\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"""What a module is."""', 1),
        ('import os\n\n\nclass A:\n    r"""What a class is."""', 5),
        ('class A:\n    def f(self):\n        """\n        What a method does."""', 3),
        ('async def f():\n    """What  a coroutine does."""', 2),
        ('def f():\n    if True:\n        pass\n    else:\n        def g():\n            """What g does."""', 6),
        ('x = 1\n"""What x is."""', 2),
        ("class A:\n    x: int = 1\n    'What x is.'", 3),
    ],
)
def test_a_planted_docstring_is_found(text: str, line: int) -> None:
    assert begins_with_what(text) == [line]


def test_other_strings_and_words_are_accepted() -> None:
    assert not begins_with_what('"""Say what a thing is."""\nx = "What else"\n\n\ndef f():\n    """Whatever comes."""')
