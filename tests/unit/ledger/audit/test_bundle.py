"""A payment's evidence: made, read and checked without the log; every forged part is named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger.audit.bundle import (
    BUNDLE_BYTES_MAX,
    BundleError,
    gaps,
    make_bundle,
    read_bundle,
    verify_bundle,
)
from ledger.audit.findings import Findings
from ledger.audit.keys import make_pair
from ledger.audit.merkle import fold, leaf_hash, range_hash
from ledger.audit.notes import COSIGNATURE, ED25519, Checkpoint, Note, cosign, sign_note
from ledger.pgoutput import insert_message, relation_message
from ledger.stream.record import descriptor_id, pack_head
from tests.support import bundle_verifier

LOG = make_pair("turnout.example/0", ED25519, bytes(range(32)))
WITNESS = make_pair("witness", COSIGNATURE, bytes(range(32, 64)))
INTENT, OTHER = bytes(range(16)), bytes(range(1, 17))
INT8, UUID = 20, 2950
COLUMNS = [(True, "id", UUID, -1), (False, "version", INT8, -1)]
DESCRIPTOR = relation_message(16_384, "payment_intents", b"d", COLUMNS)
SIZE = 21
OURS = (4, 9, 17)


def _record(number: int) -> bytes:
    intent = INTENT if number in OURS or number == SIZE else OTHER
    head = pack_head(1, ord("I"), 0, 0, number, 0, descriptor_id(DESCRIPTOR), intent)
    version = OURS.index(number) + 1 if number in OURS else 1
    return head + insert_message((16_384).to_bytes(4), [intent, version.to_bytes(8)])


RECORDS = [_record(number) for number in range(SIZE + 1)]  # one more than is signed
HASHES = [leaf_hash(record) for record in RECORDS]


def _nodes(level: int, index: int) -> bytes:
    return fold(HASHES[index << level : (index + 1) << level])


CHECKPOINT = Checkpoint("turnout.example/0", SIZE, range_hash(_nodes, 0, SIZE))
NOTE = cosign(sign_note(CHECKPOINT.text, LOG.public, LOG), WITNESS.public, WITNESS, 1_900_000_000)


def _bundle() -> bytes:
    found = [(number, RECORDS[number]) for number in (*OURS, SIZE)]
    return make_bundle(INTENT, bytes(NOTE), _nodes, found, [b"not needed", DESCRIPTOR])


def test_a_bundle_proves_what_is_under_its_checkpoint() -> None:
    """All records but the one that came later; the log's and the witness' keys are enough."""
    findings = Findings()
    proven = verify_bundle(read_bundle(_bundle()), LOG.public, WITNESS.public, findings)
    assert findings.found == []
    assert proven.checkpoint == CHECKPOINT
    assert proven.witnessed_at_s == 1_900_000_000
    assert [index for index, _ in proven.records] == list(OURS)
    assert {record.intent_id for _, record in proven.records} == {INTENT}
    assert proven.descriptors == {descriptor_id(DESCRIPTOR): DESCRIPTOR}
    assert proven.versions_missing == []


def test_a_stranger_who_has_read_the_documents_comes_to_the_same() -> None:
    """His verifier shares nothing with ours; it takes the bundle, and no forged one."""
    keys = str(LOG.public), str(WITNESS.public)
    document = json.loads(_bundle())
    assert bundle_verifier.verify(document, *keys) == [RECORDS[number] for number in OURS]
    for spoil in (
        _set("checkpoint", lambda note: note.replace("\n21\n", "\n22\n")),
        _set("records", 1, "record", _bit),
        _set("records", 1, "index", lambda index: index + 1),
        _set("records", 0, "proof", lambda proof: proof[:-1]),
        _set("intent", lambda _: OTHER.hex()),
        _set("descriptors", lambda _: []),
    ):
        forged = json.loads(_bundle())
        spoil(forged)
        with pytest.raises(bundle_verifier.UnprovenError):
            bundle_verifier.verify(forged, *keys)
    with pytest.raises(bundle_verifier.UnprovenError):
        bundle_verifier.verify(document, keys[0], keys[0])


def test_a_record_that_was_left_out_is_a_gap_in_the_versions() -> None:
    """It forges nothing, so it is told apart from what does."""
    document = json.loads(_bundle())
    del document["records"][1]
    findings = Findings()
    bundle = read_bundle(json.dumps(document).encode())
    proven = verify_bundle(bundle, LOG.public, None, findings)
    assert proven.versions_missing == [2]
    assert findings.found == []


def test_a_record_that_its_relation_message_does_not_fit_is_named() -> None:
    """The log may have signed what nobody can read."""
    other = relation_message(16_384, "payment_intents", b"d", COLUMNS[:1])
    head = pack_head(1, ord("I"), 0, 0, 0, 0, descriptor_id(other), INTENT)
    record = head + RECORDS[OURS[0]][48:]
    checkpoint = Checkpoint("turnout.example/0", 1, leaf_hash(record))
    note = bytes(sign_note(checkpoint.text, LOG.public, LOG))
    data = make_bundle(INTENT, note, lambda *_: leaf_hash(record), [(0, record)], [other])
    findings = Findings()
    verify_bundle(read_bundle(data), LOG.public, None, findings)
    assert [(one.where, one.kind) for one in findings.found] == [("records[0]", "bundle")]


def _bit(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


def _set(*path: Any) -> Callable[[Any], None]:
    """Replace a place of the document with what a function makes of it."""

    def spoil(document: Any) -> None:
        *way, last, change = path
        for step in way:
            document = document[step]
        document[last] = change(document[last])

    return spoil


@pytest.mark.parametrize(
    ("spoil", "place", "reason"),
    [
        (_set("records", 1, "record", _bit), "records[1]", "another root"),
        (_set("records", 1, "index", lambda index: index + 1), "records[1]", "another root"),
        (_set("records", 0, "proof", 2, _bit), "records[0]", "another root"),
        (_set("records", 0, "proof", lambda proof: proof[:-1]), "records[0]", "too short"),
        (_set("records", 0, "proof", 0, lambda _: "AA=="), "records[0]", "no list of hashes"),
        (_set("records", 2, "index", lambda _: SIZE), "records[2]", "has none at 21"),
        (_set("intent", lambda _: OTHER.hex()), "records[0]", "another payment"),
        (_set("descriptors", 0, _bit), "records[0]", "relation message"),
        (_set("records", lambda records: records[::-1]), "records", "not in the order"),
        (_set("records", lambda _: []), "records", "there are none"),
    ],
)
def test_a_forged_part_is_named(spoil: Callable[[Any], None], place: str, reason: str) -> None:
    """Each part of the document, changed alone."""
    document = json.loads(_bundle())
    spoil(document)
    findings = Findings()
    bundle = read_bundle(json.dumps(document).encode())
    verify_bundle(bundle, LOG.public, None, findings)
    assert any(one.where == place and reason in one.detail for one in findings.found)


def test_a_checkpoint_that_the_keys_did_not_sign_proves_nothing() -> None:
    """Another text, another log, no witness: the records are not even looked at."""
    document = json.loads(_bundle())
    document["checkpoint"] = document["checkpoint"].replace("\n21\n", "\n22\n")
    forged = read_bundle(json.dumps(document).encode())
    with pytest.raises(BundleError, match="proves nothing: the signature of turnout"):
        verify_bundle(forged, LOG.public, None, Findings())
    stranger = make_pair("turnout.example/0", ED25519, bytes(32))
    with pytest.raises(BundleError, match="not signed by"):
        verify_bundle(read_bundle(_bundle()), stranger.public, None, Findings())
    alone = json.loads(_bundle())
    alone["checkpoint"] = bytes(Note(NOTE.text, NOTE.signatures[:1])).decode()
    with pytest.raises(BundleError, match="not signed by witness"):
        verify_bundle(
            read_bundle(json.dumps(alone).encode()), LOG.public, WITNESS.public, Findings()
        )


def test_a_key_speaks_for_its_own_role_only() -> None:
    """A cosignature is not the log's word, nor the other way round; nor one log for another."""
    bundle = read_bundle(_bundle())
    with pytest.raises(BundleError, match="is a witness', not a log's"):
        verify_bundle(bundle, WITNESS.public, None, Findings())
    with pytest.raises(BundleError, match="is a log's, not a witness'"):
        verify_bundle(bundle, LOG.public, LOG.public, Findings())
    other = make_pair("another.example/0", ED25519, bytes(32))
    document = json.loads(_bundle())
    document["checkpoint"] = bytes(sign_note(CHECKPOINT.text, other.public, other)).decode()
    with pytest.raises(BundleError, match=r"is of turnout.example/0, the key of another"):
        verify_bundle(read_bundle(json.dumps(document).encode()), other.public, None, Findings())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"{}", "malformed"),
        (_bundle().replace(b"bundle/1", b"bundle/2"), "format is not"),
        (_bundle().replace(b'"intent"', b'"payment"'), "malformed"),
        (_bundle().replace(INTENT.hex().encode(), b"pi_1"), "malformed"),
        (b" " * (BUNDLE_BYTES_MAX + 1), "longer than"),
    ],
    ids=["empty", "nothing in it", "version", "unknown field", "no id", "long"],
)
def test_what_is_no_bundle_is_refused(data: bytes, reason: str) -> None:
    """With the reason."""
    with pytest.raises(BundleError, match=reason):
        read_bundle(data)


def test_a_payment_that_is_not_signed_yet_has_no_bundle() -> None:
    """The next checkpoint is a second away."""
    with pytest.raises(BundleError, match="under the checkpoint yet"):
        make_bundle(INTENT, bytes(NOTE), _nodes, [(SIZE, RECORDS[SIZE])], [DESCRIPTOR])


def test_gaps_are_versions_before_the_newest() -> None:
    """A record left out of a bundle leaves a gap, unless it is the newest."""
    assert gaps([1, 2, 3]) == []
    assert gaps([1, 4, 4]) == [2, 3]
    assert gaps([]) == []
