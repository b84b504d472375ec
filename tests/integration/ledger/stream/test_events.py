"""Events made of what Postgres really sends: every published table, every operation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest

from ledger.ids import event_id, outcome_number, public_id
from ledger.stream.events import Event, EventDecoder, PreviousVersions
from tests.support.capturing import Captured, begin_capture, captured, end_capture
from tests.support.json_schema import violations
from tests.support.ledger import LedgerHarness

SCHEMA = json.loads((files("ledger.stream.schema") / "event-1.json").read_text())
# Every column that holds a card, or leads to one.
NEVER = {"sealed_card", "card_digest", "fingerprint"}


@pytest.fixture
async def slot(ledger: LedgerHarness) -> AsyncIterator[LedgerHarness]:
    """A ledger whose changes are kept for `captured`."""
    await begin_capture(ledger)
    try:
        yield ledger
    finally:
        await end_capture(ledger)


def _decoded(found: Captured) -> list[Event]:
    versions = PreviousVersions()
    decoder = EventDecoder(before=versions.find)
    events = []
    for offset, (data, descriptors) in enumerate(found):
        events.append(decoder.decode(0, offset, data, descriptors))
        versions.note(events[-1])
    return events


async def test_a_charge_is_four_tables_of_events(slot: LedgerHarness) -> None:
    """Create, charge and settle show as inserts and updates with their keys and positions."""
    [charge] = await slot.charged()
    events = _decoded(await captured(slot))
    assert sorted((event.table, event.operation) for event in events) == [
        ("attempts", "insert"),
        ("outcomes", "insert"),
        ("payment_intents", "insert"),
        ("payment_intents", "update"),
        ("payment_intents", "update"),
        ("transactions", "insert"),
    ]
    assert {event.intent_id for event in events} == {charge.intent_id}
    assert [event.place.offset for event in events] == list(range(len(events)))
    by_table = {event.table: event for event in events}
    assert by_table["outcomes"].id == event_id("outcomes", charge.attempt_id, outcome_number(1, 3))
    assert by_table["attempts"].id == event_id("attempts", charge.attempt_id)
    assert by_table["payment_intents"].id == event_id("payment_intents", charge.intent_id, 3)
    assert len({event.id for event in events}) == len(events)


async def test_before_is_the_previous_version(slot: LedgerHarness) -> None:
    """An intent's events lead from one version to the next."""
    await slot.charged()
    intents = [e for e in _decoded(await captured(slot)) if e.table == "payment_intents"]
    assert [event.version for event in intents] == [1, 2, 3]
    assert intents[0].before is None
    assert [event.before for event in intents[1:]] == [event.after for event in intents[:-1]]
    assert intents[2].before is not None
    assert intents[2].before.get("status") == "processing"


async def test_events_say_what_the_tables_say(slot: LedgerHarness) -> None:
    """Column by column, JSON holds what Postgres' own JSON of the row holds."""
    await slot.charged(result="declined")
    events = _decoded(await captured(slot))
    for table in ("transactions", "attempts", "outcomes", "payment_intents"):
        event = [event for event in events if event.table == table][-1]
        assert event.after is not None
        document = event.after.document()
        key = "id" if table == "payment_intents" else "intent_id"
        [(text,)] = await slot.rows(
            f"SELECT to_jsonb(t)::text FROM {table} AS t WHERE {key} = $1::uuid",
            event.intent_id or b"",
        )
        row = json.loads(text)
        assert {name: _comparable(row[name]) for name in document} == {
            name: _comparable(value) for name, value in document.items()
        }


def _comparable(value: Any) -> Any:
    """Instants differ in how they are written, and in nothing else."""
    if isinstance(value, str) and value[10:11] == "T":
        whole, _, fraction = value.removesuffix("Z").removesuffix("+00:00").partition(".")
        return f"{whole}.{fraction:0<6}"
    return value


async def test_no_event_leads_to_a_card(slot: LedgerHarness) -> None:
    """What the publication leaves out is in no record, in no form."""
    [charge] = await slot.charged()
    found = await captured(slot)
    stream = b"".join(data for data, _ in found)
    for secret in (charge.sealed_card, charge.card_digest, charge.fingerprint):
        assert secret is not None
        assert secret not in stream
    for event in _decoded(found):
        assert event.after is not None
        assert not NEVER & event.after.document().keys()


async def test_an_event_is_a_json_document(slot: LedgerHarness) -> None:
    """The document's outer form is the one that docs/events.md shows."""
    [charge] = await slot.charged()
    event = next(e for e in _decoded(await captured(slot)) if e.table == "outcomes")
    document = json.loads(json.dumps(event.document()))
    assert document["schema_version"] == 1
    assert document["id"] == public_id("evt", event.id)
    assert document["payment_intent"] == public_id("pi", charge.intent_id)
    assert document["key"].keys() == {"intent_id", "attempt_id", "phase"}
    assert document["position"].keys() == {
        *("shard", "partition", "offset", "commit_lsn", "ordinal")
    }
    assert (document["before"], document["version"], document["repair"]) == (None, None, False)


async def test_deletes_and_truncates_are_events_too(slot: LedgerHarness) -> None:
    """Nothing of ours deletes; whoever does leaves an event with the key, or the table's name."""
    [charge] = await slot.charged()
    await captured(slot)
    await slot.rows("DELETE FROM outcomes WHERE intent_id = $1::uuid", charge.intent_id)
    await slot.rows("TRUNCATE attempts")
    deleted, truncated = _decoded(await captured(slot))
    assert (deleted.operation, deleted.table, deleted.after) == ("delete", "outcomes", None)
    assert deleted.id == event_id("outcomes", charge.attempt_id, 1)
    assert deleted.before is not None
    assert deleted.before.values().keys() == {"intent_id", "attempt_id", "phase"}
    assert (truncated.operation, truncated.table) == ("truncate", "attempts")
    assert (truncated.key, truncated.intent_id, truncated.after) == ({}, None, None)


async def test_the_schema_names_every_published_column(ledger: LedgerHarness) -> None:
    """A migration that publishes a column, or lets one be null, has to say so in the schema."""
    published = await ledger.rows(
        "SELECT t.tablename::text, a.attname::text, a.attnotnull"
        " FROM pg_publication_tables AS t"
        " JOIN pg_attribute AS a ON a.attrelid = t.tablename::regclass"
        " AND a.attname = ANY (t.attnames)"
        " WHERE t.pubname = 'turnout_events'"
    )
    documented = {
        (table, column, "$ref" in form)
        for table in SCHEMA["properties"]["table"]["enum"]
        for column, form in SCHEMA["$defs"][table]["properties"].items()
    }
    assert set(published) == documented


async def test_events_keep_to_their_schema(slot: LedgerHarness) -> None:
    """Every event of a payment passes the schema, and a spoilt one does not."""
    await slot.charged()
    await slot.charged(result="unknown")
    documents = [event.document() for event in _decoded(await captured(slot))]
    assert [list(violations(document, SCHEMA, SCHEMA)) for document in documents] == [
        [] for _ in documents
    ]
    outcome = next(document for document in documents if document["table"] == "outcomes")
    spoilt = outcome | {"after": outcome["after"] | {"intent_id": "4711"}}
    assert list(violations(spoilt, SCHEMA, SCHEMA)) == ["$.after.intent_id: pattern"]
