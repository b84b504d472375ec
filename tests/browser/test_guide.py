"""The guide says what is true: its page pays as it stands, its looks are accepted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect

from tests.support.browser import FRAME, Merchant, fill

GUIDE: Final = (Path(__file__).parents[2] / "docs" / "hosted-fields.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_page_of_the_guide_pays(page: Page, merchant: Merchant) -> None:
    """With nothing changed but the address, the key and the secret; first with a card declined."""
    intent = merchant.create_intent()
    assert intent.client_secret is not None
    html = blocks("html")[0]
    for placeholder, value in (
        ("https://api.example", merchant.api_url),
        ("pi_…_secret_…", intent.client_secret),
        ("pk_test_…", merchant.key),
    ):
        assert placeholder in html
        html = html.replace(placeholder, value)
    merchant.site.html = f'<!doctype html><html lang="en"><title>Shop</title>{html}</html>'
    page.goto(merchant.site.url)
    fields, said = page.frame_locator(FRAME), page.locator("#said")
    fill(fields, "4000000000000002")
    page.get_by_role("button", name="Pay").click()
    expect(said).to_contain_text("The card was declined")
    fields.get_by_label("Card number").fill("")
    page.get_by_role("button", name="Pay").click()
    expect(said).to_have_text("Enter the card number.")
    fields.get_by_label("Card number").press_sequentially("4242424242424242")
    fields.get_by_label("Card number").press("Enter")
    expect(said).to_have_text("succeeded")
    assert merchant.client.retrieve(intent).status == "succeeded"


def test_the_looks_of_the_guide_are_accepted(page: Page, merchant: Merchant) -> None:
    """Every property of the example, and each that the text names."""
    (example,) = blocks("js")
    fields = merchant.open(page, appearance=example)
    expect(fields.get_by_label("Card number")).to_have_css("border-radius", "4px")
    (named,) = re.findall(r"Properties: (.*?)\. Lengths", GUIDE, re.DOTALL)
    values = {"Color": "#123456", "Style": "solid", "Family": "serif", "Weight": "600"}
    rules = {
        name: next((value for part, value in values.items() if part.lower() in name.lower()), "1px")
        for name in re.findall(r"`([a-zA-Z]+)`", named)
    } | {"lineHeight": "1.5"}
    assert len(rules) == 13
    page.evaluate("(input) => card.update({appearance: {rules: {input}}})", rules)
    expect(fields.get_by_label("Card number")).to_have_css("border-top-color", "rgb(18, 52, 86)")
    assert [value for name, value in page.evaluate("told") if name == "error"] == []


def test_the_events_of_the_guide_are_all_there_are(page: Page, merchant: Merchant) -> None:
    """Each can be listened to, and no other."""
    (table,) = re.findall(r"\| event \| value \|\n\|---\|---\|\n(.*?)\n\n", GUIDE, re.DOTALL)
    rows = [row.split("|")[1] for row in table.splitlines()]
    names = [name for row in rows for name in re.findall(r"`([a-z]+)`", row)]
    assert len(names) == 8
    merchant.open(page)
    assert page.evaluate("(names) => names.every((name) => card.on(name, () => {}))", names)
    code = "(() => { try { card.on('number', () => {}) } catch (error) { return error.code } })()"
    assert page.evaluate(code) == "no_such_event"
