"""Answering one request: permission, bounds, work. Synchronous, so a batch is never interleaved.

A release of stored cards is the exception: `release` does the work and says what must stand in the
audit log before anybody hears the answer; the caller has it written by `note`.

The key store is looked at before each request (one system call), so that a rotation or an early
destruction by another process takes effect at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import assert_never

from chassis.log import get_logger
from chassis.settings.tree import HSM
from hsm_sim.audit import Entry
from hsm_sim.cards import KEY_EXPIRED, UNDECRYPTABLE, open_cards
from hsm_sim.key_exchange import KeyExchange, KeyExchangeRequest, well_formed
from hsm_sim.keystore import Keystore
from hsm_sim.macs import MISMATCH, answer_macs
from hsm_sim.metrics import HSMCounters
from hsm_sim.network_keystore import NetworkKeystore
from hsm_sim.policy import Policy
from hsm_sim.release import ReleaseLimit, audit_entries, release_cards
from hsm_sim.seal import NONCE_BYTES, UnsealError, day_of
from hsm_sim.vault import build_vault
from hsm_sim.wire import (
    CardsOpened,
    CardsReleased,
    ChangeSessionKey,
    GenerateSessionKey,
    HSMReply,
    HSMRequest,
    ImportSessionKey,
    KeyRefused,
    KeysListed,
    ListKeys,
    ListNetworkKeys,
    LoadKek,
    Macs,
    MacVerified,
    OpenCards,
    Refused,
    ReleaseCards,
    ReleasedCard,
    ReleaseRefused,
    SealSecrets,
    SecretsSealed,
    SecretsUnsealed,
    UnsealSecrets,
)

_log = get_logger(__name__)
_ALARM_EVERY_S = 60.0  # a limit that is reached once is reached a thousand times a second


class Commands:
    """The commands of one worker.

    Args:
        store: an opened key store.
        network_keys: the keys that it shares with networks.
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
        network_keys: NetworkKeystore,
        policy: Policy,
        settings: HSM,
        random: Callable[[int], bytes],
        now_s: int,
    ) -> None:
        self.counters = HSMCounters()
        self._store = store
        self._network_keys = network_keys
        self._key_exchange = KeyExchange(network_keys, settings, random)
        self._policy = policy
        self._settings = settings
        self._random = random
        self._release_limit = ReleaseLimit(
            max(1, settings.releases_per_minute_max // settings.workers)
        )
        self._alarmed_at = float("-inf")
        self._told_at_s = 0
        self._take_up(now_s)

    def answer(self, request: HSMRequest, *, uid: int | None, now_s: int) -> HSMReply:
        """Answer one request of the user `uid`.

        Raises:
            KeystoreError: the key store was replaced by something unusable.
        """
        if not self._policy.permits(uid, request):
            return self.refuse("not_permitted")
        self._refresh(now_s)
        reply: HSMReply
        match request:
            case OpenCards():
                reply = self._open_cards(request, now_s)
            case Macs():
                reply = self._macs(request, now_s)
            case UnsealSecrets():
                reply = self._unseal_secrets(request)
            case ListKeys():
                reply = KeysListed(self._vault.public_keys(now_s))
            case SealSecrets():
                reply = self._seal_secrets(request, uid, now_s)
            case ListNetworkKeys():
                reply = self._key_exchange.listed(now_s=now_s)
            case ImportSessionKey() | GenerateSessionKey() | ChangeSessionKey() | LoadKek():
                reply = self._exchange_keys(request, uid, now_s)
            case ReleaseCards():
                raise TypeError("cards are released by `release`, which says what to note first")
            case _:
                assert_never(request)
        return reply

    def release(
        self, request: ReleaseCards, *, uid: int | None, now_s: int, monotonic_s: float
    ) -> tuple[HSMReply, list[Entry]]:
        """Take stored cards out for the user `uid`.

        Returns:
            The reply, and what `note` must have written before it is given to anybody.

        Raises:
            KeystoreError: as `answer`.
        """
        if not self._policy.permits(uid, request):
            return self.refuse("not_permitted"), []
        assert uid is not None  # or the policy had refused
        count = len(request.cards)
        if count > self._settings.release_cards_max:
            return self.refuse("batch_too_large"), []
        if not self._release_limit.take(count, now=monotonic_s):
            return self.refuse("rate_limited"), self._alarm(request, uid, monotonic_s)
        self._refresh(now_s)
        cards = release_cards(self._vault, request.cards, now_s=now_s)
        refused = sum(isinstance(card, ReleaseRefused) for card in cards)
        return CardsReleased(cards), audit_entries(request, uid=uid, refused=refused)

    def count_release(self, request: ReleaseCards, reply: HSMReply) -> None:
        """Count what an answer gave away, once it is known to be given."""
        if isinstance(reply, CardsReleased):
            released = sum(isinstance(card, ReleasedCard) for card in reply.cards)
            self.counters.cards_released[request.purpose] += released
            self.counters.cards_not_released_total += len(reply.cards) - released

    def note(self, entries: Sequence[Entry], *, at_s: int) -> None:
        """Write to the audit log, durably; its head is logged once a second. May run in a thread.

        Raises:
            AuditError: the log cannot be continued.
            OSError: the log cannot be written.
        """
        tell, self._told_at_s = at_s != self._told_at_s, at_s
        self._audit_log.append(entries, at_s=at_s, tell=tell)

    def refuse(self, reason: str) -> Refused:
        """Refuse a whole request, and count it."""
        self.counters.refusals[reason] += 1
        return Refused(reason)

    def _alarm(self, request: ReleaseCards, uid: int, monotonic_s: float) -> list[Entry]:
        """Say that somebody wants more cards than is plausible; once a minute."""
        self.counters.releases_limited_total += len(request.cards)
        if monotonic_s - self._alarmed_at < _ALARM_EVERY_S:
            return []
        self._alarmed_at = monotonic_s
        limit = self._settings.releases_per_minute_max
        _log.error("release_limit_reached", uid=uid, purpose=request.purpose, per_minute_max=limit)
        detail: dict[str, str | int] = {"uid": uid, "purpose": request.purpose}
        return [("release_limit_reached", detail | {"per_minute_max": limit})]

    def _refresh(self, now_s: int) -> None:
        self._store.refresh()
        if self._store.generation != self._generation:
            self._take_up(now_s)

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

    def _macs(self, request: Macs, now_s: int) -> HSMReply:
        if len(request.generate) + len(request.verify) > self._settings.macs_max:
            return self.refuse("batch_too_large")
        self._network_keys.refresh()
        reply = answer_macs(self._network_keys.working, request, now_s=now_s)
        generated = sum(type(mac) is bytes for mac in reply.generated)
        verified = sum(type(mac) is MacVerified for mac in reply.verified)
        mismatched = reply.verified.count(MISMATCH)
        counters = self.counters
        counters.macs_generated_total += generated
        counters.macs_verified_total += verified
        counters.macs_mismatched_total += mismatched
        counters.macs_without_key_total += (
            len(reply.generated) + len(reply.verified) - generated - verified - mismatched
        )
        return reply

    def _exchange_keys(self, request: KeyExchangeRequest, uid: int | None, now_s: int) -> HSMReply:
        if not well_formed(request):
            return self.refuse("malformed")
        assert uid is not None  # or the policy had refused
        reply = self._key_exchange.answer(request, uid=uid, now_s=now_s)
        if isinstance(reply, KeyRefused):
            self.counters.network_keys_refused_total += 1
        else:
            self.counters.network_key_changes_total += 1
        return reply

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
