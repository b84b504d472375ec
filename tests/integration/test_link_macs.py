"""MACs and their keys against the simulated network, over mutual TLS, with the HSM's own code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import attrs
import pytest
import trio
from msgspec.structs import replace
from structlog.testing import capture_logs

from chassis.mac import Cmac
from chassis.secrets import Key
from network_sim.faults import Mac, Match, Rule, Withhold
from switch.link.events import Answered, Late, Unknown
from tests.support.acquiring import NET87B, Acquiring
from tests.support.hsm_keys import KEK
from tests.support.local_hsm import LocalHSM
from tests.support.network_host import make_pki
from tests.support.played import Stage, stage

DIALECT = attrs.evolve(NET87B, policy=replace(NET87B.policy, mac="cmac"))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of the network and of its acquirer."""
    directory = tmp_path_factory.mktemp("pki")
    make_pki(directory)
    return directory


@pytest.fixture
def hsm(tmp_path: Path) -> LocalHSM:
    """An HSM that shares a key-exchange key with the network."""
    return LocalHSM(tmp_path)


@attrs.frozen
class Ends:
    """Both ends of the links."""

    network: Stage
    switch: Acquiring

    @property
    def current(self) -> str:
        """The key that we make MACs with."""
        macs = self.switch.group.authentication
        assert macs is not None
        return macs.keys.current

    @property
    def theirs(self) -> str:
        """The key that the network makes MACs with."""
        keys = self.network.playing.keys
        assert keys is not None
        return keys.current.key_id if keys.current is not None else ""

    async def sale(self, kind: type) -> None:
        """One more sale, which ends so."""
        before = len(self.switch.events)
        self.switch.send()
        await self.switch.until(lambda: len(self.switch.events) == before + 1)
        assert isinstance(self.switch.events[-1], kind), self.switch.events[-1]


@asynccontextmanager
async def both_ends(
    folder: Path, pki: Path, hsm: LocalHSM, *rules: Rule, **changes: object
) -> AsyncIterator[Ends]:
    """A network with a key server and a switch on its way to it."""
    (folder / "network").mkdir(exist_ok=True)
    async with (
        stage(folder / "network", pki, DIALECT, *rules, mac="cmac", kek=Key(KEK)) as network,
        trio.open_nursery() as nursery,
    ):
        switch = Acquiring(
            pki,
            [f"127.0.0.1:{network.playing.port}"],
            dialect=DIALECT,
            ask_hsm=hsm.ask,
            now_us=lambda: hsm.now_s * 1_000_000,
            **changes,
        )
        nursery.start_soon(switch.group.run)
        yield Ends(network, switch)
        nursery.cancel_scope.cancel()


