"""SQL lives in .sql files; Python calls each query by its name.

A file holds any number of queries. Each begins with a line `-- name: some_name`; comment lines
that follow directly are its description, the rest up to the next name is its text. A query is one
statement: it is sent in the extended protocol, which takes no more.

    -- name: intents_by_id
    -- Read the hot columns of a batch of intents; $1 uuid[].
    SELECT id, status FROM payment_intents WHERE id = ANY ($1::uuid[])

A query's name is also the name of the statement prepared on each connection, so names are unique
over all files of one load.
"""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import attrs

from ledger.errors import QueryFileError

NAME_CHARACTERS_MAX = 63  # NAMEDATALEN - 1: Postgres would cut a longer statement name

_NAME_LINE = re.compile(r"--\s*name:\s*(?P<name>.*?)\s*$")
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


@attrs.frozen(eq=False)
class Query:
    """One named statement.

    Compared and hashed by identity: a connection remembers which of these it has prepared.

    Attributes:
        name: Unique among the queries used on one connection.
        sql: The statement, parameters written $1, $2, ….
        description: What it does and what its parameters are.
    """

    name: str
    sql: str
    description: str = ""
    statement: bytes = attrs.field(init=False, repr=False)
    sql_bytes: bytes = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not _NAME.match(self.name) or len(self.name) > NAME_CHARACTERS_MAX:
            raise QueryFileError(f"{self.name!r} is not a query name (snake_case, at most 63)")
        object.__setattr__(self, "statement", self.name.encode())
        object.__setattr__(self, "sql_bytes", self.sql.encode())


def load_queries(package_resource: str | Traversable) -> dict[str, Query]:
    """Read every .sql file directly in a folder.

    Args:
        package_resource: A package or folder inside one, dotted (`ledger.sql.queries`), or any
            `Traversable` folder such as a `pathlib.Path`.

    Raises:
        QueryFileError: For text before the first name, a bad or repeated name, an empty query.
    """
    folder = _folder(package_resource) if isinstance(package_resource, str) else package_resource
    queries: dict[str, Query] = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        for query in parse_queries(entry.read_text("utf-8"), file_name=entry.name):
            if query.name in queries:
                raise QueryFileError(f"{entry.name}: the name {query.name} is taken already")
            queries[query.name] = query
    return queries


def parse_queries(text: str, *, file_name: str) -> list[Query]:
    """Split the text of one file into its queries; `file_name` serves the errors."""
    queries: list[Query] = []
    name = ""
    block: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _NAME_LINE.match(line)
        if match is None:
            if not name and line.strip() and not line.startswith("--"):
                raise QueryFileError(f"{file_name}:{number}: text before the first '-- name:'")
            block.append(line)
            continue
        if name:
            queries.append(_query(name, block, file_name))
        name, block = match["name"], []
        if not _NAME.match(name):
            raise QueryFileError(f"{file_name}:{number}: {name!r} is not a query name")
    if name:
        queries.append(_query(name, block, file_name))
    return queries


def _query(name: str, block: list[str], file_name: str) -> Query:
    description: list[str] = []
    rest = list(block)
    while rest and rest[0].startswith("--"):
        description.append(rest.pop(0).removeprefix("--").strip())
    sql = "\n".join(rest).strip().removesuffix(";").rstrip()
    if not sql:
        raise QueryFileError(f"{file_name}: query {name} is empty")
    return Query(name, sql, " ".join(description))


def _folder(dotted: str) -> Traversable:
    package, *inner = dotted.split(".")
    folder = files(package)
    for part in inner:
        folder = folder / part
    return folder
