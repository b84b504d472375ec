"""What a route is: one method of one address, as requests are matched with it and documented."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct


class Access(Enum):
    """Who may use a route."""

    OPEN = "no authentication"
    SERVER = "the merchant's server"
    BROWSER = "the merchant's server, or a browser with the intent's client secret"


class Parameter(Struct, frozen=True):
    """A query parameter, for the document."""

    name: str
    type: str  # of JSON schema
    description: str


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
