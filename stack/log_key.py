"""The audit log's public key of a data directory."""

from __future__ import annotations

from ledger.audit.folders import log_public_key
from ledger.audit.keys import KeyFileError, load_public
from ledger.audit.notes import VerifierKey
from stack.options import Place


def log_key_of(place: Place) -> VerifierKey:
    """The key as it lies beside the log.

    Raises:
        KeyFileError: there is no log, or its key is none.
    """
    path = log_public_key(place.data_dir)
    if not path.exists():
        raise KeyFileError(f"{path}: there is no audit log here; is it another --data-dir?")
    return load_public(path)
