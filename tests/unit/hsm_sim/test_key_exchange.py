"""Keys come in, go out and move on; what is refused changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chassis.key_block import KeyAttributes, unwrap_key
from chassis.mac import Cmac, check_value_text
from chassis.settings.tree import HSM
from hsm_sim.key_exchange import KeyExchange, KeyExchangeRequest, well_formed
from hsm_sim.macs import MISMATCH, UNKNOWN_KEY, answer_macs
from hsm_sim.wire import (
    ChangeSessionKey,
    GenerateSessionKey,
    HSMReply,
    ImportSessionKey,
    KekLoaded,
    KeyRefused,
    LoadKek,
    Macs,
    MacToGenerate,
    MacToVerify,
    MacVerified,
    NetworkKey,
    SessionKeyChanged,
    SessionKeyGenerated,
)
from tests.support.hsm import NOW_S
from tests.support.hsm_keys import (
    FIRST,
    KEK,
    NETWORK,
    SECOND,
    THIRD,
    key_import,
    network_keystore,
)

UID = 1001
OVERLAP_S = HSM().session_key_overlap_s
MESSAGE = b"a packed message"


class Exchange:
    """The commands over a key store of their own."""

    def __init__(self, folder: Path, *, kek: bytes | None = KEK) -> None:
        self.folder = folder
        self.store = network_keystore(folder, kek=kek)
        self._commands = KeyExchange(self.store, HSM(), os.urandom)

    def ask(self, request: KeyExchangeRequest, now_s: int = NOW_S) -> HSMReply:
        """Ask as the switch or an administrator."""
        return self._commands.answer(request, uid=UID, now_s=now_s)

    def bring(self, key: bytes, key_id: str, now_s: int = NOW_S) -> NetworkKey:
        """Import a key of the network's."""
        reply = self.ask(key_import(key, key_id), now_s)
        assert isinstance(reply, SessionKeyChanged)
        return reply.key

    def move(self, key_id: str, *changes: Any, now_s: int = NOW_S) -> HSMReply:
        """Confirm, promote or abandon; the last answer."""
        replies = [self.ask(ChangeSessionKey(NETWORK, key_id, change), now_s) for change in changes]
        return replies[-1]

    def change_keys(self, key: bytes, key_id: str, now_s: int = NOW_S) -> None:
        """A whole key change, started by the network."""
        self.bring(key, key_id, now_s)
        reply = self.move(key_id, "confirm", "promote", now_s=now_s)
        assert isinstance(reply, SessionKeyChanged)

    def states(self, now_s: int = NOW_S) -> dict[str, str]:
        """State by id of the session keys."""
        listed = self._commands.listed(now_s=now_s)
        return {key.key_id: key.state for key in listed.keys if key.usage == "mac"}

    def listed(self, now_s: int = NOW_S) -> list[NetworkKey]:
        """Everything that is shown."""
        return self._commands.listed(now_s=now_s).keys

    def verdict(self, key: bytes, key_id: str = "", now_s: int = NOW_S) -> object:
        """What becomes of a message that the network authenticated with a key."""
        mac = Cmac(key).message_mac(MESSAGE)
        request = Macs(verify=[MacToVerify(NETWORK, key_id, MESSAGE, mac)])
        return answer_macs(self.store.working, request, now_s=now_s).verified[0]

    def mac(self, key_id: str, now_s: int = NOW_S) -> object:
        """The MAC that we make."""
        request = Macs(generate=[MacToGenerate(NETWORK, key_id, MESSAGE)])
        return answer_macs(self.store.working, request, now_s=now_s).generated[0]

    def log(self) -> list[tuple[str, dict[str, object]]]:
        """Actions and details of the audit log, without those of the first start."""
        lines = (self.folder / "hsm" / "audit.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return [
            (entry["action"], entry["detail"])
            for entry in entries
            if entry["action"] not in {"key_created", "kek_loaded"}
        ]


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    """A network with a key-exchange key and nothing else."""
    return Exchange(tmp_path)


