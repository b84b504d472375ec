"""Answering requests: roles, bounds, and keys that change underneath."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from chassis.metrics import Metrics
from chassis.mux import MuxCounters
from chassis.settings.tree import HSM
from hsm_sim.commands import Commands
from hsm_sim.keys import slots
from hsm_sim.keystore import Keystore, KeystoreError
from hsm_sim.metrics import register
from hsm_sim.network_keystore import NetworkKeystore
from hsm_sim.policy import Policy
from hsm_sim.vault import build_vault
from hsm_sim.wire import (
    CardRefused,
    CardsOpened,
    CardsReleased,
    ChangeSessionKey,
    GenerateSessionKey,
    HSMReply,
    HSMRequest,
    ImportSessionKey,
    KeyRefused,
    KeysListed,
    ListKeys,
    ListNetworkKeys,
    LoadKek,
    MacRefused,
    Macs,
    MacsAnswered,
    MacToGenerate,
    MacToVerify,
    NetworkKeysListed,
    OpenCards,
    OpenedCard,
    Refused,
    ReleaseCards,
    ReleasedCard,
    ReleaseRefused,
    SealSecrets,
    SecretsSealed,
    SecretsUnsealed,
    UnsealSecrets,
)
from tests.support.hsm import DAY_S, NOW_S, open_store, sealed_card
from tests.support.hsm_keys import FIRST, NETWORK, key_import, network_keystore
from tests.support.hsm_release import stored_card

SWITCH, API, ADMIN, STRANGER = 1001, 1002, 1003, 1004
SETTINGS = HSM()


class Worker:
    """Commands over a store of their own."""

    def __init__(self, folder: Path, *, number: int = 0, settings: HSM = SETTINGS) -> None:
        self.store: Keystore = open_store(folder, worker=number)
        self.commands = Commands(
            store=self.store,
            network_keys=NetworkKeystore(self.store),
            policy=Policy({"switch": SWITCH, "api": API, "admin": ADMIN}),
            settings=settings,
            random=os.urandom,
            now_s=NOW_S,
        )

    def release(
        self, request: ReleaseCards, uid: int | None = SWITCH, monotonic_s: float = 0.0
    ) -> HSMReply:
        """Ask for stored cards, and have the answer noted."""
        reply, entries = self.commands.release(
            request, uid=uid, now_s=NOW_S, monotonic_s=monotonic_s
        )
        if entries:
            self.commands.note(entries, at_s=NOW_S)
        self.commands.count_release(request, reply)
        return reply

    def ask(self, request: HSMRequest, uid: int | None, now_s: int = NOW_S) -> HSMReply:
        """Ask as a user."""
        return self.commands.answer(request, uid=uid, now_s=now_s)

    def keys(self, now_s: int = NOW_S) -> KeysListed:
        """List the public keys."""
        reply = self.ask(ListKeys(), API, now_s)
        assert isinstance(reply, KeysListed)
        return reply

    def seal(self, secrets: list[bytes], contexts: list[bytes]) -> list[bytes]:
        """Seal secrets as the administrator."""
        reply = self.ask(SealSecrets(secrets, contexts), ADMIN)
        assert isinstance(reply, SecretsSealed)
        return reply.blobs


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Worker 0 over fresh keys."""
    return Worker(tmp_path)


