"""Judging somebody else's acquirer from the wire alone.

The network waits for it on one port, with any dialect. Each case prints what the acquirer must be
made to do (its owner does that, or a program of theirs that reads the line), waits for what comes,
answers well or badly, and judges what follows. What would need the acquirer's ledger is not
applicable. Cases run one after the other: an acquirer has one operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from certification import profile
from certification.catalog import Row
from certification.evidence import CaseFailedError
from certification.network import Certificates, PlayedNetwork
from certification.peer_desk import PeerDesk
from certification.progress import say
from certification.registry import PeerPlay, peer_plays
from certification.results import Result, Tell
from certification.trace import shown
from chassis.pki import development_pki
from chassis.settings import Network, Simulator
from switch.iso8583 import load_dialect

STEM: Final = "network"
CLIENT_STEM: Final = "acquirer"
CONNECTS_WITHIN_S: Final = 600.0  # somebody has to set up and start the other side
NOT_APPLICABLE: Final = "it cannot be judged from the wire"


@attrs.frozen(kw_only=True)
class PeerPlace:
    """Where somebody else's acquirer calls."""

    port: int
    dialect: str
    certificates: Path | None
    wait_s: float


async def run_peer(rows: Sequence[Row], place: PeerPlace, tell: Tell) -> list[Result]:
    """Judge an acquirer; one result a row.

    Raises:
        OSError: the port is taken, or the certificates cannot be read or made.
        ValueError: the dialect or a certificate is unusable.
    """
    plays = peer_plays()
    network, listeners = await _network(place)
    results = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.serve, listeners)
        network.accepting.set()
        say("waiting for the acquirer to connect and sign on")
        signed_on = True
        try:
            await network.signed_on(within_s=max(CONNECTS_WITHIN_S, place.wait_s))
        except trio.TooSlowError:
            signed_on = False
        for row in rows:
            if row.id not in plays:
                result = Result(
                    row=row, result="not_applicable", seconds=0.0, evidence=[NOT_APPLICABLE]
                )
            else:
                result = await _judge(row, plays[row.id], network, place.wait_s, here=signed_on)
                tell(result)
            results.append(result)
        nursery.cancel_scope.cancel()
    return results


async def _judge(
    row: Row, play: PeerPlay, network: PlayedNetwork, wait_s: float, *, here: bool
) -> Result:
    began = trio.current_time()
    desk = PeerDesk(case_id=row.id, network=network, wait_s=wait_s, began=len(network.trace))
    problems = [] if here else ["the acquirer never signed on"]
    try:
        if here:
            with trio.fail_after(wait_s):
                await network.signed_on()
            await play(desk)
    except CaseFailedError as error:
        problems.append(str(error))
    except Exception as error:  # noqa: BLE001  a broken case must not end the others
        problems.append(f"{type(error).__name__}: {error}")
    problems += network.faults
    network.faults.clear()
    network.clear()
    return Result(
        row=row,
        result="failed" if problems else "passed",
        seconds=trio.current_time() - began,
        evidence=[f"✗ {problem}" for problem in problems] + desk.evidence,
        wire=shown(network.trace[desk.began :]),
    )


async def _network(place: PeerPlace) -> tuple[PlayedNetwork, list[trio.SocketListener]]:
    dialect = load_dialect(place.dialect)
    folder = await trio.to_thread.run_sync(prepare_certificates, place.certificates)
    listeners = await trio.open_tcp_listeners(place.port, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    settings = msgspec.structs.replace(
        Network(), server_name=profile.SERVER_NAME, client_name=profile.CLIENT_NAME, port=port
    )
    network = PlayedNetwork(
        "peer",
        settings,
        Simulator(),
        dialect,
        Certificates(folder / "ca.pem", folder / f"{STEM}.pem", folder / f"{STEM}.key"),
    )
    say(f"listening on 127.0.0.1:{port}, dialect {dialect.name}, server name {profile.SERVER_NAME}")
    say(f"certificates: {folder} (ca.pem, {CLIENT_STEM}.pem, {CLIENT_STEM}.key for the acquirer)")
    return network, listeners


def prepare_certificates(folder: Path | None) -> Path:
    """The folder of the certificates; a development PKI is made where there is none."""
    folder = folder or Path.cwd() / "certify-certs"
    if not (folder / f"{STEM}.pem").exists():
        development_pki(
            folder,
            {
                STEM: (profile.SERVER_NAME, "server"),
                CLIENT_STEM: (profile.CLIENT_NAME, "client"),
            },
        )
    return folder
