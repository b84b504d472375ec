from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from chassis.pki import development_pki
from chassis.tls import Role

NOW = datetime(2027, 3, 1, tzinfo=UTC)
NAMES: dict[str, tuple[str, Role]] = {
    "vsim": ("vsim.turnout.test", "server"),
    "switch": ("acquirer.turnout.test", "client"),
}


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A PKI made at NOW."""
    development_pki(tmp_path / "pki", NAMES, now=NOW)
    return tmp_path / "pki"


def test_the_files_are_there_and_private(folder: Path) -> None:
    """Every key and certificate is its owner's alone."""
    assert sorted(path.name for path in folder.iterdir()) == [
        "ca.key",
        "ca.pem",
        "switch.key",
        "switch.pem",
        "vsim.key",
        "vsim.pem",
    ]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_leaves_name_their_subject_and_purpose(folder: Path) -> None:
    """A leaf serves one name in one role, under our CA."""
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    for stem, (name, role) in NAMES.items():
        leaf = x509.load_pem_x509_certificate((folder / f"{stem}.pem").read_bytes())
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [name]
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [purpose._name for purpose in purposes] == [f"{role}Auth"]
        assert leaf.not_valid_before_utc < NOW < leaf.not_valid_after_utc


def test_a_second_run_changes_nothing(folder: Path) -> None:
    """Starting again keeps every file as it is."""
    before = _contents(folder)
    development_pki(folder, NAMES, now=NOW + timedelta(days=19))
    assert _contents(folder) == before


def test_a_missing_leaf_is_made_and_the_others_kept(folder: Path) -> None:
    """Only what is missing is made."""
    before = _contents(folder)
    (folder / "vsim.key").unlink()
    development_pki(folder, {**NAMES, "msim": ("msim.turnout.test", "server")}, now=NOW)
    after = _contents(folder)
    assert after["vsim.pem"] != before["vsim.pem"]
    assert "msim.pem" in after
    for name in ("ca.pem", "ca.key", "switch.pem", "switch.key"):
        assert after[name] == before[name]


def test_leaves_are_renewed_before_they_end(folder: Path) -> None:
    """A leaf with less than ten days left is replaced by the next start."""
    before = _contents(folder)
    development_pki(folder, NAMES, now=NOW + timedelta(days=20))
    after = _contents(folder)
    assert after["ca.pem"] == before["ca.pem"]
    assert after["vsim.pem"] != before["vsim.pem"]
    assert after["switch.pem"] != before["switch.pem"]


@pytest.mark.parametrize(
    "changed", [("other.turnout.test", "server"), ("vsim.turnout.test", "client")]
)
def test_a_leaf_of_another_name_or_purpose_is_replaced(
    folder: Path, changed: tuple[str, Role]
) -> None:
    """Changed settings are followed."""
    before = _contents(folder)
    development_pki(folder, {"vsim": changed}, now=NOW)
    assert _contents(folder)["vsim.pem"] != before["vsim.pem"]


def test_a_leaf_of_another_ca_is_replaced(folder: Path, tmp_path: Path) -> None:
    """After the CA was made anew old leaves are worth nothing."""
    development_pki(tmp_path / "other", NAMES, now=NOW)
    for name in ("ca.pem", "ca.key"):
        (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    before = _contents(folder)
    development_pki(folder, NAMES, now=NOW)
    assert _contents(folder)["vsim.pem"] != before["vsim.pem"]


def test_a_foreign_ca_key_is_an_error(folder: Path) -> None:
    """A file that is not ours is neither used nor overwritten."""
    foreign = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "ca.key").write_bytes(foreign)
    with pytest.raises(ValueError, match="not an elliptic-curve key"):
        development_pki(folder, NAMES, now=NOW)
    assert (folder / "ca.key").read_bytes() == foreign
