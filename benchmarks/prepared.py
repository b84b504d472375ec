"""Requests made ready before the clock starts: signed creates, sealed and signed charges.

Sealing costs about 0.1 ms a card, so it is spread over the machine's cores in processes of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import secrets
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import attrs

from turnout_client.seal import seal_card

CHUNK = 2_000  # cards sealed per piece of work: about 0.2 s
DECLINED_SHARE = 0.05
SECOND_NETWORK_SHARE = 0.5
APPROVED_PREFIXES = ("42424200", "55555500")  # network_sim/cards.toml, [[ranges]]
DECLINED_PREFIXES = ("42424205", "55555505")


@attrs.frozen
class Signer:
    """Signs and serializes requests of one merchant as contract 2 says."""

    host: str  # the Host header, with port
    publishable_key: str
    secret_key: str = attrs.field(repr=False)

    def request(self, method: str, target: str, body: bytes = b"", key: str = "") -> bytes:
        """The whole request, head and body, signed now."""
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        nonce = secrets.token_hex(16)
        content_type = "application/json" if body else ""
        text = "\n".join(
            (
                "turnout-v1",
                self.publishable_key,
                timestamp,
                nonce,
                method,
                self.host,
                target,
                content_type,
                key,
                hashlib.sha256(body).hexdigest(),
            )
        )
        signature = hmac.digest(self.secret_key.encode(), text.encode(), "sha256").hex()
        head = [
            f"{method} {target} HTTP/1.1",
            f"Host: {self.host}",
            f"Authorization: Bearer {self.publishable_key}",
            f"X-Request-Timestamp: {timestamp}",
            f"X-Request-Nonce: {nonce}",
            f"X-Signature: sha256={signature}",
        ]
        if key:
            head.append(f"Idempotency-Key: {key}")
        if body:
            head += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def create_requests(signer: Signer, count: int) -> list[bytes]:
    """`count` requests that each create an intent of its own amount."""
    made = []
    for number in range(count):
        body = {"amountInCents": 100 + number % 9_900, "currency": "usd", "description": "bench"}
        made.append(
            signer.request(
                "POST", "/payment-intents", json.dumps(body).encode(), secrets.token_hex(12)
            )
        )
    return made


def card_numbers(count: int, seed: int) -> list[str]:
    """Distinct PANs of the simulator's load ranges, on both networks, a share of them declined."""
    generator = random.Random(seed)
    suffixes = generator.sample(range(100_000_000), count)
    numbers = []
    for suffix in suffixes:
        prefixes = DECLINED_PREFIXES if generator.random() < DECLINED_SHARE else APPROVED_PREFIXES
        second = generator.random() < SECOND_NETWORK_SHARE
        numbers.append(f"{prefixes[second]}{suffix:08d}")
    return numbers


def numbers_behind(prefix: str, count: int, seed: int) -> list[str]:
    """Distinct PANs of sixteen digits that begin alike."""
    left = 16 - len(prefix)
    suffixes = random.Random(seed).sample(range(10**left), count)
    return [f"{prefix}{suffix:0{left}d}" for suffix in suffixes]


def charge_requests(
    signer: Signer, keys: list[dict[str, Any]], intents: list[str], numbers: list[str]
) -> list[bytes]:
    """One sealed, signed charge per intent and PAN, each with a random idempotency key."""
    pieces = [
        (signer, keys, intents[at : at + CHUNK], numbers[at : at + CHUNK])
        for at in range(0, len(intents), CHUNK)
    ]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return [request for piece in pool.map(_seal_piece, pieces) for request in piece]


def _seal_piece(
    piece: tuple[Signer, list[dict[str, Any]], list[str], list[str]],
) -> list[bytes]:
    signer, keys, intents, numbers = piece
    requests = []
    for intent, number in zip(intents, numbers, strict=True):
        ciphertext = seal_card(
            keys=keys,
            mode="test",
            publishable_key=signer.publishable_key,
            intent_id=intent,
            number=number,
            exp_month=12,
            exp_year=2030,
            cvc="123",
        )
        body = json.dumps({"type": "charge", "card": {"ciphertext": ciphertext}}).encode()
        requests.append(
            signer.request(
                "POST", f"/payment-intents/{intent}/transactions", body, secrets.token_hex(12)
            )
        )
    return requests
