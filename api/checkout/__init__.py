"""The hosted card fields: the loader of merchants' pages, and the document that it mounts."""
