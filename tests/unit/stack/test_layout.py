"""Folders of a data directory: whose they are, and what is refused before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from chassis.settings import Network, Settings, Shards
from chassis.settings.kafka import Kafka
from chassis.settings.tree import Relay, Stream
from chassis.shard_names import mark_founded
from chassis.supervisor import StartError, assign_users
from stack.layout import (
    ROLES,
    _make_second_folders,
    check_forwarder,
    check_shards,
    make_certificates,
    make_data_folders,
    make_development_keks,
    stack_users,
)

SETTINGS = Settings()


def test_the_second_relays_folders_are_its_own(open_tmp_path: Path) -> None:
    """Its stream is for its own group, wherever it lies; what was compared is for everyone."""
    elsewhere = open_tmp_path / "other disk"
    elsewhere.mkdir(mode=0o711)
    users = stack_users(Settings(), euid=os.geteuid())
    for directory in ("", str(elsewhere / "second")):
        settings = Settings(
            relay=Relay(second=True, second_directory=directory), shards=Shards(count=2)
        )
        make_data_folders(settings, open_tmp_path / "data", users)
    for folder, mode, role in (
        (open_tmp_path / "data" / "second", 0o751, "relay-2"),
        (open_tmp_path / "data" / "second" / "stream", 0o750, "relay-2"),
        (elsewhere / "second" / "stream", 0o750, "relay-2"),
        (elsewhere / "second" / "shards" / "1" / "stream", 0o750, "relay-2"),
        (open_tmp_path / "data" / "comparison", 0o755, "comparer"),
    ):
        status = folder.stat()
        assert (status.st_mode & 0o777, status.st_uid) == (mode, users.uid(role))


def test_a_second_directory_that_its_relay_cannot_reach_is_refused(open_tmp_path: Path) -> None:
    """The folder and the setting are named, before anything starts."""
    closed = open_tmp_path / "closed"
    closed.mkdir(mode=0o700)
    users = assign_users(Settings().supervisor, ROLES, euid=0)
    with pytest.raises(StartError, match=r"closed is closed.*relay\.second_directory"):
        _make_second_folders(closed / "second", users)
    assert not (closed / "second").exists()


def test_a_forwarder_without_brokers_is_refused_before_anything_starts() -> None:
    """The setting is named; without Kafka nothing is asked for."""
    check_forwarder(SETTINGS)
    kafka = msgspec.structs.replace(SETTINGS, stream=Stream(backend="kafka"))
    with pytest.raises(StartError, match=r"needs kafka\.bootstrap_servers"):
        check_forwarder(kafka)
    check_forwarder(msgspec.structs.replace(kafka, kafka=Kafka(bootstrap_servers="127.0.0.1:9092")))


def test_fewer_shards_than_there_are_do_not_start(tmp_path: Path) -> None:
    """Payments would be out of reach; and a shard is no stack of its own."""
    check_shards(SETTINGS, tmp_path)
    (tmp_path / "shards" / "2").mkdir(parents=True)
    mark_founded(tmp_path, 2)
    with pytest.raises(StartError, match=r"has 3 shards, and 1 would be started.*--shards 3"):
        check_shards(SETTINGS, tmp_path)
    check_shards(msgspec.structs.replace(SETTINGS, shards=Shards(count=3)), tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(StartError, match=rf"is a shard of another stack; start it on {tmp_path}"):
        check_shards(SETTINGS, tmp_path / "shards" / "2")


def test_every_shard_has_folders_of_its_own(open_tmp_path: Path) -> None:
    """They belong to the same users; HSM and networks are there once."""
    two = msgspec.structs.replace(Settings(), shards=Shards(count=2))
    users = stack_users(two, euid=os.geteuid())
    make_data_folders(two, open_tmp_path, users)
    shard = open_tmp_path / "shards" / "1"
    assert {path.name for path in shard.iterdir()} == {"audit", "run", "stream", "witness"}
    for name in ("audit", "stream", "witness"):
        own, first = (shard / name).stat(), (open_tmp_path / name).stat()
        assert (own.st_mode, own.st_uid) == (first.st_mode, first.st_uid)


def test_folders_and_keys_are_private(open_tmp_path: Path) -> None:
    """Keys belong to one process each, certificates to all, and a second start changes nothing."""
    users = stack_users(Settings(), euid=os.geteuid())
    for _ in range(2):
        make_data_folders(Settings(), open_tmp_path, users)
        make_certificates(Settings(), open_tmp_path, users)
        make_development_keks(Settings(), open_tmp_path, users)
    modes = {
        str(path.relative_to(open_tmp_path)): (path.stat().st_mode & 0o7777, path.stat().st_uid)
        for path in open_tmp_path.rglob("*")
    }
    ours, uid = os.geteuid(), users.uid
    assert modes == {
        "hsm": (0o700, uid("hsm")),
        "stream": (0o750, uid("relay")),
        "audit": (0o755, uid("audit")),
        "witness": (0o755, uid("witness")),
        "shop": (0o711, ours),
        "networks": (0o711, ours),
        "networks/vsim.log": (0o600, uid("vsim")),
        "networks/msim.log": (0o600, uid("msim")),
        "networks/vsim.keys": (0o600, uid("vsim")),
        "networks/msim.keys": (0o600, uid("msim")),
        "networks/vsim.kek": (0o400, uid("vsim")),
        "networks/msim.kek": (0o400, uid("msim")),
        "networks/vsim-hsm.kek": (0o400, uid("hsm")),
        "networks/msim-hsm.kek": (0o400, uid("hsm")),
        "pki": (0o711, ours),
        "pki/ca.pem": (0o644, ours),
        "pki/ca.key": (0o600, ours),
        "pki/switch-vsim.pem": (0o644, ours),
        "pki/switch-vsim.key": (0o400, uid("switch")),
        "pki/switch-msim.pem": (0o644, ours),
        "pki/switch-msim.key": (0o400, uid("switch")),
        "pki/vsim.pem": (0o644, ours),
        "pki/vsim.key": (0o400, uid("vsim")),
        "pki/msim.pem": (0o644, ours),
        "pki/msim.key": (0o400, uid("msim")),
    }


def test_a_spoiled_key_exchange_key_keeps_the_stack_from_starting(open_tmp_path: Path) -> None:
    """The file is named, as a user can mend it; a real network gets no such file at all."""
    users = stack_users(Settings(), euid=os.geteuid())
    make_data_folders(Settings(), open_tmp_path, users)
    make_development_keks(
        Settings(networks={"real": Network(simulate=False)}), open_tmp_path, users
    )
    assert not list((open_tmp_path / "networks").glob("*.kek"))
    make_development_keks(Settings(), open_tmp_path, users)
    (open_tmp_path / "networks" / "vsim.kek").unlink()
    (open_tmp_path / "networks" / "vsim.kek").mkdir()
    with pytest.raises(StartError, match=r"vsim\.kek"):
        make_development_keks(Settings(), open_tmp_path, users)
