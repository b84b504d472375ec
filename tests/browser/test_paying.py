"""A person pays, in the demo shop and on a merchant's own page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Request, Route, expect

from stack.temporary import TemporaryStack
from tests.support.browser import FRAME, Merchant, Traffic, fill

NUMBERS = {
    "4000000000000002": ("generic_decline", "The card was declined. Try another card."),
    "4000000000009995": ("insufficient_funds", "There is not enough money on this card."),
    "4000000000000069": ("expired_card", "The card has expired. Try another one."),
    "4000000000000127": ("incorrect_cvc", "The security code is wrong."),
}


@pytest.mark.parametrize("number", ["4242424242424242", "5555555555554444"])
def test_a_person_buys_a_turnout(page: Page, stack: TemporaryStack, number: str) -> None:
    """From the choice to the shop's own word that it is paid."""
    assert stack.endpoints.shop is not None
    page.goto(stack.endpoints.shop)
    page.get_by_label("Turnout, left hand").check()
    page.get_by_role("button", name="Go to checkout").click()
    expect(page.get_by_role("button", name="Pay $24.99")).to_be_enabled()
    fill(page.frame_locator(FRAME), number)
    page.get_by_role("button", name="Pay $24.99").click()
    expect(page.get_by_role("heading", name="Thank you, it is paid")).to_be_visible()
    expect(page.locator("#done-amount")).to_have_text("$24.99")
    expect(page.locator("#done-card")).to_have_text(re.compile(f"{number[-4:]}$"))


def test_a_declined_card_can_be_replaced(page: Page, stack: TemporaryStack) -> None:
    """The shop says why, the form stays, and another card pays the same order."""
    assert stack.endpoints.shop is not None
    page.goto(stack.endpoints.shop)
    page.get_by_label("Semaphore signal").check()
    page.get_by_role("button", name="Go to checkout").click()
    expect(page.get_by_role("button", name="Pay $18.75")).to_be_enabled()
    fields = page.frame_locator(FRAME)
    fill(fields, "4000000000009995")
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#said")).to_contain_text("There is not enough money on this card")
    fields.get_by_label("Card number").fill("")
    fields.get_by_label("Card number").press_sequentially("4242424242424242")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("heading", name="Thank you, it is paid")).to_be_visible()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_decline_is_a_result(page: Page, merchant: Merchant, number: str) -> None:
    """With its code for programs and a sentence for the customer."""
    fields = merchant.open(page)
    fill(fields, number)
    result = page.evaluate("confirm()")
    code, message = NUMBERS[number]
    assert result["status"] == "failed"
    assert result["error"]["declineCode"] == code
    assert result["error"]["message"].startswith(message)
    expect(fields.locator("#live")).to_have_text(result["error"]["message"])


@pytest.mark.parametrize(
    "number", ["4000000000009805", "4000000000008807", "4000000000006801"],
    ids=["slow", "late", "silent-then-resolved"],
)  # fmt: skip
def test_an_outcome_that_takes_its_time_is_waited_for(
    page: Page, merchant: Merchant, number: str
) -> None:
    """One confirmation, one charge, and the merchant's server sees the same end."""
    intent = merchant.create_intent()
    traffic = Traffic.of(page)
    fill(merchant.open(page, intent), number)
    assert page.evaluate("confirm()")["status"] == "succeeded"
    posts = [request for request in traffic.requests if request.method == "POST"]
    assert len(posts) == 1
    assert merchant.client.retrieve(intent).status == "succeeded"


def test_a_silent_network_ends_in_nothing_charged(page: Page, merchant: Merchant) -> None:
    """Reversed after the inquiries; the customer is told that nothing was charged."""
    fill(merchant.open(page), "4000000000007809")
    result = page.evaluate("confirm()")
    assert (result["status"], result["error"]["code"]) == ("failed", "payment_reversed")
    assert "nothing was charged" in result["error"]["message"]


def test_a_second_confirmation_is_refused_while_one_is_pending(
    page: Page, merchant: Merchant
) -> None:
    """And the first one goes on; afterwards the fields are empty."""
    fields = merchant.open(page)
    fill(fields, "4000000000009805")
    first, second = page.evaluate("Promise.all([confirm(), confirm()])")
    assert second["refused"]["code"] == "confirmation_pending"
    assert first["status"] == "succeeded"
    expect(fields.get_by_label("Card number")).to_have_value("")


def test_a_paid_intent_is_told_as_paid(page: Page, merchant: Merchant) -> None:
    """Whoever pays again, as in a second window, is not charged again."""
    intent = merchant.create_intent()
    fill(merchant.open(page, intent), "4242424242424242")
    assert page.evaluate("confirm()")["status"] == "succeeded"
    fill(merchant.open(page, intent), "4242424242424242")
    assert page.evaluate("confirm()")["status"] == "succeeded"
    charges = [each for each in merchant.client.events(intent) if each.type.endswith("processing")]
    assert len(charges) == 1


