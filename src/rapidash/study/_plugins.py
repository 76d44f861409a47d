"""Tasks and studies of others: modules named in an environment variable, imported in every process of a study."""

import os
from importlib import import_module

PLUGINS = "RAPIDASH_PLUGINS"


def load_plugins() -> None:
    """Import the modules that ``RAPIDASH_PLUGINS`` names (comma-separated).

    A plugin registers what it adds in `rapidash.registry` when it is imported; an installed package does so by entry
    points, without this variable.
    Raises: ValueError for a module that cannot be imported, naming it.
    """
    for name in filter(None, (entry.strip() for entry in os.environ.get(PLUGINS, "").split(","))):
        try:
            import_module(name)
        except ImportError as error:
            raise ValueError(f"{PLUGINS} names {name!r}, which cannot be imported: {error}") from error
