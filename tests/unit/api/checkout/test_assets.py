"""What browsers load is what the inventory describes."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from api.checkout.assets import accepts_gzip, integrity_of, load_assets

ASSETS = load_assets()
STATIC = Path(__file__).parents[4] / "api" / "checkout" / "static"
WIRE_BYTES_MAX = 20_000  # the loader, the document and its script, each gzipped


def test_every_script_has_an_address_of_its_own_hash() -> None:
    """Reachable by the last part of it, as it is and packed."""
    for script in (ASSETS.loader, ASSETS.script):
        asset = ASSETS.by_name[script.url.rpartition("/")[2]]
        assert integrity_of(asset.text) == script.integrity
        assert gzip.decompress(asset.packed) == asset.text
        assert script.reason
    assert {script["name"] for script in ASSETS.script.contains} == {"@hpke/core", "@hpke/common"}
    assert ASSETS.loader.contains == []


def test_every_loader_that_was_published_is_still_there() -> None:
    """Pages may pin any of them."""
    assert {path.name for path in (STATIC / "loaders").iterdir()} <= ASSETS.by_name.keys()


def test_the_licenses_of_what_is_inside_are_delivered_too() -> None:
    """As the MIT license asks."""
    text = (STATIC / "third-party.txt").read_text()
    for part in ASSETS.script.contains:
        assert f"{part['name']} {part['version']}" in text
        assert part["license"] == "MIT"


def test_the_fields_are_small() -> None:
    """Loader, script and document in the longest language, gzipped each."""
    texts = (STATIC / "texts").iterdir()
    documents = [
        len(gzip.compress((ASSETS.document + ASSETS.style + text.read_text()).encode()))
        for text in texts
    ]
    total = ASSETS.loader.gzip_bytes + ASSETS.script.gzip_bytes + max(documents)
    assert total <= WIRE_BYTES_MAX


def test_every_language_says_everything() -> None:
    """The same keys everywhere; the loader knows the same languages."""
    keys = {language: texts.keys() for language, texts in ASSETS.texts.items()}
    assert set(map(frozenset, keys.values())) == {frozenset(keys["en"])}
    assert {texts["direction"] for texts in ASSETS.texts.values()} == {"ltr", "rtl"}
    loader = ASSETS.by_name[ASSETS.loader.url.rpartition("/")[2]].text.decode()
    listed = re.search(r'\["en"[^\]]*\]', loader)
    assert listed is not None
    assert set(re.findall(r"[a-z]{2}", listed[0])) == keys.keys()


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (b"gzip", True),
        (b"br, gzip;q=0.5", True),
        (b"deflate, GZIP", True),
        (b"gzip;q=1", True),
        (b"", False),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.0", False),
        (b"x-gzip", False),
    ],
)
def test_only_who_asks_for_it_gets_gzip(value: bytes, accepted: bool) -> None:  # noqa: FBT001
    """RFC 9110, 12.5.3; a weight of nothing is a refusal."""
    assert accepts_gzip({b"accept-encoding": value}) is accepted
    assert accepts_gzip({}) is False
