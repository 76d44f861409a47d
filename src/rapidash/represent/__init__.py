"""Representations that keep some changes of their input and forget others."""
