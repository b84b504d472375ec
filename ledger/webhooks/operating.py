"""What operators see of webhooks, and do about them; each deed is audited (`ledger.operators`)."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ledger.operators import check_answer, check_texts
from ledger.pgtypes import bool_, int8_, text_, timestamptz_, uuid_
from ledger.statements import QUERIES, Runner
from ledger.webhooks.deliveries import DeliveryRow

_ENDPOINTS: Final = QUERIES["operator_endpoints"]
_DELIVERIES: Final = QUERIES["operator_deliveries"]
_REPLAY: Final = QUERIES["replay_webhooks"]
_SWITCH: Final = QUERIES["switch_webhook_endpoint"]


class EndpointEntry(Struct, frozen=True):
    """An endpoint of any merchant."""

    endpoint_id: bytes
    merchant_id: bytes
    live: bool
    status: str
    disabled_reason: str
    url: str
    event_types: list[str]
    created_at_us: int


async def all_endpoints(
    runner: Runner, *, merchant_id: bytes | None, limit: int
) -> list[EndpointEntry]:
    """Endpoints of all merchants, or of one, oldest first."""
    merchant = None if merchant_id is None else uuid_(merchant_id)
    rows = (await runner.run(_ENDPOINTS, [merchant, uuid_(bytes(16)), int8_(limit)])).rows()
    return [EndpointEntry(*row) for row in rows]


async def all_deliveries(
    runner: Runner, *, endpoint_id: bytes | None, status: str, limit: int
) -> list[DeliveryRow]:
    """The newest deliveries, or those of one endpoint."""
    endpoint = None if endpoint_id is None else uuid_(endpoint_id)
    rows = (await runner.run(_DELIVERIES, [endpoint, text_(status), int8_(limit)])).rows()
    return [DeliveryRow(*row) for row in rows]


async def replay_range(
    runner: Runner,
    endpoint_id: bytes,
    *,
    from_us: int,
    before_us: int,
    only_failed: bool,
    operator: str,
    note: str = "",
) -> int:
    """Have an endpoint's deliveries that were made in a time, and are over, tried anew.

    Returns:
        How many.

    Raises:
        OperatorError: the texts cannot be kept.
    """
    check_texts(operator, note)
    params = [
        uuid_(endpoint_id),
        timestamptz_(from_us),
        timestamptz_(before_us),
        bool_(only_failed),
        text_(operator),
        text_(note),
    ]
    return int((await runner.run(_REPLAY, params)).column(0)[0])


async def switch_endpoint(
    runner: Runner, endpoint_id: bytes, *, on: bool, operator: str, note: str = ""
) -> None:
    """Enable or disable an endpoint.

    Raises:
        OperatorError: there is none such, or the texts cannot be kept.
    """
    check_texts(operator, note)
    params = [uuid_(endpoint_id), bool_(on), text_(operator), text_(note)]
    check_answer((await runner.run(_SWITCH, params)).column(0)[0])
