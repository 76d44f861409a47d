"""The version, in one place: `pyproject.toml` reads it here, and so does all that names it."""

__version__ = "0.1.0"
