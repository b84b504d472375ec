"""Signed notes, checkpoints and cosignatures against C2SP's texts; every malformed twin refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.audit.notes import (
    COSIGNATURE,
    ED25519,
    NOTE_BYTES_MAX,
    Checkpoint,
    Note,
    NoteError,
    VerifierKey,
    check_name,
    cosign,
    sign_note,
)

# The example of Go's x/mod/sumdb/note, which the specification was written from.
PETER_NEUMANN = VerifierKey.parse(
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
)
NEUMANN_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NEUMANN_NOTE = (
    f"{NEUMANN_TEXT}\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
).encode()

LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
LOG_KEY = VerifierKey("turnout.example/log", ED25519, LOG.public_key().public_bytes_raw())
WITNESS_KEY = VerifierKey("witness", COSIGNATURE, WITNESS.public_key().public_bytes_raw())
CHECKPOINT = Checkpoint("turnout.example/log", 1_234, bytes(range(32)))


def test_a_note_that_others_signed_is_accepted() -> None:
    """The published example, byte for byte, both ways."""
    note = Note.parse(NEUMANN_NOTE)
    assert note.text == NEUMANN_TEXT
    assert note.check(PETER_NEUMANN) is None
    assert bytes(note) == NEUMANN_NOTE


def test_a_changed_text_is_refused() -> None:
    """One letter is enough."""
    with pytest.raises(NoteError, match="the signature of PeterNeumann does not fit"):
        Note.parse(NEUMANN_NOTE.replace(b"your problem is", b"your problem Is")).check(
            PETER_NEUMANN
        )


def test_a_checkpoint_comes_back_from_its_note() -> None:
    """Signed, written, read, checked."""
    note = Note.parse(bytes(sign_note(CHECKPOINT.text, LOG_KEY, LOG)))
    note.check(LOG_KEY)
    assert Checkpoint.parse(note.text) == CHECKPOINT
    assert VerifierKey.parse(str(LOG_KEY)) == LOG_KEY


def test_a_cosignature_tells_its_time() -> None:
    """The log's own signature stays beside it; another time does not fit."""
    note = cosign(sign_note(CHECKPOINT.text, LOG_KEY, LOG), WITNESS_KEY, WITNESS, 1_700_000_000)
    note = Note.parse(bytes(note))
    assert [name for name, _, _ in note.signatures] == ["turnout.example/log", "witness"]
    assert note.check(LOG_KEY) is None
    assert note.check(WITNESS_KEY) == 1_700_000_000
    (first, (name, key_id, signature)) = note.signatures
    later = (1_700_000_001).to_bytes(8, "big") + signature[8:]
    with pytest.raises(NoteError, match="the signature of witness does not fit"):
        Note(note.text, (first, (name, key_id, later))).check(WITNESS_KEY)
    with pytest.raises(NoteError, match="cut short"):
        Note(note.text, (first, (name, key_id, signature[:8]))).check(WITNESS_KEY)


def test_a_key_that_did_not_sign_is_missed() -> None:
    """A stranger's signature proves nothing."""
    note = sign_note(CHECKPOINT.text, LOG_KEY, LOG)
    with pytest.raises(NoteError, match="not signed by witness"):
        note.check(WITNESS_KEY)


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (b"", "no signatures"),
        (b"text\n", "no signatures"),
        (b"text\n\n", "no signatures"),
        (b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n", "not UTF-8"),
        (b"text\n\n- a AAAAAAA=\n", "is no signature"),
        ("text\n\n\u2014 a AAAA\n".encode(), "cut short"),
        ("text\n\n\u2014 a A\n".encode(), "not base64"),
        (b"a" * (NOTE_BYTES_MAX + 1), "longer than"),
    ],
)
def test_malformed_notes_are_refused(note: bytes, reason: str) -> None:
    """Each with the place."""
    with pytest.raises(NoteError, match=reason):
        Note.parse(note)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("origin\n1\n", "origin, size and root"),
        ("\n1\nAAAA\n", "origin, size and root"),
        ("origin\n01\nAAAA\n", "line 2"),
        ("origin\n-1\nAAAA\n", "line 2"),
        ("origin\n\u0661\nAAAA\n", "line 2"),
        ("origin\n1\nAAAA\n", "line 3 of the checkpoint is no hash"),
        ("origin\n1\n!\n", "line 3 of the checkpoint is not base64"),
    ],
)
def test_malformed_checkpoints_are_refused(text: str, reason: str) -> None:
    """Each with its line."""
    with pytest.raises(NoteError, match=reason):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PeterNeumann", "name.keyid.key"),
        ("+c74f20a3+AA==", "name.keyid.key"),
        ("a+c74f20a3+AA==", "not of an Ed25519 kind"),
        (f"a+c74f20a3+{base64.b64encode(bytes([9]) + bytes(32)).decode()}", "Ed25519 kind"),
        (str(PETER_NEUMANN).replace("c74f20a3", "c74f20a4"), "does not fit its key"),
        ("a+c74f20a3+!", "not base64"),
    ],
)
def test_malformed_keys_are_refused(text: str, reason: str) -> None:
    """Each with the reason."""
    with pytest.raises(NoteError, match=reason):
        VerifierKey.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n"])
def test_names_that_would_break_a_line_are_refused(name: str) -> None:
    """They would end the name, or the line, early."""
    with pytest.raises(NoteError):
        check_name(name)