def test_a_key_of_the_networks_comes_in_and_is_promoted(exchange: Exchange) -> None:
    """Next: it verifies and makes nothing. Promoted: it makes MACs. The log has each step."""
    key = exchange.bring(FIRST, "01")
    assert (key.state, key.origin, key.check_value) == ("next", "imported", check_value_text(FIRST))
    assert exchange.verdict(FIRST) == MacVerified("01", "next")
    assert not isinstance(exchange.mac("01"), bytes)
    assert exchange.move("01", "promote") == KeyRefused("not_confirmed")
    exchange.move("01", "confirm", "promote")
    assert exchange.mac("01") == Cmac(FIRST).message_mac(MESSAGE)
    assert [action for action, _ in exchange.log()] == [
        "session_key_imported",
        "session_key_confirmed",
        "session_key_promoted",
    ]
    assert all(
        detail == {"network": NETWORK, "key_id": "01", "check_value": key.check_value, "uid": UID}
        for _, detail in exchange.log()
    )


def test_during_a_change_both_keys_are_understood(exchange: Exchange) -> None:
    """Before the promotion and through the overlap either key verifies; then the new one alone."""
    exchange.change_keys(FIRST, "01")
    exchange.bring(SECOND, "02")
    for now_s, first, second in (
        (NOW_S, "current", "next"),
        (NOW_S + 1, "previous", "current"),
        (NOW_S + OVERLAP_S, "previous", "current"),
    ):
        if now_s == NOW_S + 1:
            exchange.move("02", "confirm", "promote", now_s=now_s)
        for named in ("", "01"):
            assert exchange.verdict(FIRST, named, now_s) == MacVerified("01", first)
        assert exchange.verdict(SECOND, "", now_s) == MacVerified("02", second)
    late_s = NOW_S + 1 + OVERLAP_S
    assert exchange.verdict(FIRST, "01", late_s) == UNKNOWN_KEY
    assert exchange.verdict(FIRST, "", late_s) == MISMATCH
    assert exchange.verdict(SECOND, "", late_s) == MacVerified("02", "current")
    assert exchange.states(late_s) == {"02": "current"}


def _wrong_check_value(request: ImportSessionKey) -> ImportSessionKey:
    return replace(request, check_value=check_value_text(THIRD))


def _changed_block(request: ImportSessionKey) -> ImportSessionKey:
    last = "1" if request.key_block[-1] == "0" else "0"
    return replace(request, key_block=request.key_block[:-1] + last)


REFUSED: dict[str, tuple[ImportSessionKey, str]] = {
    "wrong check value": (_wrong_check_value(key_import(SECOND, "02")), "wrong_check_value"),
    "no check value": (replace(key_import(SECOND, "02"), check_value=""), "wrong_check_value"),
    "altered block": (_changed_block(key_import(SECOND, "02")), "bad_key_block"),
    "no block": (replace(key_import(SECOND, "02"), key_block=""), "bad_key_block"),
    "under another key": (key_import(SECOND, "02", kek=bytes(32)), "bad_key_block"),
    "another usage": (
        key_import(SECOND, "02", attributes=KeyAttributes("P0", "A", "B")),
        "wrong_attributes",
    ),
    "one way only": (
        key_import(SECOND, "02", attributes=KeyAttributes("M6", "A", "G")),
        "wrong_attributes",
    ),
    "another MAC algorithm": (
        key_import(SECOND, "02", attributes=KeyAttributes("M3", "T", "C")),
        "wrong_attributes",
    ),
    "an id in use": (key_import(SECOND, "01"), "key_id_in_use"),
    "a network without a key-exchange key": (key_import(SECOND, "02", network="msim"), "no_kek"),
}


