"""The switch's links and the simulated network, in every dialect and framing."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import attrs
import pytest
import trio
from msgspec.structs import replace

from chassis.settings.tree import Network
from chassis.tls import client_context, connect_tls
from switch.iso8583 import DE, Dialect, load_dialect
from switch.link.correlation import correlation_key
from switch.link.events import Answered, LinkEvent
from switch.link.group import LinkGroup
from switch.link.states import State
from tests.support.framings import EXAMPLES
from tests.support.network import sale
from tests.support.network_host import CLIENT, SERVER, make_pki, run_network

SALES = 40
SETTINGS = Network(server_name=SERVER, client_name=CLIENT, connections=1)
NET87B = load_dialect("net87b")
DIALECTS = {name: load_dialect(name) for name in ("vip", "cis")} | {
    name: attrs.evolve(NET87B, framing=framing) for name, (framing, _) in EXAMPLES.items()
}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of the network and its acquirer."""
    directory = tmp_path_factory.mktemp("pki")
    make_pki(directory)
    return directory


def _sale(dialect: Dialect, number: int) -> dict[int, str]:
    return sale(
        {
            DE.STAN: f"{number:06d}",
            DE.RRN: f"{number:012d}",
            DE.POS_ENTRY_MODE: dialect.policy.pos_entry_mode,
        }
    )


@pytest.mark.parametrize("name", DIALECTS)
async def test_sign_on_sales_echo_and_sign_off(name: str, pki: Path, tmp_path: Path) -> None:
    """A whole conversation with a network that packs by pyiso8583 alone."""
    dialect = DIALECTS[name]
    context = client_context(
        ca=pki / "ca.pem", certificate=pki / "switch.pem", key=pki / "switch.key"
    )
    numbers = count(900_000)
    asked: list[str] = []  # the STANs of sign-on, echoes and sign-off

    def next_stan() -> tuple[str, str]:
        asked.append(f"{next(numbers):06d}")
        return asked[-1], "1122071000"

    events: list[LinkEvent] = []
    async with (
        run_network(tmp_path, pki, dialect, codec="pyiso8583") as network,
        trio.open_nursery() as nursery,
    ):
        group = LinkGroup(
            "vsim",
            replace(SETTINGS, echo_idle_s=0.02, echo_timeout_s=0.25),
            dialect,
            lambda _turn, reached: connect_tls(
                "127.0.0.1", network.port, context, server_name=SERVER, reached=reached
            ),
            on_events=events.extend,
            next_stan=next_stan,
            lease_holds=lambda: True,
        )
        nursery.start_soon(group.run)
        with trio.fail_after(5):
            await group.wait_up()
            for number in range(1, SALES + 1):
                fields = _sale(dialect, number)
                slot = group.reserve()
                assert slot is not None
                key, now = correlation_key(fields), trio.current_time()
                group.send(slot, key, dialect.encode(fields), number, now)
            while len(events) < SALES or len(asked) < 2:
                await trio.sleep(0.005)
            await group.drain()
    answered = {event.token: event.fields for event in events if isinstance(event, Answered)}
    assert answered.keys() == set(range(1, SALES + 1))
    assert {fields[39] for fields in answered.values()} == {"00"}
    assert group.links[0].session.state is State.DOWN
    assert group.counters.undecodable_total == group.counters.alarms_total == 0
