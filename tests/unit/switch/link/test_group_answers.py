"""Answers that decide nothing, ask for time, or come by the wrong link."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio
import trio.testing
from msgspec.structs import replace

from ledger.rows import NetworkTotals
from switch.core.reconciliation import totals_request
from switch.link.events import Answered, Elsewhere, Fields, Late, LinkEvent, Unknown
from tests.support.link import DIALECT, SETTINGS, Clock, Host, SignedOn, answer


def _token(event: LinkEvent) -> object:
    assert isinstance(event, Answered | Unknown | Late)
    return event.token


async def test_a_good_answer_behind_a_doubtful_one_is_late(signed_on: SignedOn) -> None:
    """Whoever judged the first answer gives it back, and hears of the second."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    bad = answer(fields) | {4: "000000000001"}
    await peer.send(bad)
    await trio.testing.wait_all_tasks_blocked()
    host.group.doubt(bad, 1)
    await peer.send(answer(fields))
    await trio.testing.wait_all_tasks_blocked()
    assert [type(event) for event in host.events] == [Answered, Late]
    assert _token(host.events[1]) == 1


async def test_in_progress_waits_a_whole_response_time_more(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """The final answer is Answered like any other; without one the message is unknown."""
    host, peer = signed_on
    for number in (1, 2):
        host.send(number)
    messages = [await peer.receive() for _ in range(2)]
    await trio.sleep(1.5)
    for token, fields in enumerate(messages, start=1):
        await peer.send(answer(fields, "09"))
        await trio.testing.wait_all_tasks_blocked()
        host.group.keep_waiting(answer(fields, "09"), token)
    assert host.group.in_flight == 2
    await trio.sleep(1.0)
    await peer.send(answer(messages[0]))
    await trio.sleep(0.9)
    assert [type(event) for event in host.events[2:]] == [Answered]
    await trio.sleep(0.2)
    assert host.events[3] == Unknown(2, "timeout")
    assert host.group.in_flight == 0


async def test_drain_waits_for_what_is_in_progress(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """A message that no window counts is in flight all the same."""
    host, peer = signed_on
    host.send(1)
    fields = await peer.receive()
    await peer.send(answer(fields, "09"))
    await trio.testing.wait_all_tasks_blocked()
    host.group.keep_waiting(answer(fields, "09"), 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(host.group.drain)
        await trio.sleep(0.5)
        await peer.send(answer(fields))
        sign_off = await peer.receive()
        assert (sign_off[70], _token(host.events[1])) == ("002", 1)
        await peer.send(answer(sign_off))


async def test_an_answer_by_another_link_is_refused_where_the_dialect_says_so(
    nursery: trio.Nursery,
) -> None:
    """The message still has its own answer to come."""
    policy = replace(DIALECT.policy, answers_on_other_links=False)
    host = Host(replace(SETTINGS, connections=2), attrs.evolve(DIALECT, policy=policy))
    nursery.start_soon(host.group.run)
    peers = [await host.peer(0), await host.peer(1)]
    for peer in peers:
        await peer.accept_sign_on()
    host.send(1)
    with trio.move_on_after(0.05) as waiting:
        fields = await peers[0].receive()
    if waiting.cancelled_caught:
        peers.reverse()
        fields = await peers[0].receive()
    await peers[1].send(answer(fields))
    await trio.testing.wait_all_tasks_blocked()
    assert isinstance(host.events[0], Elsewhere)
    assert host.events[0].link != host.events[0].sent_on
    await peers[0].send(answer(fields))
    await trio.testing.wait_all_tasks_blocked()
    assert [type(event) for event in host.events] == [Elsewhere, Answered]


async def test_a_cutover_dates_the_answers_that_have_no_date(signed_on: SignedOn) -> None:
    """It is answered at once and handed on; answers that carry DE 15 keep their own."""
    host, peer = signed_on
    for number in (1, 2, 3):
        host.send(number)
    messages = [await peer.receive() for _ in range(3)]
    cutover = {0: "0800", 7: "1122235959", 11: "000777", 15: "1123", 70: "201"}
    await peer.send(answer(messages[0]), cutover, answer(messages[1]))
    await peer.send(answer(messages[2]) | {15: "1122"})
    answered = await peer.receive()
    assert {de: answered[de] for de in (0, 11, 39, 70)} == {
        0: "0810",
        11: "000777",
        39: "00",
        70: "201",
    }
    await trio.testing.wait_all_tasks_blocked()
    assert host.cutovers == ["1123"]
    dates = [event.fields.get(15) for event in host.events if isinstance(event, Answered)]
    assert dates == [None, "1123", "1122"]


async def test_a_question_hears_its_own_answer_and_nobody_else_does(
    autojump_clock: Clock, signed_on: SignedOn
) -> None:
    """An 0500 belongs to no payment; nothing comes of its silence or its late answer either."""
    host, peer = signed_on
    answers: list[Fields | None] = []

    async def ask(stan: str) -> None:
        answers.append(await host.group.ask(_totals(stan)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "000901")
        host.send(1)
        messages = {}
        for _ in range(2):
            fields = await peer.receive()
            messages[fields[0]] = fields
        told = messages["0500"] | {0: "0510", 39: "00", 66: "1"}
        await peer.send(answer(messages["0200"]), told)
    assert answers == [told]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "000902")
        fields = await peer.receive()
    assert answers == [told, None]
    await peer.send(fields | {0: "0510", 39: "00", 66: "1"})
    await trio.testing.wait_all_tasks_blocked()
    assert [type(event) for event in host.events] == [Answered]
    assert host.group.in_flight == 0


async def test_without_a_link_a_question_has_no_answer(make_host: Callable[..., Host]) -> None:
    """It is for whoever asks to ask again."""
    assert await make_host().group.ask(_totals("000901")) is None


def _totals(stan: str) -> Fields:
    return totals_request(
        NetworkTotals(),
        settles_on="2026-11-22",
        currency="usd",
        acquirer_id="400001",
        stan=stan,
        de7="1123000100",
    )
