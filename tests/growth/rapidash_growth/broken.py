"""A module that cannot be imported, as that of a package whose needs are not installed."""

import a_package_that_is_not_installed  # noqa: F401
