"""Where merchants want to be told: rows of `webhook_endpoints`, on shard 0.

The secret that signs is sealed by the HSM, bound to the endpoint's id; two are there while one is
being rolled. Creating and rolling are idempotent by a digest of the merchant's key, kept with the
row itself: an endpoint lives long, and there are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
from msgspec import Struct

from ledger.ids import public_id
from ledger.pgtypes import bool_, bytea_, int4_, int8_, text_, text_array, uuid_, uuid_array
from ledger.statements import QUERIES, Runner

_LISTENING: Final = QUERIES["listening_endpoints"]
_TARGETS: Final = QUERIES["webhook_targets"]
_DISABLE_GONE: Final = QUERIES["disable_gone_endpoints"]
_CREATE: Final = QUERIES["create_webhook_endpoint"]
_OF_KEY: Final = QUERIES["webhook_endpoint_of_key"]
_LIST: Final = QUERIES["list_webhook_endpoints"]
_GET: Final = QUERIES["get_webhook_endpoint"]
_UPDATE: Final = QUERIES["update_webhook_endpoint"]
_DELETE: Final = QUERIES["delete_webhook_endpoint"]
_ROLL: Final = QUERIES["roll_webhook_secret"]


def secret_context(endpoint_id: bytes) -> bytes:
    """What a signing secret is bound to when the HSM seals it.

    No publishable key begins like this, so a secret of one kind never opens as the other.
    """
    return b"webhook:" + public_id("we", endpoint_id).encode("ascii")


class Listening(Struct, frozen=True):
    """An endpoint as the maker of deliveries sees it."""

    endpoint_id: bytes
    enabled: bool
    created_at_us: int
    event_types: tuple[str, ...]

    def wants(self, type_: str, committed_at_us: int) -> bool:
        """Whether it is told of an event: of its types, and of nothing before it was there."""
        return (
            self.enabled
            and committed_at_us >= self.created_at_us
            and (not self.event_types or type_ in self.event_types)
        )


@attrs.frozen
class Target:
    """An endpoint as the sender sees it; secrets sealed."""

    endpoint_id: bytes
    live: bool
    enabled: bool
    url: str = attrs.field(repr=False)  # merchants put credentials into paths
    sealed_secrets: tuple[bytes, ...] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class NewEndpoint:
    """An endpoint to create."""

    endpoint_id: bytes
    merchant_id: bytes
    live: bool
    url: str = attrs.field(repr=False)
    description: str
    event_types: Sequence[str]
    api_version: str
    sealed_secret: bytes = attrs.field(repr=False)
    key_digest: bytes
    request_hash: bytes


@attrs.frozen
class EndpointRow:
    """An endpoint as its merchant sees it."""

    endpoint_id: bytes
    created_at_us: int
    updated_at_us: int
    previous_until_us: int | None
    live: bool
    status: str
    disabled_reason: str
    url: str = attrs.field(repr=False)
    description: str
    event_types: Sequence[str]
    api_version: str
    sealed_secret: bytes = attrs.field(repr=False)
    roll_key: bytes | None
    roll_hash: bytes | None


@attrs.frozen
class EndpointChange:
    """What is to be changed; None leaves it."""

    url: str | None = None
    description: str | None = None
    event_types: Sequence[str] | None = None
    enabled: bool | None = None


class CreatedBefore(Struct, frozen=True):
    """An endpoint that stands under the key of a creation."""

    endpoint_id: bytes
    request_hash: bytes
    rolled: bool


async def listening(
    runner: Runner, merchants: Sequence[bytes]
) -> dict[tuple[bytes, bool], list[Listening]]:
    """The endpoints of some merchants, disabled ones included, by merchant and mode."""
    found: dict[tuple[bytes, bool], list[Listening]] = {}
    for merchant_id, live, id_, enabled, created_at_us, types in (
        await runner.run(_LISTENING, [uuid_array(merchants)])
    ).rows():
        one = Listening(id_, enabled, created_at_us, tuple(types))
        found.setdefault((merchant_id, live), []).append(one)
    return found


async def targets(runner: Runner, ids: Sequence[bytes]) -> dict[bytes, Target]:
    """Where to send; what was deleted is not there."""
    found = {}
    for id_, live, enabled, url, sealed, previous in (
        await runner.run(_TARGETS, [uuid_array(ids)])
    ).rows():
        secrets = (sealed,) if previous is None else (sealed, previous)
        found[id_] = Target(id_, live, enabled, url, secrets)
    return found


async def disable_gone(runner: Runner, ids: Sequence[bytes]) -> None:
    """Disable endpoints that answered 410."""
    await runner.run(_DISABLE_GONE, [uuid_array(ids)])


async def create_endpoint(
    runner: Runner, new: NewEndpoint, *, endpoints_max: int
) -> CreatedBefore | bool:
    """Create an endpoint.

    Returns:
        True where it was created, False where the merchant has as many as are allowed; or what
        stands under the key already.
    """
    params = [
        uuid_(new.endpoint_id),
        uuid_(new.merchant_id),
        bool_(new.live),
        text_(new.url),
        text_(new.description),
        text_array(new.event_types),
        text_(new.api_version),
        bytea_(new.sealed_secret),
        uuid_(new.key_digest),
        uuid_(new.request_hash),
        int4_(endpoints_max),
    ]
    if (await runner.run(_CREATE, params)).row_count:
        return True
    found = (await runner.run(_OF_KEY, [uuid_(new.merchant_id), uuid_(new.key_digest)])).rows()
    return CreatedBefore(*found[0]) if found else False


async def list_endpoints(
    runner: Runner, merchant_id: bytes, *, live: bool, below: bytes, limit: int
) -> list[EndpointRow]:
    """A merchant's endpoints, newest first."""
    params = [uuid_(merchant_id), bool_(live), uuid_(below), int8_(limit)]
    return [EndpointRow(*row) for row in (await runner.run(_LIST, params)).rows()]


