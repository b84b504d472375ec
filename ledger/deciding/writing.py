"""Plans to statements: one per table for the whole batch, one array per column.

A table below names, in the order of its statement's parameters, the fields that its arrays are
packed from: of the plan's own record, or, with `its_` before them, of the intent it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ledger.connection import Step
from ledger.deciding.checks import moves
from ledger.deciding.records import IntentView, Plan
from ledger.pgtypes import (
    bool_array,
    int2_array,
    int4_,
    int4_array,
    int8_array,
    text_,
    text_array,
    timestamptz_array,
    uuid_,
    uuid_array,
)
from ledger.settlement import settlement_day
from ledger.statements import QUERIES

Packer = Callable[[Sequence[Any]], bytes]


class _Context(msgspec.Struct, frozen=True):
    """The intent that a row is for, after its plan."""

    intent_id: bytes
    merchant_id: bytes
    version: int
    new_version: int | None  # None where the plan leaves the version as it was
    status: str


_Row = tuple[_Context, Any]


class _Table:
    """A statement that takes rows, and what each array of them is packed from."""

    def __init__(self, query: str, *, owned: bool = False, **columns: Packer) -> None:
        self._query = QUERIES[query]
        self._columns = [(pack, _getter(name)) for name, pack in columns.items()]
        self.owned = owned  # its first parameters are the switch and the epoch

    def step(self, rows: Iterable[_Row], head: Sequence[bytes] = ()) -> Step:
        rows = list(rows)
        arrays = [pack(list(map(get, rows))) for pack, get in self._columns]
        return self._query, [*head, *arrays]


def _getter(name: str) -> Callable[[_Row], Any]:
    if name == "value":  # the record is the value itself
        return lambda row: row[1]
    place, field = (0, name.removeprefix("its_")) if name.startswith("its_") else (1, name)
    get = attrgetter(field)
    return lambda row: get(row[place])


def _json_array(documents: Sequence[Any]) -> bytes:
    return text_array([msgspec.json.encode(document).decode() for document in documents])


def _day_array(dates: Sequence[str]) -> bytes:
    return int4_array(list(map(settlement_day, dates)))


_KEYS: Final = _Table(
    "insert_plan_keys",
    merchant_id=uuid_array,
    key_digest=uuid_array,
    request_hash=uuid_array,
    its_intent_id=uuid_array,
    transaction_id=uuid_array,
)
_INTENTS: Final = _Table(
    "change_intents",
    intent_id=uuid_array,
    live_transaction_id=uuid_array,
    capturable_minor=int8_array,
    captured_minor=int8_array,
    refund_pending_minor=int8_array,
    refunded_minor=int8_array,
    disputed_minor=int8_array,
    capture_before_us=timestamptz_array,
    charge_count=int2_array,
    reversing=bool_array,
    cancel_requested=bool_array,
    status=text_array,
    canceled_by=text_array,
)
_EXPIRY: Final = _Table("expire_intents_at", value=timestamptz_array, its_intent_id=uuid_array)
_REFERENCES: Final = _Table("free_references", its_intent_id=uuid_array)
# By the fields of `Plan`, in the order in which they run.
_TABLES: Final = {
    "transactions": _Table(
        "insert_plan_transactions",
        its_intent_id=uuid_array,
        transaction_id=uuid_array,
        request_id=uuid_array,
        amount_minor=int8_array,
        its_version=int4_array,
        final_capture=bool_array,
        type=text_array,
        currency=text_array,
    ),
    "attempts": _Table(
        "insert_plan_attempts",
        owned=True,
        its_intent_id=uuid_array,
        attempt_id=uuid_array,
        transaction_id=uuid_array,
        amount_minor=int8_array,
        deadline_at_us=timestamptz_array,
        its_new_version=int4_array,
        network=text_array,
        acquirer_id=text_array,
        mti=text_array,
        stan=text_array,
        rrn=text_array,
        de7=text_array,
        currency=text_array,
        kind=text_array,
    ),
    "outcomes": _Table(
        "insert_plan_outcomes",
        owned=True,
        its_intent_id=uuid_array,
        attempt_id=uuid_array,
        transaction_id=uuid_array,
        request_id=uuid_array,
        at_us=timestamptz_array,
        its_version=int4_array,
        phase=int2_array,
        actor=text_array,
        result=text_array,
        from_status=text_array,
        to_status=text_array,
        its_status=text_array,
        response_code=text_array,
        approval_code=text_array,
        decline_code=text_array,
        advice=text_array,
        approved_minor=int8_array,
        settles_on=_day_array,
    ),
    "saf_drop": _Table("drop_saf_rows", value=uuid_array),
    "saf_update": _Table(
        "change_saf_rows",
        attempt_id=uuid_array,
        due_at_us=timestamptz_array,
        repeats=int4_array,
        manual=bool_array,
    ),
    "saf_add": _Table(
        "add_saf_rows",
        owned=True,
        attempt_id=uuid_array,
        its_intent_id=uuid_array,
        transaction_id=uuid_array,
        due_at_us=timestamptz_array,
        repeats=int4_array,
        manual=bool_array,
        network=text_array,
        kind=text_array,
    ),
    "verify_drop": _Table("drop_verification_rows", value=uuid_array),
    "verify_update": _Table(
        "change_verification_rows",
        attempt_id=uuid_array,
        due_at_us=timestamptz_array,
        inquiries=int4_array,
    ),
    "verify_add": _Table(
        "add_verification_rows",
        owned=True,
        attempt_id=uuid_array,
        its_intent_id=uuid_array,
        transaction_id=uuid_array,
        due_at_us=timestamptz_array,
        window_ends_at_us=timestamptz_array,
        inquiries=int4_array,
        network=text_array,
    ),
    "exceptions": _Table(
        "open_exceptions",
        kind=text_array,
        network=text_array,
        its_intent_id=uuid_array,
        transaction_id=uuid_array,
        attempt_id=uuid_array,
        detail=_json_array,
    ),
    "declines": _Table(
        "remember_declines",
        at_us=timestamptz_array,
        attempt_id=uuid_array,
        its_merchant_id=uuid_array,
        fingerprint=uuid_array,
        network=text_array,
        decline_class=text_array,
    ),
}


class Writer:
    """Collects what the plans of a batch write.

    Args:
        owner: the switch whose rows these are.
        epoch: of its lease.
    """

    def __init__(self, owner: str, epoch: int) -> None:
        self._head = [text_(owner), int4_(epoch)]
        self._rows: dict[str, list[_Row]] = {name: [] for name in _TABLES}
        self._keys: list[_Row] = []
        self._intents: list[_Row] = []
        self._expiry: list[_Row] = []
        self._references: list[_Row] = []

    def add(self, view: IntentView, plan: Plan) -> None:
        """Take in one plan, which `check_plan` has passed."""
        moved = moves(plan, view)
        after = replace(view, **plan.intent) if plan.intent else view
        version = view.version + moved
        context = _Context(
            view.intent_id, view.merchant_id, version, version if moved else None, after.status
        )
        for name, rows in self._rows.items():
            rows += [(context, record) for record in getattr(plan, name)]
        if moved:
            self._intents.append((context, after))
        if plan.key is not None:
            self._keys.append((context, plan.key))
        if plan.free_reference:
            self._references.append((context, None))
        if plan.expire_at_us is not None:
            self._expiry.append((context, plan.expire_at_us))

    def steps(self) -> list[Step]:
        """The statements, in the order in which they run; none if nothing changes."""
        steps = []
        if self._keys:  # first, for one that is taken ends it all; in the order of commit 1
            steps.append(_KEYS.step(sorted(self._keys, key=lambda row: row[1].key_digest)))
        steps += [
            table.step(rows, self._head if table.owned else ())
            for table, rows in zip(_TABLES.values(), self._rows.values(), strict=True)
            if rows
        ]
        if self._intents:
            ids = [after.intent_id for _, after in self._intents]
            steps.append(_INTENTS.step(self._intents, [uuid_(min(ids)), uuid_(max(ids))]))
        if self._expiry:
            steps.append(_EXPIRY.step(self._expiry))
        if self._references:
            steps.append(_REFERENCES.step(self._references))
        return steps
