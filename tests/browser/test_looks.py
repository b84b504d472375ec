"""Everybody can use it: by keyboard, by screen reader, in every width, light and dark.

`SCREENSHOTS` names a folder to keep pictures in; otherwise they are looked at by machine only.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from stack.temporary import TemporaryStack
from tests.support.browser import FRAME, WAIT_MS, Merchant, fill

AXE: Final = Path(__file__).parents[2] / "api/checkout/js/node_modules/axe-core/axe.min.js"
WIDTHS: Final = (320, 768, 1440)
Scheme = Literal["light", "dark"]


def violations(where: Page | Frame) -> list[tuple[str, list[str]]]:
    """What axe-core has to say of one document, best practice included."""
    where.evaluate(AXE.read_text())
    found: dict[str, Any] = where.evaluate("axe.run({iframes: false})")
    return [
        (each["id"], [node["html"][:120] for node in each["nodes"]])
        for each in found["violations"]
        # A frame has no banner and no heading of its own: the page around it has.
        if not (isinstance(where, Frame) and each["id"] == "page-has-heading-one")
    ]


def check_out(page: Page, stack: TemporaryStack, query: str = "") -> Frame:
    """The shop's checkout with the card fields; their frame."""
    assert stack.endpoints.shop is not None
    page.goto(f"{stack.endpoints.shop}/{query}")
    page.get_by_label("Turnout, left hand").check()
    page.get_by_role("button", name="Go to checkout").click()
    expect(page.get_by_role("button", name="Pay")).to_be_enabled()
    return next(frame for frame in page.frames if "/checkout/fields" in frame.url)


def picture(page: Page, name: str) -> None:
    """Keep a picture of the whole page, where somebody wants them."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en", "de", "ar"])
def test_axe_finds_nothing(
    browser: Browser, stack: TemporaryStack, locale: str, scheme: Scheme
) -> None:
    """Of the shop's page and of the form, empty and with every error shown."""
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    frame = check_out(page, stack, f"?locale={locale}")
    # The form lets the page shine through, which axe cannot see from inside.
    behind = page.locator("#checkout").evaluate("(part) => getComputedStyle(part).backgroundColor")
    frame.evaluate("(color) => { document.body.style.background = color }", behind)
    assert violations(page) == []
    assert violations(frame) == []
    page.get_by_role("button", name="Pay").click()
    expect(page.frame_locator(FRAME).locator("#number-error")).not_to_be_empty()
    page.frame_locator(FRAME).locator("#number").press_sequentially("4242424242424241")
    page.frame_locator(FRAME).locator("#expiry").press_sequentially("1320")
    page.frame_locator(FRAME).locator("#name").focus()
    assert violations(frame) == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_before_and_after_a_payment(
    browser: Browser, stack: TemporaryStack, scheme: Scheme
) -> None:
    """Of the shop's other two pages, and of a declined card."""
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    assert stack.endpoints.shop is not None
    page.goto(stack.endpoints.shop)
    assert violations(page) == []
    check_out(page, stack)
    fields = page.frame_locator(FRAME)
    fill(fields, "4000000000000002")
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#said")).not_to_be_empty()
    page.get_by_text("Test cards", exact=True).click()
    assert violations(page) == []
    fields.get_by_label("Card number").fill("")
    fields.get_by_label("Card number").press_sequentially("4242424242424242")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("heading", name="Thank you, it is paid")).to_be_visible()
    assert violations(page) == []
    context.close()


def test_axe_is_able_to_find_something(page: Page) -> None:
    """An input without a label."""
    page.set_content("<html lang=en><title>x</title><main><h1>x</h1><input></main></html>")
    assert [name for name, _ in violations(page)] == ["label"]


