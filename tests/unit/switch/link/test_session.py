from __future__ import annotations

from itertools import count

import pytest
from msgspec.structs import replace

from chassis.settings.tree import Network
from switch.dialects import read_dialect
from switch.link.session import (
    Alarm,
    Close,
    EchoPolicy,
    Effect,
    Fields,
    Send,
    Session,
    Told,
    answer_to,
)
from switch.link.states import TRANSITIONS, Event, SessionError, State

NETWORK = Network()
ECHO = EchoPolicy(idle_s=30.0, timeout_s=5.0, misses_max=3)
FUNCTIONS = {"sign_on": "001", "sign_off": "002", "echo": "301", "cutover": "201"}


def _session() -> Session:
    numbers = count(1)
    return Session(NETWORK, ECHO, FUNCTIONS, lambda: (f"{next(numbers):06d}", "0102030405"))


def _sent(effects: list[Effect]) -> Fields:
    (effect,) = effects
    assert isinstance(effect, Send)
    return effect.fields


def _answer(request: Fields, code: str = "00") -> Fields:
    return request | {0: "0810", 39: code}


def _asked(function: str, **more: str) -> Fields:
    fields = {0: "0800", 7: "0203040506", 11: "900001", 70: function}
    return fields | {int(name[2:]): value for name, value in more.items()}


def _connecting(session: Session) -> None:
    session.dialing()
    session.reached()


def _up(now: float = 0.0) -> Session:
    session = _session()
    _connecting(session)
    sign_on = _sent(session.connected(now))
    assert session.receive(_answer(sign_on), now) == []
    return session


def test_sign_on_is_the_first_word_and_opens_the_session() -> None:
    """Nothing may be sent before 0810 with 00."""
    session = _session()
    assert (session.state, session.may_send) == (State.DOWN, False)
    _connecting(session)
    sign_on = _sent(session.connected(0.0))
    assert sign_on == {0: "0800", 7: "0102030405", 11: "000001", 70: "001"}
    assert (session.state, session.may_send) == (State.SIGN_ON_SENT, False)
    assert session.receive(_answer(sign_on), 0.1) == []
    assert (session.state, session.may_send) == (State.UP, True)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({11: "000002"}, id="another STAN"),
        pytest.param({7: "0102030406"}, id="another time"),
        pytest.param({70: "301"}, id="another function"),
        pytest.param({70: "999"}, id="unknown function"),
    ],
)
def test_an_answer_to_something_else_does_not_sign_on(wrong: Fields) -> None:
    """The 0810 must repeat what we asked."""
    session = _session()
    _connecting(session)
    sign_on = _sent(session.connected(0.0))
    assert session.receive(_answer(sign_on) | wrong, 0.1) == []
    assert session.state is State.SIGN_ON_SENT
    assert session.strays_total == 1


def test_a_refused_sign_on_closes() -> None:
    """Any code but 00 keeps the link down."""
    session = _session()
    _connecting(session)
    sign_on = _sent(session.connected(0.0))
    assert session.receive(_answer(sign_on, "91"), 0.1) == [Close("sign-on refused with 91")]
    assert session.state is State.SIGN_ON_SENT


def test_an_unanswered_sign_on_closes_after_its_deadline() -> None:
    """Five seconds, and not before."""
    session = _session()
    _connecting(session)
    session.connected(0.0)
    assert session.tick(4.9) == []
    assert session.tick(5.0) == [Close("sign-on not answered")]


def test_three_failed_sign_ons_raise_one_alarm() -> None:
    """The alarm comes with the third failure, is not repeated, and a success starts anew."""
    session = _session()
    alarms = []
    for _ in range(5):
        _connecting(session)
        session.connected(0.0)
        effects, proven = session.lost(1.0)
        assert not proven
        alarms.append(effects)
    alarm = Alarm("3 sign-ons in a row have failed")
    assert alarms == [[], [], [alarm], [], []]
    _connecting(session)
    session.receive(_answer(_sent(session.connected(0.0))), 0.1)
    assert session.sign_on_failures == 0


def test_a_connection_that_was_never_made_is_no_failed_sign_on() -> None:
    """An unreachable host is not a refused acquirer."""
    session = _session()
    for _ in range(4):
        session.dialing()
        assert session.lost(1.0) == ([], False)
    assert session.sign_on_failures == 0


