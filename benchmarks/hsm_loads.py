"""What `turnout bench hsm` asks of the HSM, and how it knows that the answers are right."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import attrs

from benchmarks.report import WrongResultsError
from chassis.mux import MuxClient, MuxError
from hsm_sim.wire import (
    CardsOpened,
    CardsReleased,
    CardToOpen,
    CardToRelease,
    ChangeSessionKey,
    GenerateSessionKey,
    HSMReply,
    HSMRequest,
    KeysListed,
    ListKeys,
    Macs,
    MacsAnswered,
    MacToGenerate,
    MacToVerify,
    MacVerified,
    OpenCards,
    OpenedCard,
    ReleaseCards,
    ReleasedCard,
    SessionKeyChanged,
    SessionKeyGenerated,
)
from turnout_client.seal import seal_card

DISTINCT_BATCHES: Final = 16  # made beforehand and sent in turn; the HSM remembers none
MESSAGE_BYTES: Final = 230  # a financial request of 19 elements
NETWORK: Final = "vsim"
PUBLISHABLE_KEY: Final = "pk_test_0123456789abcdefghijkl"
MERCHANT_ID: Final = bytes(16)
SUITE_NAMES: Final = {1: "x25519", 2: "p256"}

Client = MuxClient[HSMRequest, HSMReply]
Reply = TypeVar("Reply")


@attrs.frozen
class Workload:
    """One kind of request.

    Attributes:
        name: of its figures.
        title: what it does, for the progress line.
        requests: sent in turn.
        items: cards or messages in each.
        is_right: whether the reply to a request, by its number, is the right one.
    """

    name: str
    title: str
    requests: Sequence[HSMRequest]
    items: int
    is_right: Callable[[int, HSMReply | MuxError], bool]


async def opens(client: Client, *, suite: int, batch: int) -> Workload:
    """Cards, each of another number, sealed to the worker's key of a suite."""
    listed = await _ask(client, ListKeys(), KeysListed)
    (key,) = (key for key in listed.keys if key.suite == suite)
    public: dict[str, str | int] = {
        "kid": key.kid,
        "suite": key.suite,
        "publicKey": urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
        "state": key.state,
    }

    def is_right(which: int, reply: HSMReply | MuxError) -> bool:
        return isinstance(reply, CardsOpened) and [
            card.pan for card in reply.cards if isinstance(card, OpenedCard)
        ] == _numbers(which, batch)

    return Workload(
        name="opens" if suite == 1 else f"{SUITE_NAMES[suite]}_opens",
        title=f"opening {SUITE_NAMES[suite]} cards",
        requests=[
            OpenCards([_sealed(public, first + offset) for offset in range(batch)])
            for first in range(0, DISTINCT_BATCHES * batch, batch)
        ],
        items=batch,
        is_right=is_right,
    )


async def macs(client: Client, *, batch: int) -> Workload:
    """Messages of which every other one is to be authenticated, every other one to be verified."""
    await _ask(client, GenerateSessionKey(NETWORK, "01"), SessionKeyGenerated)
    await _ask(client, ChangeSessionKey(NETWORK, "01", "confirm"), SessionKeyChanged)
    await _ask(client, ChangeSessionKey(NETWORK, "01", "promote"), SessionKeyChanged)
    requests, answers = [], []
    for _ in range(DISTINCT_BATCHES):
        messages = [os.urandom(MESSAGE_BYTES) for _ in range(max(1, batch // 2))]
        generate = [MacToGenerate(NETWORK, "01", message) for message in messages]
        made = (await _ask(client, Macs(generate), MacsAnswered)).generated
        verify = [
            MacToVerify(NETWORK, "01", message, mac)
            for message, mac in zip(messages, made, strict=True)
            if isinstance(mac, bytes)
        ]
        requests.append(Macs(generate, verify))
        answers.append(MacsAnswered(made, [MacVerified("01", "current")] * len(messages)))
    return Workload(
        name="macs",
        title="making and verifying MACs",
        requests=requests,
        items=2 * max(1, batch // 2),
        is_right=lambda which, reply: reply == answers[which],
    )


async def releases(client: Client, opening: Sequence[HSMRequest]) -> Workload:
    """The cards of opening requests, as the ledger keeps them."""
    requests = []
    batch = 0
    for request in opening:
        assert isinstance(request, OpenCards)
        batch = len(request.cards)
        opened = await _ask(client, request, CardsOpened)
        requests.append(
            ReleaseCards(
                "capture",
                [
                    CardToRelease(card.sealed, asked.intent_id, MERCHANT_ID)
                    for asked, card in zip(request.cards, opened.cards, strict=True)
                    if isinstance(card, OpenedCard)
                ],
            )
        )

    def is_right(which: int, reply: HSMReply | MuxError) -> bool:
        return isinstance(reply, CardsReleased) and [
            card.pan for card in reply.cards if isinstance(card, ReleasedCard)
        ] == _numbers(which, batch)

    return Workload(
        name="releases",
        title="releasing stored cards",
        requests=requests,
        items=batch,
        is_right=is_right,
    )


async def _ask(client: Client, request: HSMRequest, expected: type[Reply]) -> Reply:
    reply = await client.call(request)
    if not isinstance(reply, expected):
        raise WrongResultsError(f"{type(request).__name__} was answered by {type(reply).__name__}")
    return reply


def _sealed(public: dict[str, str | int], number: int) -> CardToOpen:
    intent = f"pi_{number:022d}"
    ciphertext = seal_card(
        keys=public,
        mode="test",
        publishable_key=PUBLISHABLE_KEY,
        intent_id=intent,
        number=_number(number),
        exp_month=12,
        exp_year=2030,
        cvc="123",
        name="A CARDHOLDER",
    )
    return CardToOpen(
        ciphertext=ciphertext,
        live=False,
        publishable_key=PUBLISHABLE_KEY,
        intent=intent,
        intent_id=number.to_bytes(16, "big"),
        merchant_id=MERCHANT_ID,
    )


def _numbers(which: int, batch: int) -> list[str]:
    return [_number(which * batch + offset) for offset in range(batch)]


def _number(number: int) -> str:
    return f"42424200{number:08d}"  # a test range of the simulated networks