def test_a_keyboard_is_enough(page: Page, stack: TemporaryStack) -> None:
    """From the choice to the thanks: tab, arrows, typing, Enter."""
    assert stack.endpoints.shop is not None
    page.goto(stack.endpoints.shop)
    press = page.keyboard.press
    press("Tab")
    press("Space")
    press("ArrowDown")
    expect(page.get_by_label("Double slip crossing")).to_be_checked()
    press("Tab")
    press("Enter")
    expect(page.get_by_role("button", name="Pay $49.50")).to_be_enabled()
    expect(page.get_by_role("heading", name="Checkout")).to_be_focused()
    for text in ("4242424242424242", "1230", "123", "A Cardholder"):
        press("Tab")
        page.keyboard.type(text)
    focus = page.frame_locator(FRAME).locator(":focus")
    assert focus.evaluate("(input) => getComputedStyle(input).outlineStyle") == "solid"
    press("Enter")
    expect(page.get_by_role("heading", name="Thank you, it is paid")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width(
    browser: Browser, stack: TemporaryStack, width: int, scheme: Scheme
) -> None:
    """Nothing sticks out, nothing is cut: the frame is as high as what is in it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    frame = check_out(page, stack)
    fields = page.frame_locator(FRAME)
    fill(fields, "4242424242424242")
    fields.locator("#cvc").press("End")
    fields.locator("#cvc").press("Backspace")
    fields.locator("#number").focus()
    expect(fields.locator("#cvc-error")).not_to_be_empty()
    page.wait_for_timeout(100)  # the frame takes its new height
    for part in (page, frame):
        sizes = part.evaluate(
            """(() => { const root = document.documentElement;
              return [root.scrollWidth <= innerWidth, root.scrollHeight <= innerHeight] })()"""
        )
        assert sizes[0], f"{part.url} is wider than its window"
        assert sizes[1] or part is page, "the form is higher than its frame"
    picture(page, f"shop-{width}-{scheme}")
    context.close()


def test_right_to_left_is_right_to_left(browser: Browser, stack: TemporaryStack) -> None:
    """Numbers still run from left to right; and with letters twice as large nothing is cut."""
    context = browser.new_context(viewport={"width": 640, "height": 900}, color_scheme="dark")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    frame = check_out(page, stack, "?locale=ar")
    number = page.frame_locator(FRAME).locator("#number")
    number.press_sequentially("4242424242424242")
    page.frame_locator(FRAME).locator("#expiry").press_sequentially("1320")
    page.frame_locator(FRAME).locator("#cvc").focus()
    expect(page.frame_locator(FRAME).locator("#expiry-error")).not_to_be_empty()
    assert frame.evaluate("document.documentElement.dir") == "rtl"
    styles = number.evaluate(
        "(input) => [getComputedStyle(input).direction, getComputedStyle(input).textAlign]"
    )
    assert styles == ["ltr", "right"]
    assert number.input_value() == "4242 4242 4242 4242"
    picture(page, "shop-arabic-dark")
    frame.evaluate("document.documentElement.style.fontSize = '200%'")  # as a reader may have set
    page.wait_for_timeout(100)
    assert frame.evaluate(
        """(() => { const root = document.documentElement;
          return root.scrollWidth <= innerWidth && root.scrollHeight <= innerHeight })()"""
    )
    context.close()


@pytest.mark.parametrize(
    ("css", "appearance", "dark"),
    [
        ("", "{}", False),
        (":root { color-scheme: light dark }", "{}", True),
        ("", "{theme: 'dark'}", True),
        (":root { color-scheme: light dark }", "{theme: 'light'}", False),
    ],
)
def test_a_page_without_dark_gets_no_dark_box(
    browser: Browser,
    merchant: Merchant,
    css: str,
    appearance: str,
    dark: bool,  # noqa: FBT001 - one of a table
) -> None:
    """Though the customer's system is dark; unless the page asks for it."""
    context = browser.new_context(color_scheme="dark")
    context.set_default_timeout(WAIT_MS)
    head = f"<style>{css}</style>"
    fields = merchant.open(context.new_page(), head=head, appearance=appearance)
    color = "rgb(238, 241, 247)" if dark else "rgb(26, 31, 43)"
    expect(fields.locator("#number")).to_have_css("color", color)
    context.close()


def test_nothing_moves(page: Page, merchant: Merchant) -> None:
    """For nobody, so also not for those whose system asks for that."""
    fields = merchant.open(page)
    for name in ("#number", "#card", "#number-error"):
        expect(fields.locator(name)).to_have_css("transition-duration", "0s")
        expect(fields.locator(name)).to_have_css("animation-name", "none")
