"""Where to send and what signs it, by endpoint; kept for a moment.

Endpoints change rarely and are sent to often: a change takes effect within `endpoint_cache_s`. What
a sealed secret opens to never changes, so it is asked for once; while the HSM is away, endpoints
that are known go on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import attrs
import trio

from api.key_service import KeyService
from api.webhooks.targets import TargetError, TargetURL, parse_target
from chassis.settings.webhooks import Webhooks
from ledger.statements import Runner
from ledger.webhooks.endpoints import Target, secret_context, targets

ENDPOINTS_MAX: Final = 16_384  # kept in memory: 1 kB each


@attrs.frozen
class Destination:
    """An endpoint that may be sent to."""

    url: TargetURL = attrs.field(repr=False)
    keys: tuple[bytes, ...] = attrs.field(repr=False)


@attrs.frozen
class _Known:
    loaded_at: float
    sealed_secrets: tuple[bytes, ...] = attrs.field(repr=False)
    destination: Destination | None


class Keyring:
    """Finds destinations.

    Args:
        directory: of role turnout_webhooks on shard 0.
        keys: the HSM.
        limits: cache time, and what URLs may be.
        live: the mode of this installation; endpoints of the other one are not sent to.
        batch_secrets_max: what the HSM unseals in one request.
    """

    def __init__(
        self,
        directory: Runner,
        keys: KeyService,
        limits: Webhooks,
        *,
        live: bool,
        batch_secrets_max: int,
    ) -> None:
        self._directory = directory
        self._keys = keys
        self._limits = limits
        self._live = live
        self._batch_secrets_max = batch_secrets_max
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def find(self, ids: Sequence[bytes]) -> dict[bytes, Destination | None]:
        """Destinations by endpoint; None for one that is deleted, disabled or not allowed.

        Raises:
            ProblemError: the HSM is away, and has a secret that is not known.
            DatabaseError: or one of its children.
        """
        now = trio.current_time()
        old = [
            id_
            for id_ in ids
            if (known := self._known.get(id_)) is None
            or now - known.loaded_at > self._limits.endpoint_cache_s
        ]
        if old:
            await self._load(old, now)
        return {id_: self._known[id_].destination for id_ in ids}

    def forget(self, endpoint_id: bytes) -> None:
        """Look an endpoint up again before the next try."""
        self._known.pop(endpoint_id, None)

    async def _load(self, ids: Sequence[bytes], now: float) -> None:
        found = await targets(self._directory, ids)
        fresh = [target for target in found.values() if self._opened(target) is None]
        opened = await self._open(fresh)
        for id_ in ids:
            target = found.get(id_)
            if target is None:
                self._remember(id_, _Known(now, (), None))
                continue
            keys = self._opened(target) or opened[id_]
            destination = self._destination(target, keys)
            self._remember(id_, _Known(now, target.sealed_secrets, destination))

    def _opened(self, target: Target) -> tuple[bytes, ...] | None:
        """The keys of an endpoint whose sealed secrets are those that were opened before."""
        known = self._known.get(target.endpoint_id)
        if known is None or known.destination is None:
            return None
        return known.destination.keys if known.sealed_secrets == target.sealed_secrets else None

    async def _open(self, fresh: Sequence[Target]) -> dict[bytes, tuple[bytes, ...]]:
        blobs = [blob for target in fresh for blob in target.sealed_secrets]
        contexts = [
            secret_context(target.endpoint_id) for target in fresh for _ in target.sealed_secrets
        ]
        secrets: list[bytes] = []
        for at in range(0, len(blobs), self._batch_secrets_max):
            part = slice(at, at + self._batch_secrets_max)
            secrets += await self._keys.open(blobs[part], contexts[part])
        rest: Iterator[bytes] = iter(secrets)
        return {
            target.endpoint_id: tuple(
                secret for secret in islice(rest, len(target.sealed_secrets)) if secret
            )
            for target in fresh
        }

    def _destination(self, target: Target, keys: tuple[bytes, ...]) -> Destination | None:
        if not target.enabled or target.live is not self._live or not keys:
            return None
        try:
            url = parse_target(
                target.url,
                ports=self._limits.ports,
                allow_loopback=self._limits.allow_loopback and not self._live,
            )
        except TargetError:
            return None
        return Destination(url, keys)

    def _remember(self, id_: bytes, known: _Known) -> None:
        self._known.pop(id_, None)
        self._known[id_] = known
        if len(self._known) > ENDPOINTS_MAX:
            self._known.popitem(last=False)
