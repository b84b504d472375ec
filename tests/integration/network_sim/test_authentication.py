"""MACs and keys on the wire: a network with a key server, and an acquirer that shares its KEK."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
import trio

from chassis.key_block import unwrap_key
from chassis.mac import Cmac, check_value_text
from chassis.secrets import Key
from network_sim.faults import Mac, Match, Rule
from network_sim.keys import KeyServer, MacKey
from network_sim.macs import Verdict, seal, with_mac_elements
from switch.iso8583 import Dialect
from switch.iso8583.key_data import KeyData
from tests.support.network import Acquirer, management, sale
from tests.support.played import PlayOn, Stage

KEK = Key(bytes(range(32)))


@attrs.define
class KeyedAcquirer:
    """An acquirer that makes and checks MACs."""

    acquirer: Acquirer
    dialect: Dialect
    key: MacKey | None = None

    async def send(self, fields: Mapping[int, str], *, spoil: bool = False) -> None:
        """Send a message, with a MAC where there is a key."""
        if self.key is None:
            packed = self.dialect.encode(fields)
        else:
            packed = seal(self.dialect.encode(with_mac_elements(fields, self.key)), self.key)
        if spoil:
            packed = packed[:-1] + bytes([packed[-1] ^ 1])
        await self.acquirer.send_frame(packed)

    async def receive(self) -> tuple[dict[int, str], Verdict]:
        """The next message, and what its MAC is worth."""
        packed = await self.acquirer.receive_frame()
        fields = self.dialect.decode(packed)
        if not {64, 128} & fields.keys():
            return fields, Verdict.ABSENT
        if self.key is None or fields[53] != self.key.key_id:
            return fields, Verdict.UNKNOWN_KEY
        good = self.key.cmac.verifies(packed[:-8], packed[-8:])
        return fields, Verdict.GOOD if good else Verdict.WRONG

    async def ask(self, fields: Mapping[int, str]) -> tuple[dict[int, str], Verdict]:
        """Send one message and return the next one."""
        await self.send(fields)
        return await self.receive()

    def take(self, fields: Mapping[int, str]) -> str:
        """Use the key that a message brings; its check value."""
        data = KeyData.of(fields)
        _, material = unwrap_key(KEK.reveal(), data.key_block)
        self.key = MacKey(data.key_id, Cmac(material), "")
        return check_value_text(material)

    async def fetch_key(self) -> None:
        """Ask the network for a key and use it."""
        answer, _ = await self.ask(management("161", stan="000002"))
        assert answer[39] == "00"
        assert self.take(answer) == answer[60][-6:]


async def _signed_on(stage: Stage) -> KeyedAcquirer:
    return KeyedAcquirer(await stage.sign_on(), stage.dialect)


@pytest.mark.parametrize("codec", ["compiled", "pyiso8583"])
async def test_a_key_is_asked_for_and_used(play_on: PlayOn, codec: str) -> None:
    """Its first use makes it the network's current one, and answers carry MACs by it."""
    async with play_on(mac="cmac", kek=KEK, codec=codec) as stage:
        acquirer = await _signed_on(stage)
        await acquirer.fetch_key()
        answer, verdict = await acquirer.ask(sale())
        assert (answer[39], verdict) == ("00", Verdict.GOOD)
        echo, verdict = await acquirer.ask(management("301"))
        assert (echo[39], verdict) == ("00", Verdict.GOOD)
        assert _current(stage) == answer[53]


@pytest.mark.parametrize("kind", ["absent", "wrong", "strange"])
async def test_a_sale_without_a_good_mac_is_not_decided(play_on: PlayOn, kind: str) -> None:
    """63, and nothing is on record; the answer's own MAC is good where there is a key."""
    async with play_on(mac="cmac", kek=KEK) as stage:
        acquirer = await _signed_on(stage)
        await acquirer.fetch_key()
        await acquirer.ask(management("301"))
        good, strange = acquirer.key, MacKey("9" * 16, Cmac(bytes(16)), "")
        acquirer.key = {"absent": None, "wrong": good, "strange": strange}[kind]
        await acquirer.send(sale(), spoil=kind == "wrong")
        acquirer.key = good
        answer, verdict = await acquirer.receive()
        assert (answer[39], verdict) == ("63", Verdict.GOOD)
        assert stage.playing.entries() == []


