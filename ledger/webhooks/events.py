"""What merchants are told: rows of `merchant_events`, and what goes into them.

Everything here is read from what never changes (details, transactions, outcomes) or from what was
told before, so a version is told the same however often it is planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from ledger.connection import Step
from ledger.pgtypes import (
    bool_,
    bool_array,
    bytea_array,
    int4_array,
    int8_,
    int8_array,
    text_array,
    timestamptz_,
    timestamptz_array,
    uuid_,
    uuid_array,
)
from ledger.records import IntentRow, TransactionRow
from ledger.statements import QUERIES, Runner
from ledger.timeline import read_timeline
from ledger.webhooks.changes import Version
from ledger.webhooks.kinds import EVENT_TYPES, Told

_TOLD: Final = QUERIES["states_told_before"]
_DETAILS: Final = QUERIES["details_at_versions"]
_INSERT: Final = QUERIES["insert_merchant_events"]
_LIST: Final = QUERIES["list_merchant_events"]
LATEST_US: Final = 253_402_300_799_000_000  # the last second of the year 9999
HIGHEST_ID: Final = b"\xff" * 16


class NewEvent(Struct, frozen=True):
    """An event to be told."""

    version: Version
    type: str
    occurred_at_us: int
    body: bytes


class EventRow(Struct, frozen=True):
    """An event that was told."""

    event_id: bytes
    occurred_at_us: int
    body: bytes


async def told_before(runner: Runner, versions: Sequence[Version]) -> list[Told | None]:
    """What was told last before each version; None where nothing was."""
    found: list[Told | None] = [None] * len(versions)
    for place, status, refunded_minor in (await runner.run(_TOLD, _places(versions))).rows():
        found[place - 1] = Told(status, refunded_minor)
    return found


async def kind_in_timeline(runner: Runner, version: Version) -> str:
    """The type of a version's event by the payment's history; empty where it is none.

    For payments older than their merchant's first endpoint, of which nothing was told before.
    """
    story = await read_timeline(runner, version.merchant_id, version.intent_id, live=version.live)
    types = [event.type for event in story or () if event.sequence == version.version]
    return next((type_ for type_ in types if type_ in EVENT_TYPES), "")


async def rows_at(runner: Runner, versions: Sequence[Version]) -> list[IntentRow | None]:
    """The payments as they were at these versions; None where the ledger has no such payment."""
    found: list[IntentRow | None] = [None] * len(versions)
    for place, description, metadata, reference, *of in (
        await runner.run(_DETAILS, _places(versions))
    ).rows():
        version = versions[place - 1]
        found[place - 1] = _row(version, (description, metadata, reference), of)
    return found


def _row(
    version: Version, details: tuple[str | None, bytes | None, str | None], of: Sequence[object]
) -> IntentRow:
    description, metadata, reference = details
    return IntentRow(
        intent_id=version.intent_id,
        merchant_id=version.merchant_id,
        live=version.live,
        amount_minor=version.amount_minor,
        currency=version.currency,
        status=version.status,
        capture_method=version.capture_method,
        allow_partial=version.allow_partial,
        capturable_minor=version.capturable_minor,
        captured_minor=version.captured_minor,
        refunded_minor=version.refunded_minor,
        disputed_minor=version.disputed_minor,
        cancel_requested=version.cancel_requested,
        capture_before_us=version.capture_before_us,
        version=version.version,
        created_at_us=version.created_at_us,
        updated_at_us=version.updated_at_us,
        client_secret_hash=b"",
        description=description,
        metadata=metadata,
        merchant_reference=reference,
        latest_transaction=TransactionRow(*of) if of[0] is not None else None,  # type: ignore[arg-type]
    )


def insert_step(events: Sequence[NewEvent]) -> Step:
    """The statement that keeps events."""
    versions = [event.version for event in events]
    return (
        _INSERT,
        [
            uuid_array([version.event_id for version in versions]),
            uuid_array([version.merchant_id for version in versions]),
            uuid_array([version.intent_id for version in versions]),
            int8_array([version.refunded_minor for version in versions]),
            timestamptz_array([event.occurred_at_us for event in events]),
            int4_array([version.version for version in versions]),
            bool_array([version.live for version in versions]),
            text_array([version.status for version in versions]),
            text_array([event.type for event in events]),
            bytea_array([event.body for event in events]),
        ],
    )


async def list_events(
    runner: Runner,
    merchant_id: bytes,
    *,
    live: bool,
    before: tuple[int, bytes] | None,
    types: Sequence[str],
    limit: int,
) -> list[EventRow]:
    """A merchant's events, newest first.

    Args:
        runner: of role turnout_api.
        merchant_id: whose.
        live: of which mode.
        before: instant and id of the last event of the page before.
        types: only these; all if empty.
        limit: at most.
    """
    at_us, id_ = before or (LATEST_US, HIGHEST_ID)
    params = [
        uuid_(merchant_id),
        bool_(live),
        timestamptz_(at_us),
        uuid_(id_),
        text_array(types),
        int8_(limit),
    ]
    return [EventRow(*row) for row in (await runner.run(_LIST, params)).rows()]


def _places(versions: Sequence[Version]) -> list[bytes | None]:
    return [
        uuid_array([version.intent_id for version in versions]),
        int4_array([version.version for version in versions]),
    ]
