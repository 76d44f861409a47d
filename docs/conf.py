"""Sphinx settings. The API pages come from the docstrings, the gallery from running `examples/`."""

import os
import sys
from pathlib import Path

from rapidash import __version__

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the examples are small
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "rapidash"
author = "The rapidash developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "claims",
    "deprecations",
    "docstring_sections",  # before napoleon: our one-line sections
    "sphinx.ext.napoleon",
    "offline_math",
    "reproduction",
    "systems",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
default_role = "py:obj"
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "results/*_table.rst",
    "auto_examples/*.ipynb",
    "auto_examples/*.py",
    "kernel_evidence.rst",
]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = ["Shape", "Symmetry", "Source", "Fields"]
python_use_unqualified_type_names = True

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "rapidash"
html_static_path = ["_static"]
html_css_files = ["columns.css"]
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}
suppress_warnings = ["config.cache"]  # the settings of the gallery cannot be pickled
