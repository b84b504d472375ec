"""Live mode from its ceremony to its first refusals: what no other test starts."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest
import trio
import trustme

from chassis.settings import Settings
from hsm_sim.lmk import LMK_BYTES
from stack.credentials import load_credentials
from stack.layout import stack_users
from stack.temporary import TemporaryStackError, stack_in
from turnout_client import APIError, Card
from turnout_client.on_trio import TrioTurnout

NOWHERE: Final = "9"  # the discard port: a network that cannot be reached
LIVE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mode": "live",
        "log.level": "warning",
        **{f"networks.{name}.simulate": "false" for name in ("vsim", "msim")},
        **{f"networks.{name}.port": NOWHERE for name in ("vsim", "msim")},
    }
)


def _give_certificates(data_dir: Path) -> None:
    """What a real network's CA would have issued to us."""
    pki = data_dir / "pki"
    pki.mkdir(parents=True)
    authority = trustme.CA()
    ours = authority.issue_cert("acquirer.turnout.test")
    authority.cert_pem.write_to_path(str(pki / "ca.pem"))
    ours.cert_chain_pems[0].write_to_path(str(pki / "switch.pem"))
    ours.private_key_pem.write_to_path(str(pki / "switch.key"))


def _give_master_key(data_dir: Path) -> None:
    """The end of the ceremony: 32 bytes that only the HSM's user may read."""
    path = data_dir / "hsm" / "lmk"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(secrets.token_bytes(LMK_BYTES))
    path.chmod(0o600)
    owner = stack_users(Settings(), euid=os.geteuid()).owner("hsm")
    if owner is not None:
        os.chown(path, *owner)


def _create_merchant(data_dir: Path, file: Path) -> None:
    command = [sys.executable, "-P", "-m", "turnout", "merchants", "create", "--name", "Shop"]
    command += ["--data-dir", str(data_dir), "--save", str(file)]
    for key, value in LIVE.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, capture_output=True, timeout=60, check=True)


async def _refusal(shop: TrioTurnout, number: str) -> tuple[int, str]:
    """Charge a card and be refused."""
    intent = await shop.create_payment_intent(2_499, "usd")
    card = Card(number=number, exp_month=12, exp_year=2030, cvc="123")
    with pytest.raises(APIError) as refused:
        await shop.charge(intent, card)
    return refused.value.status, refused.value.code


@pytest.mark.chaos
async def test_a_live_stack_from_its_ceremony_on(open_tmp_path: Path) -> None:
    """It wants its certificates and its master key, then serves, and charges no test card."""
    data_dir = open_tmp_path / "data"
    with pytest.raises(TemporaryStackError, match=r"pki/ca\.pem"):
        async with stack_in(open_tmp_path, LIVE):
            pass
    (data_dir / "pki").rmdir()
    _give_certificates(data_dir)
    with pytest.raises(
        TemporaryStackError, match=r"cannot start: hsm-0: .*lmk: missing; .*hsm\.md"
    ):
        async with stack_in(open_tmp_path, LIVE):
            pass
    _give_master_key(data_dir)
    async with stack_in(open_tmp_path, LIVE) as stack:
        file = open_tmp_path / "shop.json"
        await trio.to_thread.run_sync(_create_merchant, data_dir, file)
        keys = load_credentials(file)
        assert keys.live
        async with TrioTurnout(keys.publishable_key, keys.secret_key, keys.api_url) as shop:
            assert await _refusal(shop, "4242424242424242") == (422, "card_refused")
            assert await _refusal(shop, "4242420000000000") == (503, "network_unavailable")
    assert stack.exit_code == 0
    assert not (data_dir / "demo-credentials.json").exists()
