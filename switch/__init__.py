"""Moves the money: codec, links, pipeline."""
