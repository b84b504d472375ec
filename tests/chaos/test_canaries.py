"""No card is written anywhere: marked cards take every path through a stack, then all is searched.

The invariant is I7 of the payment rules: no CVC anywhere, no clear PAN in any log, error, table,
file or metric. A search that finds nothing proves nothing, so each one has a control that it finds.
"""

from __future__ import annotations

import json
import secrets
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import trio

from benchmarks.prepared import Signer
from chassis.secrets import masked_pan
from stack.temporary import TemporaryStack
from tests.support.canaries import (
    CVC,
    DECLINED_STEM,
    STEMS,
    canary_card,
    canary_number,
    card_forms,
    forms_of_ciphertext,
    forms_of_digits,
    search,
)
from tests.support.http import Response, WireClient
from tests.support.whole_stack import WholeStack, running_in_thread

FAULTS = ("hsm-0", "vsim", "switch-0", "api", "postgres")
PAYMENTS_PER_FAULT = 4
TOLD_WITHIN_S = 20.0  # that nobody knows: the response deadline is two seconds


@pytest.fixture(scope="module")
def stack() -> Iterator[TemporaryStack]:
    """A stack that logs all that it can."""
    with running_in_thread({"log.level": "debug"}) as stack:
        yield stack


class Canaries:
    """Pays with marked cards, and remembers what it sealed."""

    def __init__(self, whole: WholeStack) -> None:
        self.whole = whole
        self.ciphertexts: list[str] = []
        self._numbers = count(1)

    def number(self) -> str:
        """Another marked number."""
        return canary_number(next(self._numbers))

    async def pay(self, stem: str = STEMS[0]) -> str:
        """Charge an intent of its own until that is answered; returns the status."""
        shop = self.whole.shop
        intent = await shop.create_payment_intent(2_499, "usd")
        sealed = await shop.seal(intent, canary_card(next(self._numbers), stem))
        self.ciphertexts.append(sealed)
        return (await shop.charge(intent, sealed)).status

    async def pay_while_killing(self, name: str) -> None:
        """A few payments, one process killed under them."""
        process_id = self.whole.process_id(name)
        async with trio.open_nursery() as payments:
            for _ in range(PAYMENTS_PER_FAULT):
                payments.start_soon(self.pay)
                payments.start_soon(self.pay, STEMS[1])
            await trio.sleep(0.01)
            self.whole.kill(name)
        await self.whole.back(name, instead_of=process_id)

    async def pay_while_silent(self, name: str) -> str:
        """A payment that a stopped network does not answer in time."""
        with self.whole.stopped(name), trio.fail_after(TOLD_WITHIN_S):
            return await self.pay()

    async def seal_wrongly(self) -> list[int]:
        """Cards that do not open: cut, and for another intent."""
        shop = self.whole.shop
        intents = [await shop.create_payment_intent(100, "usd") for _ in range(2)]
        sealed = await shop.seal(intents[0], canary_card(next(self._numbers)))
        self.ciphertexts.append(sealed)
        target = f"/payment-intents/{intents[1].id}/transactions"
        bodies = [
            json.dumps({"type": "charge", "card": {"ciphertext": text}}).encode()
            for text in (sealed, sealed[:-40])
        ]
        return [(await self.send("POST", target, body)).status for body in bodies]

    async def send(self, method: str, target: str, body: bytes = b"", key: str = "") -> Response:
        """One signed request as it is."""
        credentials = self.whole.stack.credentials()
        host = credentials.api_url.removeprefix("http://")
        signer = Signer(host, credentials.publishable_key, credentials.secret_key)
        if method == "POST" and not key:
            key = secrets.token_hex(8)
        return await self.send_raw(signer.request(method, target, body, key))

    async def send_raw(self, request: bytes) -> Response:
        """Any bytes, and the answer to them."""
        host, port = self.whole.stack.credentials().api_url.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            client = WireClient(stream)
            await client.send(request)
            return await client.receive()

    async def send_in_the_clear(self) -> list[Response]:
        """A card number in every place of a request where somebody could put one."""
        create, new = "/payment-intents", self.number
        intent = await self.whole.shop.create_payment_intent(100, "usd")
        bodies = [
            {"amountInCents": 1, "currency": "usd", "description": new()},
            {"amountInCents": 1, "currency": "usd", "merchantReference": new()},
            {"amountInCents": 1, "currency": "usd", "metadata": {"a": new()}},
            {"amountInCents": 1, "currency": "usd", "metadata": {new(): "a"}},
            {"amountInCents": 1, "currency": "usd", new(): "a"},
            {"amountInCents": int(new()), "currency": "usd"},
            {"amountInCents": 1, "currency": new()},
            {"amountInCents": 1, "currency": "usd", "captureMethod": new()},
        ]
        charges = [
            {"type": "charge", "card": {"number": new(), "cvc": CVC}},
            {"type": "charge", "card": {"ciphertext": new()}},
            {"type": "charge", "card": {"ciphertext": f"v1.{new()}"}},
            {"type": new()},
        ]
        transactions = f"{create}/{intent.id}/transactions"
        targets = [f"{create}/{new()}", f"{create}?after={new()}", f"{create}?{new()}=1"]
        targets += [f"/{new()}", f"/docs/errors/{new()}"]
        used = new()
        return [
            *[await self.send("POST", create, json.dumps(body).encode()) for body in bodies],
            *[await self.send("POST", transactions, json.dumps(body).encode()) for body in charges],
            await self.send("POST", create, new().encode()),
            *[await self.send("GET", target) for target in targets],
            await self.send("POST", create, b'{"amountInCents":1,"currency":"usd"}', used),
            await self.send("POST", create, b'{"amountInCents":2,"currency":"usd"}', used),
            await self.send_raw(f"GET /keys HTTP/{new()}\r\n\r\n".encode()),
            await self.send_raw(f"{new()} / HTTP/1.1\r\nHost: {new()}\r\n\r\n".encode()),
            await self.send_raw(f"GET / HTTP/1.1\r\nHost: a\r\n{new()}\r\n\r\n".encode()),
        ]


