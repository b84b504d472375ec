"""Opening a batch of cards: the HSM's hot path, about 37 µs a card, 25 of them the agreement.

For each card: find the key by kid, decode, open, parse, seal PAN and expiry for the ledger,
fingerprint. Nothing is awaited, logged or allocated per batch beyond the replies. The plaintext
goes into one buffer that is wiped after each card; the reply's strings cannot be wiped, which is
a limit of Python and said in docs/hsm.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hsm_sim.envelope import PLAINTEXT_BYTES, card_info, decode, parse_card, split
from hsm_sim.hpke import OpenError, open_into
from hsm_sim.seal import NONCE_BYTES, card_context, day_of
from hsm_sim.vault import Vault
from hsm_sim.wire import CardRefused, CardToOpen, OpenedCard

UNDECRYPTABLE: Final = CardRefused("card_undecryptable")
KEY_EXPIRED: Final = CardRefused("card_key_expired")
_ZEROS: Final = bytes(PLAINTEXT_BYTES)


class _KeyExpiredError(Exception):
    """The kid was ours; its key is destroyed. Public knowledge, so it may be told apart."""


def open_cards(
    vault: Vault, cards: Sequence[CardToOpen], *, now_s: int, random: bytes
) -> list[OpenedCard | CardRefused]:
    """Open each card, or refuse it; one bad card never affects its neighbors.

    Args:
        vault: the keys.
        cards: in order; the answer has the same order.
        now_s: decides which keys live, and the day of sealing.
        random: 12 fresh random bytes for each card, the nonces of sealing.
    """
    day = day_of(now_s)
    buffer = bytearray(PLAINTEXT_BYTES)
    opened: list[OpenedCard | CardRefused] = []
    start = 0
    for card in cards:
        nonce = random[start : start + NONCE_BYTES]
        start += NONCE_BYTES
        try:
            opened.append(_open_card(vault, card, buffer, now_s=now_s, day=day, nonce=nonce))
        except OpenError:
            opened.append(UNDECRYPTABLE)
        except _KeyExpiredError:
            opened.append(KEY_EXPIRED)
        finally:
            buffer[:] = _ZEROS
    return opened


def _open_card(
    vault: Vault, card: CardToOpen, buffer: bytearray, *, now_s: int, day: int, nonce: bytes
) -> OpenedCard:
    kid, text = split(card.ciphertext)
    capture = vault.captures.get(kid)
    if capture is None or now_s >= capture.destroy_at_s:
        if capture is not None or kid in vault.expired:
            raise _KeyExpiredError
        raise OpenError
    recipient, chars, _, prefix_test, prefix_live = capture
    open_into(
        buffer,
        backend=vault.backend,
        recipient=recipient,
        sealed=decode(text, chars),
        info=card_info(
            prefix_live if card.live else prefix_test, card.publishable_key, card.intent
        ),
    )
    clear = parse_card(buffer)
    expiry = clear.year[2:] + clear.month
    return OpenedCard(
        pan=clear.number,
        expiry=expiry,
        cvc=clear.cvc,
        name=clear.name,
        sealed=vault.cards.seal(
            (expiry + clear.number).encode(),
            card_context(card.intent_id, card.merchant_id),
            day=day,
            nonce=nonce,
        ),
        fingerprint=vault.fingerprint.of(clear.number.encode()),
    )