@pytest.mark.parametrize(
    ("request_", "permitted"),
    [
        (OpenCards([]), {SWITCH}),
        (Macs(), {SWITCH}),
        (ImportSessionKey("vsim", "01", "", ""), {SWITCH}),
        (GenerateSessionKey("vsim", "01"), {SWITCH}),
        (ChangeSessionKey("vsim", "01", "promote"), {SWITCH}),
        (ListNetworkKeys(), {SWITCH, ADMIN}),
        (LoadKek("vsim", [], []), {ADMIN}),
        (UnsealSecrets([], []), {API}),
        (SealSecrets([], []), {API, ADMIN}),
        (ListKeys(), {SWITCH, API, ADMIN}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_wrong_role_is_refused(
    worker: Worker, request_: HSMRequest, permitted: set[int]
) -> None:
    """Each request is answered for its role and refused for every other user."""
    users = (SWITCH, API, ADMIN, STRANGER, 0, None)
    refused = {uid for uid in users if worker.ask(request_, uid) == Refused("not_permitted")}
    assert refused == set(users) - permitted
    assert worker.commands.counters.refusals["not_permitted"] == len(refused)


def test_cards_open_in_batches_up_to_the_limit(worker: Worker) -> None:
    """Thirty-two cards are a batch; thirty-three are refused whole, before any work."""
    card = sealed_card(worker.keys().keys)
    reply = worker.ask(OpenCards([card] * 32), SWITCH)
    assert isinstance(reply, CardsOpened)
    assert [isinstance(answer, OpenedCard) for answer in reply.cards] == [True] * 32
    assert worker.ask(OpenCards([card] * 33), SWITCH) == Refused("batch_too_large")
    assert worker.commands.counters.cards_opened_total == 32


def test_stored_cards_are_released_to_the_switch_alone(worker: Worker) -> None:
    """Neither the api nor an administrator nor root gets a stored card; nothing is noted of it."""
    card = stored_card(build_vault(worker.store, now_s=NOW_S))
    request = ReleaseCards("capture", [card])
    for uid in (API, ADMIN, STRANGER, 0, None):
        reply, entries = worker.commands.release(request, uid=uid, now_s=NOW_S, monotonic_s=0)
        assert (reply, entries) == (Refused("not_permitted"), [])
    assert worker.release(request) == CardsReleased([ReleasedCard("4242424242424242", "3012")])


def test_a_release_is_a_batch_with_one_answer_each(worker: Worker, tmp_path: Path) -> None:
    """Thirty-two cards are a batch, thirty-three are refused; each batch leaves its line."""
    card = stored_card(build_vault(worker.store, now_s=NOW_S))
    bad = msgspec.structs.replace(card, intent_id=bytes(16))
    reply = worker.release(ReleaseCards("refund", [card, bad] * 16))
    assert isinstance(reply, CardsReleased)
    assert reply.cards[1::2] == [ReleaseRefused("card_undecryptable")] * 16
    assert worker.release(ReleaseCards("refund", [card] * 33)) == Refused("batch_too_large")
    assert worker.release(ReleaseCards("refund", [])) == CardsReleased([])
    lines = (tmp_path / "hsm" / "audit.log").read_text().splitlines()[6:]
    (detail,) = (json.loads(line)["detail"] for line in lines)
    assert {name: detail[name] for name in ("purpose", "count", "refused", "uid")} == {
        "purpose": "refund",
        "count": 32,
        "refused": 16,
        "uid": SWITCH,
    }
    assert "4242" not in lines[0].replace(detail["intents"], "")
    assert worker.commands.counters.cards_released["refund"] == 16
    assert worker.commands.counters.cards_not_released_total == 16


def test_the_vault_cannot_be_drained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Past the limit of a minute every request is refused; log and audit say so once a minute."""
    # Two workers, each of which keeps to its half.
    worker = Worker(tmp_path, settings=HSM(workers=2, releases_per_minute_max=128))
    request = ReleaseCards("inquiry", [stored_card(build_vault(worker.store, now_s=NOW_S))] * 32)
    replies = [worker.release(request, monotonic_s=second) for second in (0, 1, 2, 3, 59)]
    assert [isinstance(reply, CardsReleased) for reply in replies] == [True] * 2 + [False] * 3
    assert replies[2:] == [Refused("rate_limited")] * 3
    assert isinstance(worker.release(request, monotonic_s=60), CardsReleased)
    assert worker.release(request, monotonic_s=60) == Refused("rate_limited")
    assert worker.release(request, monotonic_s=62.5) == CardsReleased(
        [ReleasedCard("4242424242424242", "3012")] * 32
    )
    assert worker.release(request, monotonic_s=63) == Refused("rate_limited")
    assert worker.commands.counters.releases_limited_total == 5 * 32
    assert "".join(capsys.readouterr()).count('"event": "release_limit_reached"') == 2
    log = (tmp_path / "hsm" / "audit.log").read_text()
    assert log.count('"release_limit_reached"') == 2
    assert log.count('"cards_released"') == 4


def test_a_release_is_not_answered_by_the_way_of_the_others(worker: Worker) -> None:
    """There is no door to stored cards that leaves no trace."""
    with pytest.raises(TypeError, match="note first"):
        worker.ask(ReleaseCards("capture", []), SWITCH)


def _with_mac_key(worker: Worker, tmp_path: Path) -> None:
    """Give the worker's network a current session key, `01`."""
    network_keystore(tmp_path)
    for request in (
        key_import(FIRST, "01"),
        ChangeSessionKey(NETWORK, "01", "confirm"),
        ChangeSessionKey(NETWORK, "01", "promote"),
    ):
        assert not isinstance(worker.ask(request, SWITCH), KeyRefused | Refused)


def test_macs_are_made_and_verified_in_one_request(worker: Worker, tmp_path: Path) -> None:
    """What another worker brought is used at once, and every outcome is counted."""
    _with_mac_key(Worker(tmp_path, number=1), tmp_path)
    made = worker.ask(Macs([MacToGenerate(NETWORK, "01", b"m")]), SWITCH)
    assert isinstance(made, MacsAnswered)
    (mac,) = made.generated
    assert isinstance(mac, bytes)
    reply = worker.ask(
        Macs(
            [MacToGenerate(NETWORK, "02", b"m")],
            [MacToVerify(NETWORK, "01", b"m", mac), MacToVerify(NETWORK, "", b"n", mac)],
        ),
        SWITCH,
    )
    assert isinstance(reply, MacsAnswered)
    assert reply.generated == [MacRefused("unknown_key")]
    counters = worker.commands.counters
    assert (counters.macs_generated_total, counters.macs_verified_total) == (1, 1)
    assert (counters.macs_mismatched_total, counters.macs_without_key_total) == (1, 1)


def test_a_batch_of_macs_is_bounded(worker: Worker) -> None:
    """Both lists count together."""
    items = [MacToGenerate("vsim", "01", b"")] * 256, [MacToVerify("vsim", "01", b"", b"")] * 256
    assert isinstance(worker.ask(Macs(*items), SWITCH), MacsAnswered)
    items[1].append(items[1][0])
    assert worker.ask(Macs(*items), SWITCH) == Refused("batch_too_large")


def test_key_changes_are_counted_and_names_checked(worker: Worker, tmp_path: Path) -> None:
    """A name that is none is malformed; a refusal is counted as one."""
    _with_mac_key(worker, tmp_path)
    assert worker.ask(GenerateSessionKey("../vsim", "01"), SWITCH) == Refused("malformed")
    assert worker.ask(GenerateSessionKey("msim", "01"), SWITCH) == KeyRefused("no_kek")
    assert worker.commands.counters.network_key_changes_total == 3
    assert worker.commands.counters.network_keys_refused_total == 1
    listed = worker.ask(ListNetworkKeys(), ADMIN)
    assert isinstance(listed, NetworkKeysListed)
    assert [key.usage for key in listed.keys] == ["kek", "mac"]


def test_secrets_come_back_in_their_own_context(worker: Worker) -> None:
    """Order is kept; a blob under another context comes back empty, its neighbors do not."""
    blobs = worker.seal([b"sk_test_one", b"sk_test_two"], [b"mer_1", b"mer_2"])
    reply = worker.ask(UnsealSecrets(blobs, [b"mer_1", b"mer_2"]), API)
    assert reply == SecretsUnsealed([b"sk_test_one", b"sk_test_two"])
    reply = worker.ask(UnsealSecrets([*blobs, b""], [b"mer_2", b"mer_2", b""]), API)
    assert reply == SecretsUnsealed([b"", b"sk_test_two", b""])
    assert "sk_test" not in f"{reply!r}{SealSecrets([b'sk_test_one'], [b''])!r}"
    assert worker.commands.counters.secrets_refused_total == 2


def test_a_sealed_card_is_no_sealed_secret(worker: Worker) -> None:
    """The api cannot have a card opened by passing it off as a merchant's secret."""
    reply = worker.ask(OpenCards([sealed_card(worker.keys().keys)]), SWITCH)
    assert isinstance(reply, CardsOpened)
    (opened,) = reply.cards
    assert isinstance(opened, OpenedCard)
    contexts = [bytes(range(32)), b""]
    assert worker.ask(UnsealSecrets([opened.sealed] * 2, contexts), API) == SecretsUnsealed(
        [b"", b""]
    )


@pytest.mark.parametrize(
    ("request_", "uid", "reason"),
    [
        (UnsealSecrets([b""], []), API, "malformed"),
        (SealSecrets([], [b""]), ADMIN, "malformed"),
        (UnsealSecrets([b""] * 257, [b""] * 257), API, "batch_too_large"),
        (SealSecrets([b""] * 257, [b""] * 257), ADMIN, "batch_too_large"),
    ],
)
def test_uneven_and_oversized_batches_are_refused(
    worker: Worker, request_: HSMRequest, uid: int, reason: str
) -> None:
    """A refusal is whole and named."""
    assert worker.ask(request_, uid) == Refused(reason)


def test_sealing_secrets_is_audited_and_opening_cards_is_not(
    worker: Worker, tmp_path: Path
) -> None:
    """One line an administrative action with its user, none a card."""
    log = tmp_path / "hsm" / "audit.log"
    before = len(log.read_bytes().splitlines())
    worker.seal([b"sk_test_one"], [b"mer_1"])
    worker.ask(OpenCards([sealed_card(worker.keys().keys)]), SWITCH)
    lines = log.read_bytes().splitlines()[before:]
    assert len(lines) == 1
    assert b'"action":"secrets_sealed","detail":{"count":1,"uid":1003}' in lines[0]
    assert b"sk_test_one" not in log.read_bytes()


def test_another_workers_rotation_is_taken_up_at_once(worker: Worker, tmp_path: Path) -> None:
    """A card sealed to a key made by worker 0 opens at worker 1 without a restart."""
    other = Worker(tmp_path, number=1)
    later = NOW_S + DAY_S
    worker.store.rotate(
        slots(SETTINGS), now_s=later, destroyed_kept_s=SETTINGS.destroyed_keys_kept_s
    )
    card = sealed_card(worker.keys(later).keys)
    reply = other.ask(OpenCards([card]), SWITCH, later)
    assert isinstance(reply, CardsOpened)
    assert isinstance(reply.cards[0], OpenedCard)
    assert other.commands.counters.key_generations_total == 2
    assert [key.state for key in other.keys(later).keys] == [
        "active",
        "active",
        "decrypt_only",
        "decrypt_only",
    ]


def test_workers_share_the_secret_and_fingerprint_keys(worker: Worker, tmp_path: Path) -> None:
    """What one worker sealed another unseals; a card has one fingerprint at both."""
    other = Worker(tmp_path, number=1)
    blobs = worker.seal([b"sk_test_one"], [b"mer_1"])
    assert other.ask(UnsealSecrets(blobs, [b"mer_1"]), API) == SecretsUnsealed([b"sk_test_one"])
    request = OpenCards([sealed_card(worker.keys().keys)])
    prints = []
    for one in (worker, other):
        reply = one.ask(request, SWITCH)
        assert isinstance(reply, CardsOpened)
        assert isinstance(reply.cards[0], OpenedCard)
        prints.append(reply.cards[0].fingerprint)
    assert prints[0] == prints[1]


def test_a_store_that_became_unusable_ends_the_worker(worker: Worker, tmp_path: Path) -> None:
    """Going on with keys that the disk no longer backs would orphan what they seal."""
    keys = tmp_path / "hsm" / "keys.json"
    keys.write_bytes(b"{}")
    with pytest.raises(KeystoreError, match=r"keys\.json"):
        worker.ask(ListKeys(), API)


def test_numbers_are_exposed_under_their_names(worker: Worker) -> None:
    """Each outcome has its own counter, and the refusals their reasons as closed labels."""
    registry = CollectorRegistry()
    metrics = Metrics("hsm")
    registry.register(metrics)
    register(metrics, worker.commands.counters, MuxCounters())
    card = sealed_card(worker.keys().keys)
    bad = OpenCards([card, card, sealed_card(worker.keys().keys)])
    bad.cards[0] = bad.cards[0].__class__("v1.x.y", False, "", "", bytes(16), bytes(16))
    reply = worker.ask(bad, SWITCH)
    assert isinstance(reply, CardsOpened)
    assert reply.cards[0] == CardRefused("card_undecryptable")
    worker.ask(bad, API)
    text = generate_latest(registry).decode()
    for line in (
        "turnout_hsm_cards_opened_total 2.0",
        "turnout_hsm_cards_undecryptable_total 1.0",
        "turnout_hsm_batch_seconds_count 1.0",
        'turnout_hsm_requests_refused_total{reason="not_permitted"} 1.0',
        'turnout_hsm_requests_refused_total{reason="unavailable"} 0.0',
    ):
        assert line in text
