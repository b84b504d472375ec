"""Cards as the ledger keeps them, for whoever asks the HSM to give them back."""

from __future__ import annotations

from hsm_sim.seal import card_context
from hsm_sim.vault import Vault
from hsm_sim.wire import CardToRelease
from tests.support.hsm import DAY_S, INTENT_ID, MERCHANT_ID, NOW_S, NUMBER


def stored_card(
    vault: Vault, *, number: str = NUMBER, intent_id: bytes = INTENT_ID, nonce: bytes = bytes(12)
) -> CardToRelease:
    """A card sealed for a row of the ledger, as `open_cards` seals it."""
    sealed = vault.cards.seal(
        b"3012" + number.encode(),
        card_context(intent_id, MERCHANT_ID),
        day=NOW_S // DAY_S,
        nonce=nonce,
    )
    return CardToRelease(sealed=sealed, intent_id=intent_id, merchant_id=MERCHANT_ID)
