"""What a route is: one method of one address, as requests are matched with it and documented."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Final

from msgspec import Struct

from api.query import PAGE_DEFAULT, PAGE_MAX


class Access(Enum):
    """Who may use a route."""

    OPEN = "no authentication"
    SERVER = "the merchant's server"
    BROWSER = "the merchant's server, or a browser with the intent's client secret"


class Parameter(Struct, frozen=True):
    """A query parameter, for the document.

    Attributes:
        name: as it stands in the query. An `object` stands as `name[member]=value`, the items of
            an `array` with commas between.
        type: of JSON schema.
        description: a sentence.
        limits: what else its schema says.
        required: whether the route insists on it.
    """

    name: str
    type: str
    description: str
    limits: Mapping[str, Any] = {}
    required: bool = False


def id_schema(prefix: str) -> dict[str, Any]:
    """What the schema of an id says beside its type."""
    return {"pattern": f"^{prefix}_[0-9A-Za-z]{{22}}$"}


def items_of(values: Collection[str]) -> dict[str, Any]:
    """What the schema of an `array` of such values says beside its type."""
    return {"items": {"type": "string", "enum": list(values)}, "minItems": 1}


LIMIT: Final = Parameter(
    "limit",
    "integer",
    f"On the page, 1 to {PAGE_MAX}; {PAGE_DEFAULT} unless given.",
    {"minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
)


class Route(Struct, frozen=True, kw_only=True):
    """One method of one address.

    Attributes:
        name: the operation's name, also the label in metrics.
        method: GET implies HEAD.
        path: with at most one `{parameter}`.
        answers: status and possible types of what is no problem; none for a page.
        problems: codes beyond those that every route of its access has.
    """

    name: str
    method: str
    path: str
    access: Access
    summary: str
    answers: dict[int, tuple[Any, ...]]
    body: Any = None
    query: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    media_type: str = "text/html"  # of what is a page or a file, and no JSON
