"""The page for people says what the OpenAPI document says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from api import openapi
from api.declines import DECLINES
from api.errors import CATALOG
from api.reference import reference_page

DOCUMENT = openapi.document()
PAGE = reference_page(DOCUMENT)


class _Reader(HTMLParser):
    """Gathers the text, the anchors and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.anchors: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what can be reached, and what is pointed at."""
        for name, value in attrs:
            if name == "id":
                self.anchors.append(value or "")
            if tag == "a" and name == "href":
                self.links.append(value or "")
        self.text += " "

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


@pytest.fixture(scope="module")
def read() -> _Reader:
    """The page as a browser takes it in."""
    reader = _Reader()
    reader.feed(PAGE)
    reader.close()
    return reader


def test_every_route_parameter_and_member_stands_there(read: _Reader) -> None:
    """Nobody has to read JSON to use the API."""
    names = {
        parameter["name"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
        for parameter in operation["parameters"]
    }
    names |= {
        member
        for schema in DOCUMENT["components"]["schemas"].values()
        for member in schema["properties"]
    }
    names |= set(DOCUMENT["paths"])
    assert [name for name in names if name not in read.text] == []


def test_every_link_leads_somewhere(read: _Reader) -> None:
    """To an anchor of the page, an error's page, or the document."""
    assert len(set(read.anchors)) == len(read.anchors)
    for link in set(read.links):
        if link.startswith("#"):
            assert link[1:] in read.anchors
        elif link.startswith("/docs/declines/"):
            assert link.removeprefix("/docs/declines/") in DECLINES
        elif link.startswith("/docs/errors/"):
            assert link.removeprefix("/docs/errors/") in CATALOG
        else:
            assert link == "/openapi.json"


@pytest.mark.parametrize(
    "words",
    [
        "amountInCents integer 1 to 999999999999",
        "description string or null, optional 1 to 500 characters",
        "metadata object of strings or null, optional 0 to 50 members",
        "status string created, processing,",
        "latestTransaction Transaction or null",
        "createdAt date-time",
        "data list of TimelineEvent",
        "limit query, integer On the page, 1 to 100; 20 unless given. 1 to 100",
        "Idempotency-Key header, string, required",
        "With a signature or a client secret.",
        "Open to everybody.",
        "202 Accepted: not final yet: Transaction",
        "status query, list of string Only these statuses, separated by commas. created,",
        "amountMin query, integer Only intents over this amount or more. 1 to 999999999999",
        "X-Signature sha256= and the HMAC",
        "webhook-id header, string, required",
        '201 created { "id": "pi_',
        '"type": "refund", "amountInCents": 500',
    ],
)
def test_it_reads_well(read: _Reader, words: str) -> None:
    """Types, limits and who may ask, in words."""
    assert words in re.sub(r"\s+", " ", read.text).replace(" ,", ",")


def test_nothing_is_fetched_or_run() -> None:
    """The page needs no script and nothing from elsewhere, as its policy says."""
    assert not re.search(r"<(script|img|link|iframe)|(src|href)=.?https?:|url\(", PAGE)