@pytest.mark.parametrize(("up_s", "proven"), [(59.9, False), (60.0, True)])
def test_only_a_link_that_stayed_up_is_proven(up_s: float, proven: bool) -> None:  # noqa: FBT001
    """Back-off starts over after 60 s of session, not after a mere sign-on."""
    session = _up(now=100.0)
    assert session.lost(100.0 + up_s) == ([], proven)
    assert session.state is State.DOWN


def test_silence_is_answered_by_an_echo_and_three_misses_close() -> None:
    """A half-open connection is noticed within three times idle plus time-out."""
    session = _up()
    asked_at, now = [], 0.0
    while now < 200.0:
        effects = session.tick(now)
        if effects and isinstance(effects[0], Close):
            break
        if effects:
            echo = _sent(effects)
            assert (echo[0], echo[70]) == ("0800", "301")
            asked_at.append(now)
        now += 0.5
    assert asked_at == [30.0, 65.0, 100.0]
    assert (now, effects) == (105.0, [Close("3 echoes unanswered")])


def test_each_echo_has_a_new_stan() -> None:
    """An echo is a message of its own."""
    session = _up()
    first = _sent(session.tick(30.0))
    session.tick(35.0)
    assert _sent(session.tick(65.0))[11] != first[11]


def test_any_frame_received_is_life() -> None:
    """Traffic spares the echo, answers an open one, and clears earlier misses."""
    session = _up()
    session.heard(29.0)
    assert session.tick(30.0) == []
    session.tick(59.0)
    session.tick(64.0)
    assert _sent(session.tick(94.0))[70] == "301"
    session.heard(95.0)
    assert session.tick(99.5) == []
    for miss in range(2):
        _sent(session.tick(125.0 + 35 * miss))
        assert session.tick(130.0 + 35 * miss) == []
    assert session.state is State.UP


def test_an_answered_echo_is_no_stray() -> None:
    """Its 0810 is known, a second one is not."""
    session = _up()
    echo = _sent(session.tick(30.0))
    session.heard(30.1)
    session.receive(_answer(echo), 30.1)
    assert session.strays_total == 0
    session.receive(_answer(echo), 30.2)
    assert session.strays_total == 1


@pytest.mark.parametrize("state", [State.SIGN_ON_SENT, State.UP, State.DRAINING, State.SIGNED_OFF])
def test_the_peers_echo_is_answered_in_every_state(state: State) -> None:
    """The answer repeats DE 7, 11 and 70, and changes nothing."""
    session = _session() if state is State.SIGN_ON_SENT else _up()
    if state is State.SIGN_ON_SENT:
        _connecting(session)
        session.connected(0.0)
    elif state is not State.UP:
        session.drain()
    if state is State.SIGNED_OFF:
        session.sign_off(0.0)
    assert session.state is state
    answer = _sent(session.receive(_asked("301", de32="400001", de41="TERMINAL"), 1.0))
    assert answer == {0: "0810", 39: "00", 7: "0203040506", 11: "900001", 32: "400001", 70: "301"}
    assert session.state is state


@pytest.mark.parametrize("function", ["999", "161", "101"])
def test_an_unknown_function_is_refused_and_the_session_stays(function: str) -> None:
    """Code 40, nothing else happens."""
    session = _up()
    answer = _sent(session.receive(_asked(function), 1.0))
    assert (answer[39], answer[70]) == ("40", function)
    assert session.state is State.UP


@pytest.mark.parametrize("missing", [7, 11, 70])
def test_a_request_without_its_fields_is_a_format_error(missing: int) -> None:
    """Code 30, and no echo of what is not there."""
    session = _up()
    request = {de: value for de, value in _asked("002").items() if de != missing}
    answer = _sent(session.receive(request, 1.0))
    assert answer[39] == "30"
    assert missing not in answer
    assert session.state is State.UP


def test_the_peers_sign_off_stops_us_and_leaves_time_for_late_answers() -> None:
    """No new messages; the link reads on for one response deadline and closes."""
    session = _up()
    assert _sent(session.receive(_asked("002"), 10.0))[39] == "00"
    assert (session.state, session.may_send) == (State.SIGNED_OFF, False)
    assert session.tick(11.9) == []
    assert session.tick(12.0) == [Close("signed off")]


def test_the_peer_may_sign_on_again_on_the_same_connection() -> None:
    """A network that comes back in time gets its link back."""
    session = _up()
    session.receive(_asked("002"), 10.0)
    assert _sent(session.receive(_asked("001"), 11.0))[39] == "00"
    assert session.state is State.UP
    assert session.tick(12.0) == []


