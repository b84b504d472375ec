"""The files of the merchants' side of TLS."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from api.http.tls import server_context
from chassis.tls import TLSFilesError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate, key = tmp_path / "api.pem", tmp_path / "api.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def test_a_certificate_with_its_key_is_taken(files: tuple[Path, Path]) -> None:
    """No older TLS than 1.2."""
    assert server_context(*files).minimum_version.name == "TLSv1_2"


def test_a_missing_file_is_named_with_its_setting(files: tuple[Path, Path]) -> None:
    """The `ssl` module says only that some file does not exist."""
    certificate, key = files
    key.unlink()
    with pytest.raises(TLSFilesError, match=r"api\.tls_key \S+api\.key: No such file") as raised:
        server_context(certificate, key)
    assert str(certificate) in str(raised.value)


def test_a_key_of_another_certificate_is_refused(files: tuple[Path, Path]) -> None:
    """Both files are named, and why they do not fit."""
    certificate, key = files
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(key)
    with pytest.raises(TLSFilesError, match=r"api\.tls_certificate .*(?i:mismatch)"):
        server_context(certificate, key)
