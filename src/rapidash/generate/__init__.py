"""Generating clouds and molecules: denoisers, samplers, and the figures by which samples are judged."""

__all__: list[str] = []