async def test_without_any_key_nothing_financial_is_taken(play_on: PlayOn) -> None:
    """A sign-on is, and an echo: they are how a peer without keys begins."""
    async with play_on(mac="cmac", kek=KEK) as stage:
        acquirer = await _signed_on(stage)
        assert (await acquirer.ask(management("301")))[0][39] == "00"
        assert (await acquirer.ask(sale()))[0][39] == "63"


async def test_with_a_key_management_needs_it_too(play_on: PlayOn) -> None:
    """But for a sign-on and a request for a key."""
    async with play_on(mac="cmac", kek=KEK) as stage:
        acquirer = await _signed_on(stage)
        await acquirer.fetch_key()
        await acquirer.ask(sale())
        acquirer.key = None
        codes = [
            (await acquirer.ask(management(function)))[0][39] for function in ("301", "001", "161")
        ]
        assert codes == ["63", "00", "00"]


@pytest.mark.parametrize(
    ("how", "verdict"),
    [("wrong", Verdict.WRONG), ("absent", Verdict.ABSENT), ("expired", Verdict.WRONG)],
)
async def test_a_script_may_spoil_an_answers_mac(
    play_on: PlayOn, how: str, verdict: Verdict
) -> None:
    """The decision stands."""
    rule = Rule(match=Match(mti="0200"), action=Mac(how=how))  # type: ignore[arg-type]
    async with play_on(rule, mac="cmac", kek=KEK) as stage:
        acquirer = await _signed_on(stage)
        await acquirer.fetch_key()
        answer, heard = await acquirer.ask(sale())
        assert (answer[39], heard) == ("00", verdict)


async def test_a_pushed_key_takes_over_when_it_is_accepted(play_on: PlayOn) -> None:
    """The old one still verifies meanwhile."""
    async with play_on(mac="cmac", kek=KEK) as stage:
        acquirer = await _signed_on(stage)
        await acquirer.fetch_key()
        await acquirer.ask(sale())
        old = acquirer.key
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_push, acquirer, "00")
            answer = await stage.playing.host.initiative.push_key()
        assert answer[39] == "00"
        assert _current(stage) == acquirer.key.key_id  # type: ignore[union-attr]
        assert (await acquirer.ask(sale({11: "000124"})))[1] is Verdict.GOOD
        acquirer.key = old
        late, verdict = await acquirer.ask(sale({11: "000125"}))
        assert (late[39], verdict) == ("00", Verdict.GOOD)


async def test_a_refused_key_changes_nothing(play_on: PlayOn) -> None:
    """The peer finds another check value than the one it was told."""
    async with play_on(mac="cmac", kek=KEK) as stage:
        acquirer = await _signed_on(stage)
        await acquirer.fetch_key()
        await acquirer.ask(sale())
        before = _current(stage)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_push, acquirer, "63")
            await stage.playing.host.initiative.push_key(check_value="000000")
        assert _current(stage) == before
        assert (await acquirer.ask(sale({11: "000124"})))[1] is Verdict.GOOD


async def test_a_network_without_keys_pushes_none(play_on: PlayOn) -> None:
    """And MACs without a key-exchange key are refused at the start."""
    async with play_on() as stage:
        with pytest.raises(RuntimeError, match="no MAC keys"):
            await stage.playing.host.initiative.push_key()
    with pytest.raises(ValueError, match="key-exchange key"):
        async with play_on(mac="cmac"):
            pass


async def _answer_push(acquirer: KeyedAcquirer, code: str) -> None:
    """Take a pushed key, or refuse it for its check value."""
    asked, verdict = await acquirer.receive()
    assert verdict is Verdict.GOOD
    kept = acquirer.key
    right = acquirer.take(asked) == asked[60][-6:]
    assert right is (code == "00")
    new, acquirer.key = acquirer.key, kept
    await acquirer.send({0: "0810", 7: asked[7], 11: asked[11], 39: code, 70: asked[70]})
    if right:
        acquirer.key = new


def _current(stage: Stage) -> str:
    keys: KeyServer | None = stage.playing.keys
    assert keys is not None
    assert keys.current is not None
    return keys.current.key_id
