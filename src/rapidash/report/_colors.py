"""The colors of the variants on white: those of the page, of its figures as files, and of the picture for a README."""

from typing import Final

COLORS: Final = ("#1f5fbf", "#b3410e", "#17734a", "#7b3fc4", "#a8236d", "#6b6000", "#0b6f82", "#5c5f66")