def _secrets(stack: TemporaryStack) -> dict[str, bytes]:
    """What a stack must keep to itself, by the file it stands in and what it is."""
    passwords = json.loads((stack.data_dir / "database-passwords.json").read_bytes())
    return {
        "data/demo-credentials.json": stack.credentials().secret_key.encode(),
        "data/postgres.password": (stack.data_dir / "postgres.password").read_bytes().strip(),
        "data/hsm/lmk": (stack.data_dir / "hsm" / "lmk").read_bytes(),
        **{f"data/database-passwords.json {role}": passwords[role].encode() for role in passwords},
    }


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        body: bytes = answer.read()
    return body


def _checkpoint(whole: WholeStack) -> None:
    """Have Postgres write everything that it holds in memory."""
    with whole.superuser() as session:
        session.autocommit = True
        session.execute("CHECKPOINT")


def _plant(whole: WholeStack, digits: str) -> None:
    with whole.superuser() as session:
        session.execute("CREATE TABLE planted (digits text)")
        session.execute("INSERT INTO planted VALUES (%s)", [digits])
    _checkpoint(whole)


@pytest.mark.chaos
async def test_no_card_is_written_anywhere(whole: WholeStack) -> None:
    """Approved, declined, unknown, refused, sent in the clear, and with everything killed once."""
    canaries = Canaries(whole)
    assert [await canaries.pay(stem) for stem in STEMS] == ["succeeded"] * 2
    assert await canaries.pay(DECLINED_STEM) == "failed"
    assert await canaries.pay_while_silent("vsim") == "pending_verification"
    assert await canaries.seal_wrongly() == [422, 422]
    answers = await canaries.send_in_the_clear()
    for name in FAULTS:
        await canaries.pay_while_killing(name)
    await whole.pay_well(within_s=20)

    forms = card_forms()
    said = b"".join(answer.body for answer in answers)
    said += b"".join(map(_fetch, whole.stack.refresh().metrics.values()))
    assert [name for name, form in forms.items() if form in said] == []
    await trio.to_thread.run_sync(_checkpoint, whole)
    for number, ciphertext in enumerate(canaries.ciphertexts):
        sealed = forms_of_ciphertext(ciphertext)
        forms |= {f"{number} {name}": form for name, form in sealed.items()}
    folder = whole.stack.data_dir.parent  # the log of the whole stack lies beside the data
    assert await trio.to_thread.run_sync(partial(search, folder, forms)) == set()

    # Controls: the cards were there, every secret stands in its one file, which the search reads,
    # and a number in a table is found.
    journal = (whole.stack.data_dir / "networks" / "vsim.log").read_text()
    assert masked_pan(canary_number(1)) in journal
    kept = _secrets(whole.stack)
    assert search(folder, kept) == {(name.partition(" ")[0], name) for name in kept}
    await trio.to_thread.run_sync(_plant, whole, canaries.number())
    found = await trio.to_thread.run_sync(partial(search, folder, forms))
    assert {name for _, name in found} == {f"{STEMS[0]} clear"}
    assert all(file.startswith("data/postgres/") for file, _ in found)


@pytest.mark.parametrize("form", forms_of_digits(STEMS[0]))
def test_the_search_finds_every_form(tmp_path: Path, form: str) -> None:
    """Control: a number that is written down is found, whatever stands around it."""
    number = canary_number(7)
    written = {
        "clear": number.encode(),
        "grouped": b"4242 4200 " + number[8:12].encode() + b" 1",
        "hyphened": b"4242-4200-" + number[8:12].encode() + b"-1",
        "BCD": bytes.fromhex(number),
        "BCD, shifted": bytes.fromhex(f"0{number}0"),
        "hex": number.encode().hex().encode(),
        "HEX": number.encode().hex().upper().encode(),
        "UTF-16": number.encode("utf-16-le"),
        "base64 at 0": b64encode(number.encode()),
        "base64 at 1": b64encode(b"x" + number.encode()),
        "base64 at 2": b64encode(b"xx" + number.encode()),
    }[form]
    (tmp_path / "file").write_bytes(b"before" + written + b"after")
    found = search(tmp_path, forms_of_digits(STEMS[0]))
    assert ("file", form) in found
