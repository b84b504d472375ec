"""What `turnout webhooks` shows and does: where merchants are told, how that went, once more."""

from __future__ import annotations

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.webhooks.deliveries import DeliveryRow, TryRow, read_tries
from ledger.webhooks.operating import (
    EndpointEntry,
    all_deliveries,
    all_endpoints,
    replay_range,
    switch_endpoint,
)
from stack.acting import Document
from stack.instants import rfc3339
from stack.running import RunningStack


async def list_endpoints(
    _stack: RunningStack, session: Connection, *, merchant_id: bytes | None, limit: int
) -> Document:
    """Endpoints, oldest first."""
    found = await all_endpoints(session, merchant_id=merchant_id, limit=limit + 1)
    return {
        "endpoints": [endpoint_document(entry) for entry in found[:limit]],
        "more": len(found) > limit,
    }


async def list_deliveries(
    _stack: RunningStack,
    session: Connection,
    *,
    endpoint_id: bytes | None,
    status: str,
    limit: int,
) -> Document:
    """Deliveries with their tries, newest first."""
    found = await all_deliveries(session, endpoint_id=endpoint_id, status=status, limit=limit + 1)
    tries = await read_tries(session, [row.delivery_id for row in found[:limit]])
    return {
        "deliveries": [delivery_document(row, tries[row.delivery_id]) for row in found[:limit]],
        "more": len(found) > limit,
    }


async def replay(
    _stack: RunningStack,
    session: Connection,
    *,
    endpoint_id: bytes,
    from_us: int,
    before_us: int,
    only_failed: bool,
    operator: str,
    note: str,
) -> Document:
    """Have deliveries tried anew.

    Raises:
        OperatorError: the texts cannot be kept.
    """
    count = await replay_range(
        session,
        endpoint_id,
        from_us=from_us,
        before_us=before_us,
        only_failed=only_failed,
        operator=operator,
        note=note,
    )
    return {
        "endpoint": public_id("we", endpoint_id),
        "action": "replay",
        "deliveries": count,
        "operator": operator,
    }


async def switch(
    _stack: RunningStack,
    session: Connection,
    *,
    endpoint_id: bytes,
    on: bool,
    operator: str,
    note: str,
) -> Document:
    """Enable or disable an endpoint.

    Raises:
        OperatorError: there is none such, or the texts cannot be kept.
    """
    await switch_endpoint(session, endpoint_id, on=on, operator=operator, note=note)
    return {
        "endpoint": public_id("we", endpoint_id),
        "action": "enable" if on else "disable",
        "operator": operator,
    }


def endpoint_document(entry: EndpointEntry) -> Document:
    """An endpoint as the CLI's JSON shows it."""
    return {
        "endpoint": public_id("we", entry.endpoint_id),
        "merchant": public_id("mer", entry.merchant_id),
        "mode": "live" if entry.live else "test",
        "status": entry.status,
        "disabled_reason": entry.disabled_reason or None,
        "url": entry.url,
        "event_types": list(entry.event_types),
        "created_at": rfc3339(entry.created_at_us),
    }


def delivery_document(row: DeliveryRow, tries: list[TryRow]) -> Document:
    """A delivery as the CLI's JSON shows it."""
    return {
        "delivery": public_id("whd", row.delivery_id),
        "endpoint": public_id("we", row.endpoint_id),
        "event": public_id("evt", row.event_id),
        "event_type": row.event_type,
        "status": row.status,
        "try_count": row.tries,
        "next_try_at": None if row.due_at_us is None else rfc3339(row.due_at_us),
        "created_at": rfc3339(row.created_at_us),
        "tries": [
            {
                "number": one.number,
                "started_at": rfc3339(one.started_at_us),
                "duration_ms": one.duration_ms,
                "status_code": one.status_code,
                "reason": one.reason or None,
            }
            for one in tries
        ],
    }
