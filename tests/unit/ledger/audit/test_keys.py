"""Key files: made once, private, in the form that others' tools read; every bad twin refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from ledger.audit.keys import KeyFileError, load_or_make, load_pair, load_public, make_pair
from ledger.audit.notes import COSIGNATURE, ED25519, NoteError, sign_note

# The example of Go's x/mod/sumdb/note.
PETER_NEUMANN = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


def _private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o400)
    return path


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The second start has the first one's key; only its owner may read the private half."""
    first = load_or_make(tmp_path / "log", "turnout.example/0", ED25519)
    again = load_or_make(tmp_path / "log", "turnout.example/0", ED25519)
    assert again.public == first.public == load_public(tmp_path / "log.pub")
    assert (tmp_path / "log.key").stat().st_mode & 0o777 == 0o400
    sign_note("text\n", again.public, again).check(first.public)


def test_a_public_half_that_was_lost_or_changed_is_written_again(tmp_path: Path) -> None:
    """It follows from the private one."""
    public = load_or_make(tmp_path / "w", "witness", COSIGNATURE).public
    for spoil in (Path.unlink, lambda path: (path.chmod(0o600), path.write_text("x"))):
        spoil(tmp_path / "w.pub")
        load_or_make(tmp_path / "w", "witness", COSIGNATURE)
        assert load_public(tmp_path / "w.pub") == public


def test_a_key_that_others_made_is_read(tmp_path: Path) -> None:
    """The published example's private half signs what its public half checks."""
    pair = load_pair(_private(tmp_path / "a.key", PETER_NEUMANN))
    expected = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert str(pair.public) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no private key"),
        ("PRIVATE+KEY+a+b", "no private key"),
        (PETER_NEUMANN.replace("AYEK", "!!!!"), "no private key"),
        (PETER_NEUMANN.replace("AYEK", "CYEK"), "not of an Ed25519 kind"),
        (PETER_NEUMANN.replace("c74f20a3", "c74f20a4"), "does not fit its key"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """With the file's name, and nothing of what is in it."""
    with pytest.raises(KeyFileError, match=reason) as caught:
        load_pair(_private(tmp_path / "a.key", text))
    assert "FALVFGyNhPJ" not in str(caught.value)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Whoever read it can sign another past."""
    path = _private(tmp_path / "a.key", PETER_NEUMANN)
    path.chmod(0o440)
    with pytest.raises(KeyFileError, match="open to other users"):
        load_pair(path)


def test_another_s_key_is_refused(tmp_path: Path) -> None:
    """A log does not sign under a name, or in a way, that is not its own."""
    load_or_make(tmp_path / "log", "turnout.example/0", ED25519)
    for name, algorithm in (("turnout.example/1", ED25519), ("turnout.example/0", COSIGNATURE)):
        with pytest.raises(KeyFileError, match=r"holds the key of turnout\.example/0"):
            load_or_make(tmp_path / "log", name, algorithm)


def test_public_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """Missing and malformed."""
    with pytest.raises(KeyFileError, match="No such file"):
        load_public(tmp_path / "a.pub")
    (tmp_path / "a.pub").write_text("a+b")
    with pytest.raises(KeyFileError, match=r"name\+keyid\+key"):
        load_public(tmp_path / "a.pub")


def test_a_pair_gives_nothing_away() -> None:
    """Neither printed nor pickled; and its name must fit into a note."""
    pair = make_pair("log", ED25519, bytes(range(32)))
    assert "private" not in repr(pair)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(pair)
    with pytest.raises(NoteError):
        make_pair("a log", ED25519, bytes(32))
