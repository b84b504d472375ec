"""Answering one request: permission, bounds, work. Synchronous, so a batch is never interleaved.

The key store is looked at before each request (one system call), so that a rotation or an early
destruction by another process takes effect at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import assert_never

from chassis.settings.tree import HSM
from hsm_sim.cards import KEY_EXPIRED, UNDECRYPTABLE, open_cards
from hsm_sim.keystore import Keystore
from hsm_sim.metrics import HSMCounters
from hsm_sim.policy import Policy
from hsm_sim.seal import NONCE_BYTES, UnsealError, day_of
from hsm_sim.vault import build_vault
from hsm_sim.wire import (
    CardsOpened,
    HSMReply,
    HSMRequest,
    KeysListed,
    ListKeys,
    OpenCards,
    Refused,
    SealSecrets,
    SecretsSealed,
    SecretsUnsealed,
    UnsealSecrets,
)


class Commands:
    """The commands of one worker.

    Args:
        store: an opened key store.
        policy: who may ask for what.
        settings: the bounds of a batch.
        random: draws so many random bytes, such as `os.urandom`.
        now_s: the instant of start, decides which keys live.

    Raises:
        KeystoreError: a key does not unwrap, or a purpose has none.
    """

    def __init__(
        self,
        *,
        store: Keystore,
        policy: Policy,
        settings: HSM,
        random: Callable[[int], bytes],
        now_s: int,
    ) -> None:
        self.counters = HSMCounters()
        self._store = store
        self._policy = policy
        self._settings = settings
        self._random = random
        self._take_up(now_s)

    def answer(self, request: HSMRequest, *, uid: int | None, now_s: int) -> HSMReply:
        """Answer one request of the user `uid`.

        Raises:
            KeystoreError: the key store was replaced by something unusable.
        """
        if not self._policy.permits(uid, request):
            return self.refuse("not_permitted")
        self._store.refresh()
        if self._store.generation != self._generation:
            self._take_up(now_s)
        match request:
            case OpenCards():
                return self._open_cards(request, now_s)
            case UnsealSecrets():
                return self._unseal_secrets(request)
            case ListKeys():
                return KeysListed(self._vault.public_keys(now_s))
            case SealSecrets():
                return self._seal_secrets(request, uid, now_s)
            case _:
                assert_never(request)

    def refuse(self, reason: str) -> Refused:
        """Refuse a whole request, and count it."""
        self.counters.refusals[reason] += 1
        return Refused(reason)

    def _take_up(self, now_s: int) -> None:
        self._vault = build_vault(self._store, now_s=now_s)
        self._audit_log = self._store.audit_log()
        self._generation = self._store.generation
        self.counters.key_generations_total += 1

    def _open_cards(self, request: OpenCards, now_s: int) -> HSMReply:
        count = len(request.cards)
        if count > self._settings.batch_cards_max:
            return self.refuse("batch_too_large")
        started = time.perf_counter()
        random = self._random(NONCE_BYTES * count)
        cards = open_cards(self._vault, request.cards, now_s=now_s, random=random)
        undecryptable = cards.count(UNDECRYPTABLE)
        expired = cards.count(KEY_EXPIRED)
        counters = self.counters
        counters.cards_undecryptable_total += undecryptable
        counters.cards_key_expired_total += expired
        counters.cards_opened_total += count - undecryptable - expired
        counters.batch_seconds.observe(time.perf_counter() - started)
        return CardsOpened(cards)

    def _unseal_secrets(self, request: UnsealSecrets) -> HSMReply:
        refusal = self._check_batch(len(request.blobs), len(request.contexts))
        if refusal is not None:
            return refusal
        secrets = []
        for blob, context in zip(request.blobs, request.contexts, strict=True):
            try:
                secrets.append(self._vault.secrets.unseal(blob, context))
                self.counters.secrets_unsealed_total += 1
            except UnsealError:
                secrets.append(b"")
                self.counters.secrets_refused_total += 1
        return SecretsUnsealed(secrets)

    def _seal_secrets(self, request: SealSecrets, uid: int | None, now_s: int) -> HSMReply:
        count = len(request.secrets)
        refusal = self._check_batch(count, len(request.contexts))
        if refusal is not None:
            return refusal
        assert uid is not None  # or the policy had refused
        self._audit_log.append([("secrets_sealed", {"count": count, "uid": uid})], at_s=now_s)
        random = self._random(NONCE_BYTES * count)
        blobs = [
            self._vault.secrets.seal(
                secret,
                context,
                day=day_of(now_s),
                nonce=random[index * NONCE_BYTES : (index + 1) * NONCE_BYTES],
            )
            for index, (secret, context) in enumerate(
                zip(request.secrets, request.contexts, strict=True)
            )
        ]
        self.counters.secrets_sealed_total += count
        return SecretsSealed(blobs)

    def _check_batch(self, items: int, contexts: int) -> Refused | None:
        if items != contexts:
            return self.refuse("malformed")
        if items > self._settings.batch_secrets_max:
            return self.refuse("batch_too_large")
        return None
