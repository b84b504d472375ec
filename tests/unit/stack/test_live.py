"""What live mode refuses to find in a data directory."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from chassis.pki import development_pki
from chassis.settings import Settings
from chassis.supervisor import StartError
from stack.credentials import DEMO_FILE
from stack.live import refuse_what_test_mode_left

LIVE = Settings(mode="live")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with the certificates of a real network's CA."""
    pki = tmp_path / "pki"
    pki.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(pki / "ca.pem"))
    (leaf,) = authority.issue_cert("acquirer.example").cert_chain_pems
    leaf.write_to_path(str(pki / "switch.pem"))
    return tmp_path


def test_a_data_directory_of_its_own_passes(data_dir: Path, tmp_path: Path) -> None:
    """A network's own certificates, and no demo shop; also where nothing is there yet."""
    refuse_what_test_mode_left(LIVE, data_dir)
    refuse_what_test_mode_left(LIVE, tmp_path / "new")


def test_live_refuses_demo_keys(data_dir: Path) -> None:
    """Their secret stands in a file in the clear; the data directory was one of test mode."""
    (data_dir / DEMO_FILE).write_text("{}")
    with pytest.raises(StartError, match=rf"{DEMO_FILE} holds demo keys.*--data-dir"):
        refuse_what_test_mode_left(LIVE, data_dir)


@pytest.mark.parametrize("name", ["ca.pem", "switch.pem", "ca-vsim.pem", "switch-vsim.pem"])
def test_live_refuses_the_development_pki(data_dir: Path, tmp_path: Path, name: str) -> None:
    """Neither its CA nor a certificate that it issued, also among others in one file."""
    made = tmp_path / "development"
    development_pki(made, {"switch": ("acquirer.turnout.test", "client")})
    file, one_for_all = data_dir / "pki" / name, name.replace("-vsim", "")
    theirs = (data_dir / "pki" / one_for_all).read_bytes()
    file.write_bytes(theirs + (made / one_for_all).read_bytes())
    with pytest.raises(StartError, match=rf"{name} is of a development PKI"):
        refuse_what_test_mode_left(LIVE, data_dir)


def test_what_is_no_certificate_is_refused(data_dir: Path) -> None:
    """It could not be judged, and no link would come up with it."""
    (data_dir / "pki" / "ca.pem").write_text("nothing")
    with pytest.raises(StartError, match=r"ca\.pem cannot be read as certificates"):
        refuse_what_test_mode_left(LIVE, data_dir)


def test_test_mode_takes_all_of_it(data_dir: Path) -> None:
    """It is where demo keys and the development PKI belong."""
    (data_dir / DEMO_FILE).write_text("{}")
    development_pki(data_dir / "pki", {"switch": ("acquirer.turnout.test", "client")})
    refuse_what_test_mode_left(Settings(), data_dir)
