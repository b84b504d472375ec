"""The hosted document: one form, no text that could become markup."""

from __future__ import annotations

import html
import json
import re

import pytest

from api.checkout.assets import load_assets
from api.checkout.document import HostedDocument

ASSETS = load_assets()


def write(locale: str = "en", origins: tuple[str, ...] = ("https://shop.example",)) -> str:
    """A document."""
    return HostedDocument(ASSETS).write(
        publishable_key="pk_test_docs", locale=locale, origins=origins, nonce="bm9uY2U="
    )


def attribute(name: str, text: str) -> str:
    """The value of an attribute of the root."""
    found = re.search(rf'<html[^>]* {name}="([^"]*)"', text)
    assert found is not None
    return html.unescape(found[1])


@pytest.mark.parametrize(("locale", "direction"), [("en", "ltr"), ("de", "ltr"), ("ar", "rtl")])
def test_a_document_is_of_its_language(locale: str, direction: str) -> None:
    """With all that it says, and the direction in which it is read."""
    text = write(locale)
    assert (attribute("lang", text), attribute("dir", text)) == (locale, direction)
    texts = json.loads(attribute("data-texts", text))
    assert texts["number"] == ASSETS.texts[locale]["number"]
    assert "$" not in text


@pytest.mark.parametrize("locale", ["fr", "", "../en", '"><script>', "EN"])
def test_an_unknown_language_is_english(locale: str) -> None:
    """And nothing of what was asked for is in it."""
    text = write(locale)
    assert attribute("lang", text) == "en"
    assert text == write("en")


def test_it_has_one_script_and_one_style() -> None:
    """Both by nonce, the script by its hash too; no handler, no address elsewhere."""
    text = write()
    scripts = re.findall(r"<script[^>]*>[^<]*</script>", text)
    assert len(scripts) == 1
    assert f'integrity="{ASSETS.script.integrity}"' in scripts[0]
    assert f'src="{ASSETS.script.url}"' in scripts[0]
    assert scripts[0].endswith("></script>")
    assert text.count('nonce="bm9uY2U="') == 2
    assert not re.search(r"\son[a-z]+=|https?://(?!shop\.example)|<link|<form[^>]*action", text)


def test_it_knows_whom_to_listen_to() -> None:
    """The origins as JSON; without any, to nobody."""
    assert json.loads(attribute("data-origins", write())) == ["https://shop.example"]
    assert json.loads(attribute("data-origins", write(origins=()))) == []


def test_every_input_is_labeled_and_can_be_filled_in() -> None:
    """A label each, what it is for browsers, and where its error stands."""
    text = write()
    completes = {"number": "cc-number", "expiry": "cc-exp", "cvc": "cc-csc", "name": "cc-name"}
    for name, complete in completes.items():
        (field,) = re.findall(rf'<input id="{name}"[^>]*>', text)
        assert f'autocomplete="{complete}"' in field
        assert f"{name}-error" in field
        assert f'<label for="{name}">' in text
        assert f'id="{name}-error"' in text
        assert ('inputmode="numeric"' in field) == (name != "name")