async def test_two_ends_without_a_key_agree_on_one_and_use_it(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """Two links need a key at once and one is asked for; everything from then on carries MACs."""
    async with both_ends(tmp_path, pki, hsm) as ends:
        await ends.switch.group.wait_up(2)
        assert ends.current == ends.theirs != ""

        async def hold() -> None:
            await ends.switch.until(lambda: len(ends.switch.events) > 500)

        await ends.switch.load(100, hold)
        assert ends.switch.kinds == {Answered}
        counters, macs = ends.switch.group.counters, ends.switch.group.authentication
        assert macs is not None
        assert (counters.unauthentic_total, counters.alarms_total) == (0, 0)
        assert macs.keys.changes_total == 1
        assert macs.stage.generated_total >= len(ends.switch.events)
        assert macs.stage.verified_total >= len(ends.switch.events)
        judged = macs.stage.generated_total + macs.stage.verified_total
        assert macs.stage.batches_total < judged / 2
        with trio.fail_after(5):
            await ends.switch.group.drain()


@pytest.mark.parametrize("how", ["wrong", "absent", "expired"])
async def test_an_answer_without_a_good_mac_is_none(
    how: Literal["wrong", "absent", "expired"], pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """The message is unknown at once, and somebody is told (KX01, KX04)."""
    rule = Rule(match=Match(mti="0200"), nth=2, action=Mac(how=how))
    with capture_logs() as lines:
        async with both_ends(tmp_path, pki, hsm, rule, response_deadline_s=30.0) as ends:
            await ends.switch.group.wait_up(2)
            await ends.sale(Answered)
            await ends.sale(Unknown)
            assert ends.switch.events[-1] == Unknown(2, "bad_mac")
            await ends.sale(Answered)
            assert ends.switch.group.counters.unauthentic_total == 1
            await ends.switch.until(
                lambda: "messages_not_authentic" in [line["event"] for line in lines]
            )
            assert ends.switch.group.up_count == 2


async def test_a_question_without_a_good_mac_does_nothing(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """A sign-off whose MAC is wrong is answered 63, and the session stays."""
    async with both_ends(tmp_path, pki, hsm, connections=1) as ends:
        await ends.switch.group.wait_up()
        keys = ends.network.playing.keys
        assert keys is not None
        good = keys.current
        answers: list[dict[int, str] | None] = []
        keys.current = attrs.evolve(good, cmac=Cmac(bytes(16)))
        ends.network.playing.host.initiative.begin_asking("sign_off", answered=answers.append)
        keys.current = good
        await ends.switch.until(lambda: bool(answers))
        assert answers[0] is not None
        assert (answers[0][39], answers[0][70]) == ("63", "002")
        await ends.sale(Answered)
        with trio.fail_after(5):
            assert (await ends.network.playing.host.initiative.ask("echo"))[39] == "00"
            assert (await ends.network.playing.host.initiative.ask("sign_off"))[39] == "00"
        await ends.switch.until(lambda: ends.switch.group.up_count == 0)


async def _change_keys(ends: Ends, change: Callable[[], object], times: int) -> None:
    for _ in range(times):
        before = ends.current
        await change()  # type: ignore[misc]
        await ends.switch.until(lambda before=before: ends.current != before)  # type: ignore[misc]
        await trio.sleep(0.1)


@pytest.mark.parametrize("pushed", [True, False])
async def test_keys_are_changed_under_load(
    pushed: bool,  # noqa: FBT001
    pki: Path,
    tmp_path: Path,
    hsm: LocalHSM,
) -> None:
    """By the network's own accord or at our request: not one MAC fails, not one sale (KX02)."""
    async with both_ends(tmp_path, pki, hsm, response_deadline_s=5.0) as ends:
        await ends.switch.group.wait_up(2)
        link = ends.switch.group.links[0]

        async def change() -> None:
            if pushed:
                answer = await ends.network.playing.host.initiative.push_key()
                assert answer[39] == "00"
            else:
                assert link.ask_key()

        await ends.switch.load(100, lambda: _change_keys(ends, change, 5))
        assert ends.switch.kinds == {Answered}
        assert ends.switch.refused == 0
        macs = ends.switch.group.authentication
        assert macs is not None
        assert (macs.stage.bad_total, macs.stage.refused_total) == (0, 0)
        assert macs.keys.changes_total == 6
        await ends.switch.until(lambda: ends.theirs == ends.current)
        counters = ends.switch.group.counters
        assert (counters.alarms_total, counters.unauthentic_total) == (0, 0)


async def test_an_old_key_is_replaced_in_time(
    pki: Path, tmp_path: Path, hsm: LocalHSM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the HSM's clock, on whatever link is up."""
    monkeypatch.setattr("switch.link.authentication.CHECK_INTERVAL_S", 0.05)
    async with both_ends(tmp_path, pki, hsm, mac_key_age_s=3_600.0) as ends:
        await ends.switch.group.wait_up(2)
        first = ends.current
        await trio.sleep(0.2)
        assert ends.current == first
        hsm.now_s += 3_601
        await ends.switch.until(lambda: ends.current != first)
        await ends.sale(Answered)
        assert ends.theirs == ends.current


async def test_a_key_with_a_wrong_check_value_is_refused(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """The old one stays, at both ends, and somebody is told (KX03)."""
    with capture_logs() as lines:
        async with both_ends(tmp_path, pki, hsm) as ends:
            await ends.switch.group.wait_up(2)
            first = ends.current
            with trio.fail_after(5):
                initiative = ends.network.playing.host.initiative
                answer = await initiative.push_key(check_value="ABCDEF")
            assert answer[39] == "63"
            assert ends.current == ends.theirs == first
            await ends.sale(Answered)
            assert ends.switch.group.up_count == 2
    (alarm,) = [line for line in lines if line["event"] == "network_alarm"]
    assert alarm["reason"] == "the MAC key that came is not usable: wrong_check_value"


async def test_an_exchange_that_is_cut_off_leaves_two_ends_that_understand_each_other(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """The answer that brings the key is lost (KX05): the old one serves, the next try succeeds."""
    rule = Rule(match=Match(mti="0800", function="key_exchange"), nth=2, action=Withhold())
    async with both_ends(tmp_path, pki, hsm, rule) as ends:
        await ends.switch.group.wait_up(2)
        first, link = ends.current, ends.switch.group.links[0]
        assert link.ask_key()
        await trio.sleep(0.1)
        await ends.sale(Answered)
        assert ends.current == ends.theirs == first
        assert link.ask_key()
        await ends.switch.until(lambda: ends.current != first)
        await ends.sale(Answered)
        assert ends.theirs == ends.current


async def test_a_network_that_has_lost_its_keys_gets_its_links_back(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """It refuses the sign-on with 63; a new key is agreed on, and everything goes on."""
    async with both_ends(tmp_path, pki, hsm) as ends:
        await ends.switch.group.wait_up(2)
        first = ends.current
    async with both_ends(tmp_path, pki, hsm) as ends:
        with trio.fail_after(5):
            await ends.switch.group.wait_up(2)
        assert ends.current == ends.theirs != first
        await ends.sale(Answered)


async def test_a_switch_that_starts_again_goes_on_with_the_key_it_has(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """Keys live in the HSM: none is asked for."""
    async with both_ends(tmp_path, pki, hsm) as ends:
        await ends.switch.group.wait_up(2)
        first = ends.current
        again = Acquiring(
            pki,
            [f"127.0.0.1:{ends.network.playing.port}"],
            dialect=DIALECT,
            ask_hsm=hsm.ask,
            now_us=lambda: hsm.now_s * 1_000_000,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(again.group.run)
            with trio.fail_after(5):
                await again.group.wait_up(2)
            assert again.group.authentication is not None
            assert again.group.authentication.keys.current == first
            nursery.cancel_scope.cancel()
        assert ends.theirs == first


async def test_nothing_is_believed_or_sent_while_the_hsm_is_away(
    pki: Path, tmp_path: Path, hsm: LocalHSM
) -> None:
    """A sale waits and was not sent in the end; an answer waits and is late."""
    async with both_ends(
        tmp_path, pki, hsm, max_send_age_s=0.3, response_deadline_s=0.3, connections=1
    ) as ends:
        await ends.switch.group.wait_up()
        await ends.sale(Answered)
        hsm.delay_s = 0.02
        ends.switch.send()
        await trio.sleep(0.03)  # it has left; its answer is on the way
        hsm.away = True
        ends.switch.send()
        await ends.switch.until(lambda: len(ends.switch.events) == 3)
        told = {event.token: event for event in ends.switch.events[1:]}  # type: ignore[union-attr]
        assert told[2] == Unknown(2, "timeout")
        assert getattr(told[3], "reason", "") == "mac_unavailable"
        hsm.away, hsm.delay_s = False, 0.0
        await ends.switch.until(lambda: len(ends.switch.events) == 4)
        assert isinstance(ends.switch.events[3], Late)
        await ends.sale(Answered)
