"""The archive: sealed segments as Parquet, in a folder or an object store, proved from there alone.

docs/archive.md has the layout for those who read the objects with something else.
"""
