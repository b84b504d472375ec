"""Which files prove us to a network, and when they are read again."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.pki import development_pki
from chassis.tls import TLSFilesError
from switch.credentials import ClientFiles, Credentials

NAME = "acquirer.turnout.test"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A development PKI with one certificate for all and one for vsim."""
    folder = tmp_path_factory.mktemp("pki")
    development_pki(folder, {"switch": (NAME, "client"), "switch-vsim": (NAME, "client")})
    return folder


@pytest.fixture
def pki(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def _new_certificate(pki: Path, stem: str) -> None:
    (pki / f"{stem}.pem").unlink()
    development_pki(pki, {stem: (NAME, "client")})


def test_a_networks_own_files_come_first(pki: Path) -> None:
    """Networks issue their own certificates; without one, the one for all is shown."""
    own, common = ClientFiles.of(pki, "vsim"), ClientFiles.of(pki, "msim")
    assert (own.certificate.name, own.key.name) == ("switch-vsim.pem", "switch-vsim.key")
    assert (common.certificate.name, common.key.name) == ("switch.pem", "switch.key")
    assert own.ca == common.ca == pki / "ca.pem"
    (pki / "ca-vsim.pem").write_bytes((pki / "ca.pem").read_bytes())
    assert ClientFiles.of(pki, "vsim").ca == pki / "ca-vsim.pem"


def test_files_that_stay_are_not_read_again(pki: Path) -> None:
    """Looking costs three stats; the context stays the very same."""
    credentials = Credentials(pki, "vsim")
    context = credentials.context
    assert not credentials.refresh()
    assert credentials.context is context
    assert credentials.expires_at_s == pytest.approx(
        time.time() + timedelta(days=30).total_seconds(), abs=60
    )


def test_replaced_files_make_a_new_context(pki: Path) -> None:
    """Once, and then they stay."""
    credentials = Credentials(pki, "vsim")
    context = credentials.context
    _new_certificate(pki, "switch-vsim")
    assert credentials.refresh()
    assert credentials.context is not context
    assert not credentials.refresh()


def test_a_file_renamed_into_place_with_an_old_time_is_noticed(pki: Path) -> None:
    """Tools that keep times and sizes change the inode at least."""
    credentials = Credentials(pki, "vsim")
    old = (pki / "ca.pem").stat()
    (pki / "ca.new").write_bytes((pki / "ca.pem").read_bytes())
    os.utime(pki / "ca.new", ns=(old.st_atime_ns, old.st_mtime_ns))
    (pki / "ca.new").rename(pki / "ca.pem")
    assert credentials.refresh()


def test_a_certificate_of_the_networks_own_is_found_when_it_comes(pki: Path) -> None:
    """It need not have been there at the start."""
    credentials = Credentials(pki, "msim")
    development_pki(pki, {"switch-msim": (NAME, "client")})
    assert credentials.refresh()


@pytest.mark.parametrize("spoiled", ["switch-vsim.pem", "switch-vsim.key", "ca.pem"])
def test_what_is_not_usable_leaves_the_context_in_use(pki: Path, spoiled: str) -> None:
    """It is named each time it is looked at, until it is mended."""
    credentials = Credentials(pki, "vsim")
    context, good = credentials.context, (pki / spoiled).read_bytes()
    (pki / spoiled).write_text("half a fi")
    for _ in range(2):
        with pytest.raises(TLSFilesError, match=spoiled.replace(".", r"\.")):
            credentials.refresh()
        assert credentials.context is context
    (pki / spoiled).write_bytes(good)
    assert credentials.refresh()


def test_a_certificate_without_its_key_waits_for_it(pki: Path) -> None:
    """Files are replaced one by one: between the two nothing is usable, and nothing is lost."""
    credentials = Credentials(pki, "vsim")
    old_key = (pki / "switch-vsim.key").read_bytes()
    _new_certificate(pki, "switch-vsim")
    new_key = (pki / "switch-vsim.key").read_bytes()
    (pki / "switch-vsim.key").write_bytes(old_key)
    with pytest.raises(TLSFilesError, match="mismatch"):
        credentials.refresh()
    (pki / "switch-vsim.key").write_bytes(new_key)
    assert credentials.refresh()


def test_an_expired_certificate_is_no_beginning(pki: Path) -> None:
    """A switch that could not connect anywhere says so at its start."""
    (pki / "switch-vsim.pem").unlink()
    then = datetime.now(UTC) - timedelta(days=60)
    development_pki(pki, {"switch-vsim": (NAME, "client")}, now=then)
    with pytest.raises(TLSFilesError, match="expired"):
        Credentials(pki, "vsim")