def test_while_draining_the_peers_sign_on_is_answered_only() -> None:
    """We are leaving: the session does not come up again."""
    session = _up()
    session.drain()
    session.receive(_asked("002"), 1.0)
    assert _sent(session.receive(_asked("001"), 1.1))[39] == "00"
    assert session.state is State.SIGNED_OFF


def test_our_sign_off_says_good_bye_and_closes_when_answered() -> None:
    """DRAINING still sends what is queued; 0800/002 ends that."""
    session = _up()
    assert session.drain() == []
    assert (session.state, session.may_send) == (State.DRAINING, True)
    sign_off = _sent(session.sign_off(10.0))
    assert sign_off[70] == "002"
    assert (session.state, session.may_send) == (State.SIGNED_OFF, False)
    assert session.receive(_answer(sign_off), 10.1) == [Close("signed off")]


def test_an_unanswered_sign_off_closes_all_the_same() -> None:
    """A dead network does not hold up our stop."""
    session = _up()
    session.drain()
    session.sign_off(10.0)
    assert session.tick(14.9) == []
    assert session.tick(15.0) == [Close("signed off")]


def test_draining_a_link_that_is_not_up_closes_it() -> None:
    """There is nothing to wait for."""
    session = _session()
    assert session.drain() == []
    session.dialing()
    assert session.drain() == [Close("stopping")]
    session.reached()
    assert session.drain() == [Close("stopping")]
    session.connected(0.0)
    assert session.drain() == [Close("stopping")]
    assert session.sign_off(0.0) == []


def test_keep_alives_are_tolerated_but_not_in_floods() -> None:
    """Two a second are allowed for ever; more within a minute closes; nothing is ever echoed."""
    session = _up()
    for second in range(0, 600, 10):
        assert session.keep_alives(20, float(second)) == []
    assert session.keep_alives(120, 660.0) == []
    assert session.keep_alives(1, 661.0) == [Close("more than 120 zero-length frames a minute")]


def test_a_stray_message_of_class_8_is_counted() -> None:
    """An advice of network management is not ours to act on."""
    session = _up()
    assert session.receive({0: "0820", 70: "002"}, 1.0) == []
    assert (session.strays_total, session.state) == (1, State.UP)


def test_what_the_state_does_not_allow_is_our_fault() -> None:
    """The shell cannot take a step that the table does not know."""
    session = _session()
    with pytest.raises(SessionError, match="connected while down"):
        session.connected(0.0)
    session.dialing()
    with pytest.raises(SessionError, match="connected while tcp"):
        session.connected(0.0)
    with pytest.raises(SessionError, match="dialed while tcp"):
        session.dialing()


def test_a_cutover_is_answered_and_handed_on() -> None:
    """DE 15 is the network's settlement date from now on; the session goes on as it was."""
    session = _up()
    request = _asked("201", de15="1123", de32="400001")
    answer, told = session.receive(request, 1.0)
    assert isinstance(answer, Send)
    assert (answer.fields[39], answer.fields[70]) == ("00", "201")
    assert told == Told("cutover", request)
    assert session.state is State.UP


@pytest.mark.parametrize("date", ["", "1300", "0010", "0132", "0200", "11 3", "11234", "²³01"])
def test_a_cutover_to_no_date_is_a_format_error(date: str) -> None:
    """Settlement dates are money: none is guessed."""
    session = _up()
    request = _asked("201", de15=date) if date else _asked("201")
    assert _sent(session.receive(request, 1.0))[39] == "30"


def test_a_network_without_cutover_refuses_it() -> None:
    """What the dialect does not name is no function."""
    functions = {name: value for name, value in FUNCTIONS.items() if name != "cutover"}
    session = Session(NETWORK, ECHO, functions, lambda: ("000001", "0102030405"))
    _connecting(session)
    session.connected(0.0)
    assert _sent(session.receive(_asked("201", de15="1123"), 1.0))[39] == "40"


class Keyed:
    """A session whose messages carry MACs."""

    def __init__(self, *, has_key: bool) -> None:
        self.has_key = has_key
        numbers = count(1)
        functions = FUNCTIONS | {"key_exchange": "161", "key_push": "101"}
        self.session = Session(
            NETWORK,
            ECHO,
            functions,
            lambda: (f"{next(numbers):06d}", "0102030405"),
            has_key=lambda: self.has_key,
        )
        _connecting(self.session)

    def up(self) -> Session:
        """Signed on."""
        self.session.receive(_answer(_sent(self.session.connected(0.0))), 0.0)
        assert self.session.state is State.UP
        return self.session


