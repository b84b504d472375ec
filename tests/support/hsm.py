"""An HSM for tests: a key store in a folder, and cards sealed to its keys."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chassis.settings.tree import HSM
from hsm_sim.keys import slots
from hsm_sim.keystore import Keystore, open_keystore
from hsm_sim.wire import CaptureKey, CardToOpen
from turnout_client.seal import seal_card

NOW_S = 1_767_323_045  # 2026-01-02T03:04:05Z
DAY_S = 86_400
INTENT_ID = bytes(range(16))
MERCHANT_ID = bytes(range(16, 32))
NUMBER = "4242424242424242"


def open_store(
    folder: Path, *, now_s: int = NOW_S, settings: HSM | None = None, worker: int = 0
) -> Keystore:
    """Open the key store of `<folder>/hsm`, creating it at the first call."""
    settings = settings or HSM()
    return open_keystore(
        folder / "hsm",
        slots(settings),
        now_s=now_s,
        destroyed_kept_s=settings.destroyed_keys_kept_s,
        may_generate_lmk=True,
        worker=worker,
    )


def key_list(keys: Sequence[CaptureKey]) -> list[dict[str, Any]]:
    """The keys as `GET /keys` shows them."""
    return [
        {
            "kid": key.kid,
            "suite": key.suite,
            "publicKey": urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
            "state": key.state,
        }
        for key in keys
    ]


def sealed_card(keys: Sequence[CaptureKey], *, number: str = NUMBER, suite: int = 1) -> CardToOpen:
    """A card sealed to the newest key of a suite, as the switch would ask to open it."""
    usable = [key for key in key_list(keys) if key["suite"] == suite]
    ciphertext = seal_card(
        keys=usable,
        mode="test",
        publishable_key="pk_test_docs",
        intent_id="pi_docs",
        number=number,
        exp_month=12,
        exp_year=2030,
        cvc="123",
        name="A CARDHOLDER",
    )
    return CardToOpen(
        ciphertext=ciphertext,
        live=False,
        publishable_key="pk_test_docs",
        intent="pi_docs",
        intent_id=INTENT_ID,
        merchant_id=MERCHANT_ID,
    )
