"""A network over real mutual TLS, spoken to by a real client."""

from __future__ import annotations

import contextlib
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from structlog.testing import capture_logs

from chassis.tls import ALPN
from network_sim.journal import read_journal
from tests.support.network import Acquirer, management, reversal, sale
from tests.support.network_host import CLIENT, SERVER, STRANGER, RunningNetwork, make_pki

RunNetwork = Callable[..., AbstractAsyncContextManager[RunningNetwork]]
DECLINED, SILENT, LATE, SLOW = (
    "4000000000000002",
    "4000000000007809",
    "4000000000008807",
    "4000000000009805",
)


async def test_sign_on_approve_decline_echo_sign_off(network_on: RunNetwork) -> None:
    """A working day in one connection, and the record of it."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        approval = await acquirer.ask(sale())
        decline = await acquirer.ask(sale({2: DECLINED, 11: "000124"}))
        echo = await acquirer.ask(management("301"))
        sign_off = await acquirer.ask(management("002"))
        await acquirer.stream.aclose()
    assert [approval[39], decline[39], echo[39], sign_off[39]] == ["00", "05", "00", "00"]
    assert [(entry.stan, entry.response_code) for entry in read_journal(network.journal)] == [
        ("000123", "00"),
        ("000124", "05"),
    ]


async def test_one_byte_at_a_time(network_on: RunNetwork) -> None:
    """Each byte in a TLS record of its own."""
    async with network_on() as network:
        acquirer = await network.dial()
        for byte in acquirer.pack(management("001"), sale()):
            await acquirer.stream.send_all(bytes([byte]))
        assert [(await acquirer.receive())[0] for _ in range(2)] == ["0810", "0210"]


async def test_two_hundred_merged_frames(network_on: RunNetwork) -> None:
    """All in one write, every one answered once."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        stans = [f"{stan:06d}" for stan in range(1, 201)]
        await acquirer.send(*(sale({11: stan}) for stan in stans))
        answers = [await acquirer.receive() for _ in stans]
    assert Counter(answer[11] for answer in answers) == Counter(stans)
    assert len(list(read_journal(network.journal))) == len(stans)


async def test_both_codecs_give_the_same_bytes(network_on: RunNetwork, tmp_path: Path) -> None:
    """What a network on pyiso8583 alone sends is what the compiled codec sends."""
    questions = [
        management("001"),
        sale(),
        sale({2: DECLINED, 11: "000124", 32: "40000"}),
        reversal(sale(), {11: "000125"}),
        sale({11: "000126", 43: None}),
        management("999"),
    ]
    frames = {}
    for codec in ("compiled", "pyiso8583"):
        async with network_on(codec=codec) as network:
            acquirer = await network.dial()
            await acquirer.send(*questions)
            frames[codec] = [await acquirer.receive_frame() for _ in questions]
        network.journal.unlink()
    assert frames["pyiso8583"] == frames["compiled"]


async def test_a_silent_card_leaves_the_connection_useful(network_on: RunNetwork) -> None:
    """The next question is answered; the silent one is on record all the same."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        await acquirer.send(sale({2: SILENT, 11: "000124"}))
        assert (await acquirer.ask(sale()))[11] == "000123"
    assert [entry.stan for entry in read_journal(network.journal)] == ["000124", "000123"]


@pytest.mark.parametrize(("pan", "after_s"), [(LATE, 0.15), (SLOW, 1.0)])
async def test_a_delayed_answer_comes_when_it_is_due(
    network_on: RunNetwork, pan: str, after_s: float
) -> None:
    """Late is the response deadline and a margin; others pass it by."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        began_at = trio.current_time()
        await acquirer.send(sale({2: pan, 11: "000124"}), sale())
        assert (await acquirer.receive())[11] == "000123"
        with trio.fail_after(after_s + 5):
            assert (await acquirer.receive())[11] == "000124"
        assert trio.current_time() - began_at >= after_s