def test_a_lost_answer_is_asked_for_again(page: Page, merchant: Merchant) -> None:
    """The charge has arrived, its answer has not: the same key and body, one charge."""
    intent = merchant.create_intent()
    fields = merchant.open(page, intent)
    fill(fields, "4242424242424242")
    sent = []

    def lose_the_first(route: Route, request: Request) -> None:
        sent.append((request.headers["idempotency-key"], request.post_data))
        answer = route.fetch()
        if len(sent) == 1:
            route.abort("connectionreset")
        else:
            route.fulfill(response=answer)

    page.route("**/transactions", lose_the_first)
    assert page.evaluate("confirm()")["status"] == "succeeded"
    assert len(sent) == 2
    assert sent[0] == sent[1]
    charges = [each for each in merchant.client.events(intent) if each.type.endswith("processing")]
    assert len(charges) == 1


def test_a_browser_without_x25519_takes_the_other_suite(page: Page, merchant: Merchant) -> None:
    """The HSM opens what was sealed to the P-256 key."""
    page.add_init_script(
        """const original = crypto.subtle.importKey.bind(crypto.subtle);
        crypto.subtle.importKey = (format, data, algorithm, ...rest) =>
          (algorithm.name ?? algorithm) === 'X25519'
            ? Promise.reject(new DOMException('no', 'NotSupportedError'))
            : original(format, data, algorithm, ...rest);"""
    )
    traffic = Traffic.of(page)
    fill(merchant.open(page), "4242424242424242")
    assert page.evaluate("confirm()")["status"] == "succeeded"
    (body,) = [request.post_data for request in traffic.requests if request.method == "POST"]
    keys = {
        key["kid"]: key["suite"]
        for key in page.request.get(f"{merchant.api_url}/keys").json()["keys"]
    }
    assert body is not None
    assert keys[body.split("v1.")[1].split(".")[0]] == 2


def test_what_is_missing_is_said_where_it_is_missing(page: Page, merchant: Merchant) -> None:
    """Nothing is sent; the cursor stands in the first field that is wrong."""
    fields = merchant.open(page)
    traffic = Traffic.of(page)
    refused = page.evaluate("confirm()")["refused"]
    assert (refused["code"], refused["field"]) == ("number_missing", "number")
    expect(fields.get_by_label("Card number")).to_be_focused()
    expect(fields.locator("#number-error")).to_have_text("Enter the card number.")
    expect(fields.get_by_label("Card number")).to_have_attribute("aria-invalid", "true")
    fields.get_by_label("Card number").press_sequentially("4242424242424241")
    assert page.evaluate("confirm()")["refused"]["code"] == "number_invalid"
    fields.get_by_label("Card number").press("Backspace")
    fields.get_by_label("Card number").press("2")
    expect(fields.locator("#number-error")).to_have_text("")
    fields.get_by_label("Expiry date").press_sequentially("1220")
    assert page.evaluate("confirm()")["refused"]["code"] == "expiry_past"
    assert [request for request in traffic.requests if request.method == "POST"] == []


def test_events_and_methods_are_those_of_the_guide(page: Page, merchant: Merchant) -> None:
    """What is told, what can be asked for, and that taking the form away ends it."""
    fields = merchant.open(page)
    page.evaluate("card.focus('cvc')")
    expect(fields.get_by_label("Security code")).to_be_focused()
    fill(fields, "378282246310005", cvc="1234")
    fields.get_by_label("Name on card").press("Enter")
    page.wait_for_function("told.some(([name]) => name === 'submit')")
    told = page.evaluate("told")
    assert [value for name, value in told if name == "brand"][-1]["brand"] == "amex"
    assert [value for name, value in told if name == "bin"][-1] == {"bin": "378282"}
    assert [value for name, value in told if name == "change"][-1]["complete"] is True
    assert {"field": "expiry"} in [value for name, value in told if name in {"focus", "blur"}]
    page.evaluate("card.clear()")
    expect(fields.get_by_label("Card number")).to_have_value("")
    page.evaluate("card.unmount()")
    assert page.locator("iframe").count() == 0
    assert page.evaluate("confirm()")["refused"]["code"] == "not_ready"
    page.evaluate("card.mount('#card')")
    expect(fields.get_by_label("Card number")).to_be_visible()
    page.evaluate("card.destroy()")
    assert (
        page.evaluate("(() => { try { card.mount('#card') } catch (e) { return e.code } })()")
        == "destroyed"
    )
