"""What stands in Kafka, as pure functions: docs/stream.md tells the same to strangers.

Events, topic `<prefix>.events.<shard>`: one message a record.

    key      whose order it shares: the payment intent's id as it stands in the event (`pi_…`);
             without a payment the merchant's (`mer_…`); without either the table's name
    value    the event as JSON, docs/events.md
    headers  offset      its place in the shard's log, in decimal: the leaf in the audit log
             record      its bytes, as `ledger.stream.record` lays them out
             descriptor  the relation message that they are read by

A record that does not fit its descriptor is passed on all the same, with an `error` in place of the
event: nothing is left out because it is odd.

Positions, topic `<prefix>.positions.<shard>`, compacted: key `state` has how far the events are,
keys `descriptor:<id>` the descriptors that a writer has been given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.ids import public_id
from ledger.stream.errors import RecordError, StreamCorruptError
from ledger.stream.events import Event, EventDecoder, PreviousVersions
from ledger.stream.record import DESCRIPTOR_ID, HEAD, NO_INTENT, Mark, Position, descriptor_id

OFFSET: Final = "offset"
RECORD: Final = "record"
DESCRIPTOR: Final = "descriptor"
STATE_KEY: Final = b"state"
DESCRIPTOR_KEY: Final = b"descriptor:"
_MERCHANT: Final = "merchant_id"
_encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message, as it is given to the client."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Its bytes, but for some tens that frame it."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key) + len(self.value) + headers


class Found(msgspec.Struct, frozen=True, gc=False):
    """What a reader takes from a message."""

    partition: int
    offset: int
    record: bytes
    descriptor: bytes


class State(msgspec.Struct, frozen=True):
    """How far the events are: written in the transaction that brings them there.

    Attributes:
        next_offset: of the shard's log.
        mark: as `ledger.stream.backend.Batch` has it.
        last: where the last record came from.
        leaf: its leaf hash in the audit log, in hexadecimal: SHA-256 over a zero byte and it.
        partitions: of the events. They must stay as many, or payments lose their order.
    """

    next_offset: int
    mark: Mark
    last: Position | None
    leaf: str
    partitions: int


_decode_state = msgspec.json.Decoder(State).decode


class Composer:
    """Makes the messages of one shard's records.

    Args:
        shard: which.
    """

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._versions = PreviousVersions()
        self._decoder = EventDecoder(shard=shard, before=self._versions.find)

    def compose(self, offset: int, record: bytes, descriptors: Mapping[bytes, bytes]) -> Message:
        """The message of a record.

        Args:
            offset: its place in the shard's log.
            record: its bytes.
            descriptors: its own at least, by id.
        """
        try:
            event = self._decoder.decode(0, offset, record, descriptors)
            key = _key(event)
            value = _encode(event.document())
        except RecordError as error:
            key = _key_unread(record)
            value = _encode(self._unreadable(offset, error))
        else:
            self._versions.note(event)
        headers = [
            (OFFSET, b"%d" % offset),
            (RECORD, record),
            (DESCRIPTOR, descriptors[record[DESCRIPTOR_ID]]),
        ]
        return Message(key, value, headers)

    def _unreadable(self, offset: int, error: RecordError) -> dict[str, Any]:
        return {"position": {"shard": self._shard, "offset": offset}, "error": str(error)}


def read_message(
    topic: str, partition: int, at: int, headers: Mapping[str, Any] | Iterable[tuple[str, Any]]
) -> Found:
    """Take a record from a message.

    Raises:
        StreamCorruptError: it is none of ours; names topic, partition and Kafka's offset.
    """
    found = dict(headers)
    try:
        offset, record, descriptor = int(found[OFFSET]), found[RECORD], found[DESCRIPTOR]
    except (KeyError, ValueError):
        reason = "it lacks the headers that every message of a forwarder has"
        raise StreamCorruptError(Path(f"{topic}[{partition}]"), at, reason, unit="offset") from None
    if len(record) <= HEAD.size or record[DESCRIPTOR_ID] != descriptor_id(descriptor):
        reason = "its record does not name the descriptor that came with it"
        raise StreamCorruptError(Path(f"{topic}[{partition}]"), at, reason, unit="offset")
    return Found(partition, offset, record, descriptor)


def encode_state(state: State) -> bytes:
    """A state as it stands in the positions."""
    return _encode(state)


def read_state(topic: str, at: int, value: bytes) -> State:
    """A state from the positions; raises StreamCorruptError."""
    try:
        return _decode_state(value)
    except msgspec.DecodeError:
        raise StreamCorruptError(Path(topic), at, "it is no state", unit="offset") from None


def leaf_of(record: bytes) -> str:
    """The leaf hash of a record in the audit log (RFC 6962 section 2.1), in hexadecimal."""
    return sha256(b"\0" + record).hexdigest()


def _key(event: Event) -> bytes:
    if event.intent_id is not None:
        return public_id("pi", event.intent_id).encode()
    row = event.after or event.before
    merchant = row.get(_MERCHANT) if row is not None else None
    return (public_id("mer", merchant) if merchant else event.table).encode()


def _key_unread(record: bytes) -> bytes:
    """Of a record that cannot be read: its payment stands at a fixed place."""
    intent_id = record[32:48]
    return public_id("pi", intent_id).encode() if intent_id != NO_INTENT else b""
