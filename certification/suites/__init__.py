"""The cases, one module a chapter of the catalog, one function an id."""
