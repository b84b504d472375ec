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
from ledger.stream.record import descriptor_id, pack_head

LOG = make_pair("turnout.example/0", ED25519, bytes(range(32)))
WITNESS = make_pair("witness", COSIGNATURE, bytes(range(32, 64)))
INTENT, OTHER = bytes(range(16)), bytes(range(1, 17))
DESCRIPTOR = b"a relation message"
SIZE = 21
OURS = (4, 9, 17)


def _record(number: int) -> bytes:
    intent = INTENT if number in OURS or number == SIZE else OTHER
    head = pack_head(1, ord("I"), 0, 0, number, 0, descriptor_id(DESCRIPTOR), intent)
    return head + b"I" + bytes([number])


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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"{}", "malformed"),
        (_bundle().replace(b"bundle/1", b"bundle/2"), "format is not"),
        (_bundle().replace(b'"intent"', b'"payment"'), "malformed"),
        (b" " * (BUNDLE_BYTES_MAX + 1), "longer than"),
    ],
    ids=["empty", "nothing in it", "version", "unknown field", "long"],
)
def test_what_is_no_bundle_is_refused(data: bytes, reason: str) -> None:
    """With the reason."""
    with pytest.raises(BundleError, match=reason):
        read_bundle(data)


def test_a_payment_that_is_not_signed_yet_has_no_bundle() -> None:
    """The next checkpoint is a second away."""
    with pytest.raises(BundleError, match="under the checkpoint yet"):
        make_bundle(INTENT, bytes(NOTE), _nodes, [(SIZE, RECORDS[SIZE])], [DESCRIPTOR])


def test_missing_versions_are_told() -> None:
    """A record left out of a bundle leaves a gap, unless it is the newest."""
    assert gaps([1, 2, 3]) == []
    assert gaps([1, 4, 4]) == [2, 3]
    assert gaps([]) == []
