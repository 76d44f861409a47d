"""Where `tests/conftest.py` puts this folder on the path: processes that the tests start check shapes too."""

import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any


class _BeforeThePackage(MetaPathFinder):
    """Starts the checks when the package is first imported: what does not use it is not slowed down."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "rapidash":
            sys.meta_path.remove(self)
            sys.path.append(str(Path(__file__).resolve().parents[2]))
            from tests._checked_shapes import check_shapes

            check_shapes()


if os.environ.get("RAPIDASH_CHECK_SHAPES"):
    sys.meta_path.insert(0, _BeforeThePackage())