async def get_endpoint(
    runner: Runner, merchant_id: bytes, endpoint_id: bytes, *, live: bool
) -> EndpointRow | None:
    """One endpoint of a merchant, or None."""
    params = [uuid_(merchant_id), bool_(live), uuid_(endpoint_id)]
    rows = (await runner.run(_GET, params)).rows()
    return EndpointRow(*rows[0]) if rows else None


async def update_endpoint(
    runner: Runner, merchant_id: bytes, endpoint_id: bytes, change: EndpointChange, *, live: bool
) -> bool:
    """Change an endpoint; whether there is one."""
    params = [
        uuid_(merchant_id),
        bool_(live),
        uuid_(endpoint_id),
        None if change.url is None else text_(change.url),
        None if change.description is None else text_(change.description),
        None if change.event_types is None else text_array(change.event_types),
        None if change.enabled is None else bool_(change.enabled),
    ]
    return (await runner.run(_UPDATE, params)).row_count > 0


async def delete_endpoint(
    runner: Runner, merchant_id: bytes, endpoint_id: bytes, *, live: bool
) -> bool:
    """Delete an endpoint; whether there was one."""
    params = [uuid_(merchant_id), bool_(live), uuid_(endpoint_id)]
    return (await runner.run(_DELETE, params)).row_count > 0


async def roll_secret(
    runner: Runner,
    merchant_id: bytes,
    endpoint_id: bytes,
    *,
    live: bool,
    sealed_secret: bytes,
    overlap_s: float,
    key_digest: bytes,
    request_hash: bytes,
) -> bool:
    """Put a new secret in; False where there is no such endpoint, or this key has rolled it."""
    params = [
        uuid_(merchant_id),
        bool_(live),
        uuid_(endpoint_id),
        bytea_(sealed_secret),
        int8_(int(overlap_s * 1_000)),
        uuid_(key_digest),
        uuid_(request_hash),
    ]
    return (await runner.run(_ROLL, params)).row_count > 0