async def test_one_timer_serves_every_connection(network_on: RunNetwork) -> None:
    """Forty late answers on two connections, none of them lost or early."""
    async with network_on() as network:
        acquirers = [await network.sign_on(), await network.sign_on()]
        began_at = trio.current_time()
        for acquirer in acquirers:
            await acquirer.send(*(sale({2: LATE, 11: f"{stan:06d}"}) for stan in range(1, 21)))
            assert network.host.delayed.lost_total == 0
        for acquirer in acquirers:
            assert len({(await acquirer.receive())[11] for _ in range(20)}) == 20
        assert trio.current_time() - began_at >= 0.15
        assert network.host.delayed.peak == 20 * len(acquirers)


async def test_a_repeat_is_answered_again_also_by_the_next_process(
    network_on: RunNetwork,
) -> None:
    """Same bytes, one line in the record, though the network was started anew in between."""
    frames = []
    for _ in range(2):
        async with network_on() as network:
            acquirer = await network.sign_on()
            for _ in range(2):
                await acquirer.send(sale())
                frames.append(await acquirer.receive_frame())
            conflict = await acquirer.ask(sale({4: "000000000001"}))
            assert conflict[39] == "94"
    assert len(set(frames)) == 1
    assert len(list(read_journal(network.journal))) == 1


async def test_a_sale_before_sign_on_is_refused(network_on: RunNetwork) -> None:
    """The connection is closed and nothing is on record."""
    async with network_on() as network:
        acquirer = await network.dial()
        with pytest.raises(EOFError):
            await acquirer.ask(sale())
    assert list(read_journal(network.journal)) == []


async def test_a_bad_message_leaves_its_neighbors_alone(network_on: RunNetwork) -> None:
    """A wrong digit costs that message its answer and nothing else."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        good = acquirer.pack(sale())
        bad = bytearray(good)
        bad[12] = 0xFF  # behind header, MTI and bitmap: the length of DE 2
        await acquirer.stream.send_all(bytes(bad) + good)
        assert (await acquirer.receive())[39] == "00"
        assert network.host.frames.undecodable_total == 1


@pytest.mark.parametrize("data", [b"\xff\xff", b"0141", b"GET / HTTP/1.1\r\n"])
async def test_wrong_framing_closes(network_on: RunNetwork, data: bytes) -> None:
    """A length out of bounds: by intent, in ASCII, or from another protocol altogether."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        await acquirer.stream.send_all(data)
        with pytest.raises(EOFError):
            await acquirer.receive()
        assert (await (await network.sign_on()).ask(sale()))[39] == "00"


async def test_the_acquirer_is_known_by_name(network_on: RunNetwork) -> None:
    """A certificate of the right CA with another name is refused; the right one is not."""
    async with network_on() as network:
        with capture_logs() as logs:
            await _is_refused(await network.dial("stranger"))
        assert f"for ['{STRANGER}'], none of ['{CLIENT}']" in logs[0]["reason"]
        await network.sign_on()
        assert network.host.connections.accepted_total == 1


async def test_a_client_without_a_certificate_is_refused(network_on: RunNetwork) -> None:
    """Under TLS 1.3 it learns so by its first read; the network's log tells why."""
    async with network_on() as network:
        with capture_logs() as logs:
            await _is_refused(await _dial(network, _client(network)))
        assert logs[0]["reason"].endswith("the peer presented no certificate")


async def test_a_certificate_of_another_ca_is_refused(network_on: RunNetwork) -> None:
    """The right name from the wrong authority, made by another tool."""
    async with network_on() as network:
        context = _client(network)
        trustme.CA().issue_cert(CLIENT).configure_cert(context)
        with capture_logs() as logs:
            await _is_refused(await _dial(network, context))
        assert logs[0]["reason"].endswith("unable to get local issuer certificate")


async def test_a_networks_own_certificate_is_no_clients(network_on: RunNetwork) -> None:
    """A server certificate, though of the right CA, does not identify an acquirer."""
    async with network_on() as network:
        context = _client(network)
        context.load_cert_chain(network.pki / "vsim.pem", network.pki / "vsim.key")
        with capture_logs() as logs:
            await _is_refused(await _dial(network, context))
        assert logs[0]["reason"].endswith("unsuitable certificate purpose")


