"""Bytes in, bytes out, with MACs: the fast loop says what the thorough one says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pytest

from chassis.framing import LengthFramer
from chassis.secrets import Key
from chassis.settings.tree import Network, Simulator
from network_sim.acceptor import Acceptor, FrameCounters, Reaction
from network_sim.answering import Direction
from network_sim.authentic import AuthenticAcceptor
from network_sim.decisions import Moment
from network_sim.faults import FaultScript
from network_sim.faults.deliveries import Write
from network_sim.keys import KeyServer
from network_sim.macs import Verdict, judge, seal, with_mac_elements
from network_sim.packing import Packer
from network_sim.scripted import ScriptedAcceptor
from network_sim.service import make_issuer
from switch.iso8583 import Dialect
from tests.support.network import management, reversal, sale
from tests.support.network_host import OPENS_ON

NOW = Moment.at(1_795_331_402_000_000)
KEK = Key(bytes(range(32)))


@pytest.fixture
def keys() -> KeyServer:
    """A server with a current key, and one that the acquirer has not used yet."""
    keys = KeyServer(KEK, random=os.urandom)
    keys.taken_over(keys.mint(NOW.at_us).key_id, NOW.at_us)
    keys.mint(NOW.at_us)
    return keys


def _acceptor(dialect: Dialect, keys: KeyServer, *, fast: bool, told: list[str]) -> Acceptor:
    direction = Direction(
        dialect=dialect,
        packer=Packer(dialect, dialect, keys),
        script=FaultScript(),
        record=None,
        keys=keys,
        keys_changed=lambda: told.append("keys changed"),
        time_factor=1.0,
    )
    state = {
        "codec": dialect,
        "issuer": make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON),
        "counters": FrameCounters(),
        "keep_alives_max": 3,
        "direction": direction,
        "framer": LengthFramer(2, 4_096),
    }
    return AuthenticAcceptor(**state) if fast else ScriptedAcceptor(number=1, **state)


def _conversation(dialect: Dialect, keys: KeyServer) -> list[bytes]:
    """Good messages of every class, and messages that nobody should believe."""
    assert keys.current is not None
    assert keys.next is not None

    def sealed(fields: Mapping[int, str], *, by_next: bool = False) -> bytes:
        key = keys.next if by_next else keys.current
        assert key is not None
        return seal(dialect.encode(with_mac_elements(fields, key)), key)

    spoiled = bytearray(sealed(sale({11: "000305"})))
    spoiled[-1] ^= 1
    return [
        sealed(management("001")),
        sealed(sale({11: "000301"})),
        sealed(sale({11: "000302", 2: "4000000000000002"})),
        sealed(reversal(sale({11: "000301"}), {11: "000303"})),
        dialect.encode(sale({11: "000304"})),
        bytes(spoiled),
        dialect.encode(management("301", stan="000306")),
        b"no message",
        sealed(management("301", stan="000307")),
        sealed(sale({11: "000308"}), by_next=True),
        sealed(sale({11: "000309"}), by_next=True),
        b"",
    ]


def _sent(reaction: Reaction) -> list[bytes]:
    """The frames that leave at once, however they leave."""
    written = [
        step.data for each in reaction.deliveries for step in each.steps if type(step) is Write
    ]
    return LengthFramer(2, 4_096).feed(reaction.output + b"".join(written))


def _outcome(reaction: Reaction, frames: Sequence[bytes]) -> tuple[object, ...]:
    return frames, reaction.lines, reaction.fault, reaction.close


@pytest.mark.parametrize("together", [True, False], ids=["one read", "a read each"])
def test_both_loops_say_the_same(dialect: Dialect, keys: KeyServer, *, together: bool) -> None:
    """Answers, record, key changes and faults, message by message or all in one read."""
    frames = _conversation(dialect, keys)
    wrapped = [LengthFramer(2, 4_096).wrap(frame) if frame else b"\0\0" for frame in frames]
    reads = [b"".join(wrapped)] if together else wrapped
    kept, outcomes, told = keys.dump(), [], []
    for fast in (True, False):
        mine = KeyServer(KEK, random=os.urandom)
        mine.load(kept)
        heard: list[str] = []
        acceptor = _acceptor(dialect, mine, fast=fast, told=heard)
        reactions = [acceptor.receive(read, NOW) for read in reads]
        outcomes.append([_outcome(reaction, _sent(reaction)) for reaction in reactions])
        told.append((heard, mine.dump()))
    assert outcomes[0] == outcomes[1]
    assert told[0] == told[1]
    assert told[0][0] == ["keys changed"]


def test_every_answer_is_authentic(dialect: Dialect, keys: KeyServer) -> None:
    """By the key of its question, refusals included; what was refused is not decided."""
    acceptor = _acceptor(dialect, keys, fast=True, told=[])
    read = b"".join(
        LengthFramer(2, 4_096).wrap(frame) for frame in _conversation(dialect, keys) if frame
    )
    reaction = acceptor.receive(read, NOW)
    answers = [(frame, dialect.decode(frame)) for frame in _sent(reaction)]
    verdicts = {judge(frame, fields, keys, NOW.at_us)[0] for frame, fields in answers}
    assert verdicts == {Verdict.GOOD}
    codes = [fields[39] for _, fields in answers]
    assert codes == ["00", "00", "05", "00", "63", "63", "63", "00", "00", "00"]
    assert len(reaction.lines) == 5