def test_without_a_key_there_is_no_sign_on() -> None:
    """The session waits for one, asks when told to, and signs on when it is there."""
    keyed = Keyed(has_key=False)
    session = keyed.session
    assert session.connected(0.0) == [Told("key_needed", {})]
    question = _sent(session.ask_key())
    assert (question[0], question[70]) == ("0800", "161")
    given = _answer(question) | {53: "0000000000000001", 60: "block"}
    assert session.receive(given, 1.0) == [Told("key_given", given)]
    assert session.state is State.SIGN_ON_SENT
    sign_on = _sent(session.key_changed(4.0))
    assert sign_on[70] == "001"
    assert session.key_changed(4.0) == []
    assert session.tick(8.9) == []
    session.receive(_answer(sign_on), 8.9)
    assert session.state is State.UP


def test_a_key_that_does_not_come_ends_the_connection() -> None:
    """By time, or because there will be none."""
    keyed = Keyed(has_key=False)
    keyed.session.connected(0.0)
    assert keyed.session.key_denied("none") == [Close("none")]
    assert keyed.session.tick(5.0) == [Close("sign-on not answered")]


def test_a_sign_on_that_the_network_cannot_verify_gets_another_key_once() -> None:
    """It may have lost what we still hold; a second refusal is one like any other."""
    keyed = Keyed(has_key=True)
    session = keyed.session
    refusal = _answer(_sent(session.connected(0.0)), "63")
    assert session.receive(refusal, 0.1) == [Told("key_needed", refusal)]
    again = _sent(session.key_changed(0.2))
    assert again[70] == "001"
    assert session.receive(_answer(again, "63"), 0.3) == [Close("sign-on refused with 63")]


def test_without_macs_63_is_a_refusal_like_any_other() -> None:
    """No key is asked for where none is used."""
    session = _session()
    _connecting(session)
    refusal = _answer(_sent(session.connected(0.0)), "63")
    assert session.receive(refusal, 0.1) == [Close("sign-on refused with 63")]


def test_a_key_is_asked_for_on_a_session_that_is_up() -> None:
    """And nowhere else; its refusal is handed on, and the session goes on."""
    keyed = Keyed(has_key=True)
    assert keyed.session.ask_key() == []
    session = keyed.up()
    question = _sent(session.ask_key())
    refused = _answer(question, "91")
    assert session.receive(refused, 1.0) == [Told("key_refused", refused)]
    assert session.key_denied("no matter") == []
    assert session.key_changed(1.0) == []
    assert session.state is State.UP
    session.drain()
    assert session.ask_key() == []


def test_a_key_of_the_networks_own_accord_is_answered_when_it_was_judged() -> None:
    """`Told` has what it takes; the answer repeats the key's id."""
    session = Keyed(has_key=True).up()
    request = _asked("101", de53="0000000000000001", de60="block")
    assert session.receive(request, 1.0) == [Told("key_pushed", request)]
    answer = answer_to(request, "63").fields
    assert {de: answer[de] for de in (0, 11, 39, 53, 70)} == {
        0: "0810",
        11: "900001",
        39: "63",
        53: "0000000000000001",
        70: "101",
    }
    assert 60 not in answer


def test_a_network_without_macs_is_sent_no_keys() -> None:
    """Nobody here would know what to do with one."""
    assert _sent(_up().receive(_asked("101", de53="0" * 16, de60="block"), 1.0))[39] == "40"


def test_the_dialect_says_how_often_to_ask_unless_the_settings_do() -> None:
    """Some networks forbid more than one echo in five minutes."""
    policy = read_dialect("vip").policy
    assert EchoPolicy.of(NETWORK, policy) == EchoPolicy(60.0, 10.0, 2)
    settings = replace(NETWORK, echo_idle_s=300.0)
    assert EchoPolicy.of(settings, policy) == EchoPolicy(300.0, 10.0, 2)


def test_every_state_can_be_reached_and_left() -> None:
    """The table has no dead ends beside losing the connection."""
    reached, waiting = {State.DOWN}, [State.DOWN]
    while waiting:
        state = waiting.pop()
        for (source, _), target in TRANSITIONS.items():
            if source is state and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert reached == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)