async def test_another_authority_of_the_same_making_is_refused(
    network_on: RunNetwork, tmp_path: Path
) -> None:
    """A second development PKI is a stranger to the first, though its names are the same."""
    other = tmp_path / "other"
    make_pki(other)
    async with network_on() as network:
        context = _client(network)
        context.load_cert_chain(other / "switch.pem", other / "switch.key")
        with capture_logs() as logs:
            await _is_refused(await _dial(network, context))
        assert "certificate is refused" in logs[0]["reason"]


async def test_plain_text_and_silence_get_no_further_than_the_handshake(
    network_on: RunNetwork,
) -> None:
    """One speaks no TLS, one says nothing; both are closed and counted."""
    async with network_on(handshake_timeout_s=0.1) as network:
        plain = await network.connect()
        await plain.send_all(b"\x00\x00")
        mute = await network.connect()
        with trio.fail_after(20):
            await _read_to_the_end(plain)
            await _read_to_the_end(mute)
        await trio.testing.wait_all_tasks_blocked()
        assert network.host.connections.refused_total == 2


async def test_connections_are_bounded(network_on: RunNetwork) -> None:
    """One too many is closed at once; when one leaves there is room again."""
    async with network_on(connections_max=2) as network:
        first, second = await network.sign_on(), await network.sign_on()
        extra = await network.connect()
        with trio.fail_after(20):
            await _read_to_the_end(extra)
        assert (await second.ask(sale()))[39] == "00"
        await first.stream.aclose()
        with trio.fail_after(20):
            await _sign_on_when_there_is_room(network)


async def test_a_peer_that_does_not_read_stops_only_itself(network_on: RunNetwork) -> None:
    """It is closed after the write's limit; another acquirer goes on meanwhile."""
    async with network_on(write_timeout_s=0.1) as network:
        greedy, other = await network.sign_on(), await network.sign_on()
        burst = greedy.pack(*(sale({11: f"{stan:06d}"}) for stan in range(100)))
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_flood, greedy, burst)
                while network.host.connections.open_count == 2:
                    assert (await other.ask(management("301")))[39] == "00"
        assert network.host.connections.open_count == 1
        assert (await other.ask(sale({11: "999999"})))[39] == "00"


async def test_stopping_closes_every_connection(network_on: RunNetwork) -> None:
    """The acquirer sees the end of the stream and nobody waits."""
    async with network_on() as network:
        acquirer = await network.sign_on()
        network.stop.set()
        with trio.fail_after(20), pytest.raises(EOFError):
            await acquirer.receive()


def _client(network: RunningNetwork) -> ssl.SSLContext:
    """A client that trusts the network and shows nothing of its own yet."""
    context = ssl.create_default_context(cafile=network.pki / "ca.pem")
    context.set_alpn_protocols([ALPN])
    return context


async def _dial(network: RunningNetwork, context: ssl.SSLContext) -> Acquirer:
    stream = trio.SSLStream(await network.connect(), context, server_hostname=SERVER)
    await stream.do_handshake()
    return Acquirer(stream, network.dialect)


async def _is_refused(acquirer: Acquirer) -> None:
    """Not a byte is answered, and nobody is let in."""
    with pytest.raises(EOFError):
        await acquirer.ask(management("001"))
    await trio.testing.wait_all_tasks_blocked()  # the network logs behind closing


async def _sign_on_when_there_is_room(network: RunningNetwork) -> None:
    while True:
        try:
            await network.sign_on()
        except (EOFError, trio.BrokenResourceError):
            continue
        return


async def _read_to_the_end(stream: trio.SocketStream) -> None:
    try:
        while await stream.receive_some():
            continue
    except trio.BrokenResourceError:
        return  # reset instead of closed: ended either way


async def _flood(acquirer: Acquirer, burst: bytes) -> None:
    """Send and never read, until the network hangs up."""
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await acquirer.stream.send_all(burst)