@pytest.mark.parametrize(("request_", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_key_leaves_the_old_one(
    exchange: Exchange, request_: ImportSessionKey, code: str
) -> None:
    """The old key goes on making and verifying, the new one verifies nothing, the log says why."""
    exchange.change_keys(FIRST, "01")
    before = (exchange.folder / "hsm" / "network_keys.json").read_bytes()
    assert exchange.ask(request_) == KeyRefused(code)
    assert (exchange.folder / "hsm" / "network_keys.json").read_bytes() == before
    assert exchange.states() == {"01": "current"}
    assert exchange.verdict(FIRST) == MacVerified("01", "current")
    assert exchange.verdict(SECOND) == MISMATCH
    assert isinstance(exchange.mac("01"), bytes)
    assert exchange.log()[-1] == (
        "session_key_refused",
        {"network": request_.network, "uid": UID, "key_id": request_.key_id, "code": code},
    )


def test_a_message_of_an_exchange_may_be_lost_and_repeated(exchange: Exchange) -> None:
    """The same key again, at any point of its life, is answered as it stands and logged once."""
    exchange.change_keys(FIRST, "01")
    exchange.bring(SECOND, "02")
    assert exchange.bring(SECOND, "02").state == "next"
    exchange.move("02", "confirm", "promote")
    assert exchange.bring(SECOND, "02").state == "current"
    assert exchange.bring(FIRST, "01").state == "previous"
    assert exchange.states() == {"02": "current", "01": "previous"}
    assert [action for action, _ in exchange.log()].count("session_key_imported") == 2


def test_an_exchange_that_broke_off_is_replaced_by_the_next(exchange: Exchange) -> None:
    """Interrupted before the confirmation, the old key stays current and the next try wins."""
    exchange.change_keys(FIRST, "01")
    exchange.bring(SECOND, "02")
    assert exchange.states() == {"01": "current", "02": "next"}
    exchange.bring(THIRD, "02")
    assert exchange.verdict(SECOND) == MISMATCH
    assert exchange.verdict(THIRD) == MacVerified("02", "next")
    assert isinstance(exchange.mac("01"), bytes)
    assert exchange.log()[-1][0] == "session_key_destroyed"


def test_a_rotation_survives_the_death_of_the_worker(exchange: Exchange, tmp_path: Path) -> None:
    """A new process finds the exchange where the old one left it."""
    exchange.change_keys(FIRST, "01")
    exchange.bring(SECOND, "02")
    again = Exchange(tmp_path)
    assert again.states() == {"01": "current", "02": "next"}
    assert again.verdict(SECOND) == MacVerified("02", "next")
    again.move("02", "confirm", "promote")
    exchange.store.refresh()
    assert exchange.mac("02") == Cmac(SECOND).message_mac(MESSAGE)


def test_a_key_of_ours_goes_out_in_a_block(exchange: Exchange) -> None:
    """The network unwraps it, finds the check value, and its MACs verify before the promotion."""
    exchange.change_keys(FIRST, "01")
    reply = exchange.ask(GenerateSessionKey(NETWORK, "02"))
    assert isinstance(reply, SessionKeyGenerated)
    attributes, key = unwrap_key(KEK, reply.key_block)
    assert (attributes.usage, attributes.algorithm, attributes.mode) == ("M6", "A", "C")
    assert (len(reply.key_block), len(key)) == (144, 16)
    assert reply.key.check_value == check_value_text(key)
    assert (reply.key.state, reply.key.origin, reply.key.confirmed_at) == ("next", "generated", 0)
    assert exchange.verdict(key) == MacVerified("02", "next")
    confirming = ChangeSessionKey(NETWORK, "02", "confirm", check_value_text(FIRST))
    assert exchange.ask(confirming) == KeyRefused("wrong_check_value")
    assert exchange.states() == {"01": "current", "02": "next"}
    confirmed = exchange.ask(replace(confirming, check_value=check_value_text(key)), NOW_S + 1)
    assert isinstance(confirmed, SessionKeyChanged)
    assert confirmed.key.confirmed_at == NOW_S + 1
    promoted = exchange.move("02", "promote", now_s=NOW_S + 2)
    assert isinstance(promoted, SessionKeyChanged)
    assert (promoted.key.state, promoted.key.promoted_at) == ("current", NOW_S + 2)
    assert exchange.mac("02") == Cmac(key).message_mac(MESSAGE)


def test_a_key_of_ours_is_a_new_one_each_time(exchange: Exchange) -> None:
    """Asked again with the same id: the first key is forgotten; with an id in use: refused."""
    replies = [exchange.ask(GenerateSessionKey(NETWORK, "01")) for _ in range(2)]
    keys = [
        unwrap_key(KEK, reply.key_block)[1]
        for reply in replies
        if isinstance(reply, SessionKeyGenerated)
    ]
    assert exchange.verdict(keys[0]) == MISMATCH
    assert exchange.verdict(keys[1]) == MacVerified("01", "next")
    exchange.move("01", "confirm", "promote")
    assert exchange.ask(GenerateSessionKey(NETWORK, "01")) == KeyRefused("key_id_in_use")
    assert exchange.ask(GenerateSessionKey("msim", "01")) == KeyRefused("no_kek")


def test_a_key_that_the_network_refused_is_forgotten(exchange: Exchange) -> None:
    """Abandoned, it verifies nothing, and the old key was never touched."""
    exchange.change_keys(FIRST, "01")
    exchange.bring(SECOND, "02")
    reply = exchange.move("02", "abandon")
    assert isinstance(reply, SessionKeyChanged)
    assert reply.key.state == "next"
    assert exchange.verdict(SECOND) == MISMATCH
    assert exchange.states() == {"01": "current"}
    assert [action for action, _ in exchange.log()[-2:]] == [
        "session_key_abandoned",
        "session_key_destroyed",
    ]
    assert exchange.move("02", "abandon") == KeyRefused("unknown_key")
    assert exchange.move("01", "abandon") == KeyRefused("wrong_state")


def test_the_list_shows_dates_and_no_keys(exchange: Exchange) -> None:
    """The key-exchange key first, then the session keys in the order in which they are tried."""
    exchange.change_keys(FIRST, "01")
    exchange.change_keys(SECOND, "02", NOW_S + 10)
    exchange.bring(THIRD, "03", NOW_S + 20)
    listed = exchange.listed(NOW_S + 20)
    assert [(key.usage, key.key_id, key.state) for key in listed] == [
        ("kek", "", "current"),
        ("mac", "02", "current"),
        ("mac", "03", "next"),
        ("mac", "01", "previous"),
    ]
    assert [key.check_value for key in listed] == [
        check_value_text(key) for key in (KEK, SECOND, THIRD, FIRST)
    ]
    assert [key.expires_at for key in listed] == [0, 0, 0, NOW_S + 10 + OVERLAP_S]
    shown = repr(listed)
    assert all(key.hex() not in shown for key in (KEK, FIRST, SECOND, THIRD))


def _parts() -> tuple[list[bytes], list[str], str]:
    parts = [bytes(range(32)), b"\x5a" * 32]
    whole = bytes(a ^ b for a, b in zip(*parts, strict=True))
    return parts, [check_value_text(part) for part in parts], check_value_text(whole)


def test_a_kek_comes_in_components(tmp_path: Path) -> None:
    """With the check value of the whole where it is known; the answer and the list show it."""
    exchange = Exchange(tmp_path, kek=None)
    parts, values, whole = _parts()
    reply = exchange.ask(LoadKek(NETWORK, parts, values, whole.lower()))
    assert isinstance(reply, KekLoaded)
    assert reply.key == exchange.listed()[0]
    assert (reply.key.check_value, reply.key.origin) == (whole, "components")
    log = (tmp_path / "hsm" / "audit.log").read_text().splitlines()[-1]
    assert '"origin":"components","uid":1001,"components":2' in log


def test_a_refused_kek_leaves_the_old_one(exchange: Exchange) -> None:
    """A wrong check value of a part or of the whole; the log has the refusal."""
    parts, values, _ = _parts()
    for request, code in (
        (LoadKek(NETWORK, parts, values[::-1]), "wrong_check_value"),
        (LoadKek(NETWORK, parts, values, "000000"), "wrong_check_value"),
        (LoadKek(NETWORK, parts[:1], values[:1]), "bad_component"),
    ):
        assert exchange.ask(request) == KeyRefused(code)
        assert exchange.store.kek(NETWORK).reveal() == KEK
        assert exchange.log()[-1] == (
            "kek_refused",
            {"network": NETWORK, "uid": UID, "code": code},
        )


@pytest.mark.parametrize(
    ("network", "key_id", "fits"),
    [
        ("vsim", "01", True),
        ("v_2", "A" * 16, True),
        ("", "01", False),
        ("Vsim", "01", False),
        ("v" * 33, "01", False),
        ("vsim\n", "01", False),
        ("../vsim", "01", False),
        ("vsim", "", False),
        ("vsim", "A" * 17, False),
        ("vsim", "0 1", False),
        ("vsim", "01\n", False),
    ],
)
def test_names_are_names(network: str, key_id: str, *, fits: bool) -> None:
    """What reaches a file, a log or DE 53 is short and plain."""
    assert well_formed(GenerateSessionKey(network, key_id)) is fits
    assert well_formed(ChangeSessionKey(network, key_id, "promote")) is fits
    assert well_formed(ImportSessionKey(network, key_id, "", "")) is fits
    if key_id == "01":
        assert well_formed(LoadKek(network, [], [])) is fits
