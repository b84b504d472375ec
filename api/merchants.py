"""Merchants by publishable key, kept in memory for a while.

A request needs the merchant before it can be verified, and a look-up with an unsealing by the HSM
costs a hundred times a verification. So what was found is good for `merchant_cache_s`, which is
also how long a revoked key may go on working. Past half of that it is looked up again while it is
still in use, so that a busy merchant never waits. Looking up again asks the ledger alone as long as
the sealed secrets are the same: what they open to is known, and whether they are still good is the
ledger's to say. So those who were here before are known while the HSM is away, and their requests
under keys that were used before can be answered.

Keys that were not found are remembered apart and briefly: strangers can choose as many as they
like, and a new key should work soon.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

import msgspec
from attrs import define, field, frozen

from api.auth.verify import Merchant
from api.coalescing import Coalescer
from api.errors import Problem, ProblemError
from api.key_service import KeyService
from chassis.settings import API
from ledger.merchants import Credentials, get_credentials
from ledger.statements import Runner

SECRETS_PER_MERCHANT_MAX: Final = 2  # active pairs of one mode; bounds a batch of the HSM
REFRESH_FRACTION: Final = 0.5

Deliver = Callable[[Merchant | Problem | None], None]
Sealed = tuple[tuple[str, bytes], ...]  # publishable key and sealed secret of each active pair


@define
class Entry:
    """What is known of a publishable key."""

    merchant: Merchant | None
    loaded_at: float  # monotonic seconds
    sealed: Sealed = ()


@frozen
class Loaded:
    """A merchant, and what its secrets came from."""

    merchant: Merchant
    sealed: Sealed = field(repr=False)


class MerchantDirectory:
    """Finds merchants.

    Args:
        runner: a pool of role turnout_api.
        keys: the HSM.
        limits: cache times and bounds.
        batch_secrets_max: what the HSM unseals in one request.
    """

    def __init__(
        self, runner: Runner, keys: KeyService, limits: API, *, batch_secrets_max: int
    ) -> None:
        self._runner = runner
        self._keys = keys
        self._limits = limits
        self._known: OrderedDict[bytes, Entry] = OrderedDict()
        self._unknown: OrderedDict[bytes, Entry] = OrderedDict()
        self._waiting: dict[bytes, list[Deliver]] = {}
        self.queries: Coalescer[bytes, Loaded | Problem | None] = Coalescer(
            "credentials",
            self._load,
            queue_max=limits.queue_max,
            batch_max=batch_secrets_max // SECRETS_PER_MERCHANT_MAX,
        )

    def recall(self, publishable_key: bytes, now: float) -> Entry | None:
        """What is known and still good; None means ask `find`."""
        entry = self._known.get(publishable_key)
        if entry is not None:
            age_s = now - entry.loaded_at
            if age_s > self._limits.merchant_cache_s:
                return None
            if age_s > self._limits.merchant_cache_s * REFRESH_FRACTION:
                self._refresh(publishable_key, now)
            return entry
        entry = self._unknown.get(publishable_key)
        if entry is None or now - entry.loaded_at > self._limits.unknown_key_cache_s:
            return None
        return entry

    def find(self, publishable_key: bytes, now: float, deliver: Deliver) -> None:
        """Look a key up; whoever asks for the same key meanwhile shares the answer.

        Raises:
            ProblemError: `overloaded` or `shutting_down`; nothing will be delivered.
        """
        waiting = self._waiting.get(publishable_key)
        if waiting is not None:
            if len(waiting) >= self._limits.queue_max:
                raise ProblemError(Problem("overloaded", retry_after_s=1))
            waiting.append(deliver)
            return
        self.queries.submit(publishable_key, partial(self._loaded, publishable_key, now))
        self._waiting[publishable_key] = [deliver]

    def _refresh(self, publishable_key: bytes, now: float) -> None:
        if publishable_key in self._waiting:
            return
        try:
            self.find(publishable_key, now, lambda _found: None)
        except ProblemError:
            return  # no room now: the entry is good for a while, the next request tries again

    def _loaded(
        self, publishable_key: bytes, asked_at: float, found: Loaded | Problem | None
    ) -> None:
        told: Merchant | Problem | None
        if isinstance(found, Problem):
            told = found
        elif found is None:
            told = None
            self._remember(publishable_key, Entry(None, asked_at))
        else:
            told = found.merchant
            self._remember(publishable_key, Entry(found.merchant, asked_at, found.sealed))
        for deliver in self._waiting.pop(publishable_key, ()):
            deliver(told)

    def _remember(self, publishable_key: bytes, entry: Entry) -> None:
        self._known.pop(publishable_key, None)
        self._unknown.pop(publishable_key, None)
        cache = self._unknown if entry.merchant is None else self._known
        cache[publishable_key] = entry
        if len(cache) > self._limits.merchants_cached_max:
            cache.popitem(last=False)

    async def _load(self, batch: list[bytes]) -> list[Loaded | Problem | None]:
        found = await get_credentials(self._runner, [key.decode("ascii") for key in batch])
        results: dict[str, Loaded | Problem | None] = {
            credential.publishable_key: self._reuse(credential) for credential in found.values()
        }
        fresh = [found[name] for name, result in results.items() if result is None]
        try:
            results |= await self._open(fresh)
        except ProblemError as error:
            results |= dict.fromkeys((of.publishable_key for of in fresh), error.problem)
        return [results.get(key.decode("ascii")) for key in batch]

    def _reuse(self, credential: Credentials) -> Loaded | None:
        """What was opened before, if it was all of what is sealed now."""
        entry = self._known.get(credential.publishable_key.encode("ascii"))
        if entry is None or entry.merchant is None or entry.sealed != _sealed(credential):
            return None
        if len(entry.merchant.secrets) != len(entry.sealed):
            return None  # one did not open; it may now
        # The origins may be others by now, however long the secrets stay the same.
        merchant = msgspec.structs.replace(
            entry.merchant, browser_origins=tuple(credential.browser_origins)
        )
        return Loaded(merchant, entry.sealed)

    async def _open(self, credentials: Sequence[Credentials]) -> dict[str, Loaded]:
        """The merchants with their secrets opened, by one request to the HSM for all."""
        if not credentials:
            return {}
        unsealed = iter(
            await self._keys.unseal(
                [key for credential in credentials for key in credential.active_keys],
                [blob for credential in credentials for blob in credential.sealed_secrets],
            )
        )
        return {
            credential.publishable_key: Loaded(
                Merchant(
                    credential.merchant_id,
                    credential.publishable_key.encode("ascii"),
                    credential.live,
                    tuple(
                        secret
                        for secret in islice(unsealed, len(credential.active_keys))
                        if secret is not None
                    ),
                    tuple(credential.browser_origins),
                ),
                _sealed(credential),
            )
            for credential in credentials
        }


def _sealed(credential: Credentials) -> Sealed:
    return tuple(zip(credential.active_keys, credential.sealed_secrets, strict=True))
