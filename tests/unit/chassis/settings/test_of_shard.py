"""What the settings are for one shard: divided where the machine is, apart where the world sees."""

from __future__ import annotations

import msgspec
import pytest

from chassis.settings import (
    Settings,
    SettingsError,
    Shards,
    load_settings,
    settings_of_shard,
    settings_of_shared,
)
from chassis.settings.of_shard import divided, raised
from chassis.settings.tree import Archive, Audit, Relay

FOUR = msgspec.structs.replace(Settings(), shards=Shards(count=4))


def _load(**overrides: str) -> Settings:
    flags = {key.replace("__", "."): text for key, text in overrides.items()}
    return load_settings(config=None, environ={"XDG_CONFIG_HOME": "/nonexistent"}, overrides=flags)


def test_one_shard_has_the_settings_as_they_are() -> None:
    """Nothing is divided, nothing renamed."""
    assert settings_of_shard(Settings(), 0) == Settings()
    assert settings_of_shared(Settings()) == Settings()


def test_the_machines_memory_and_disk_are_divided() -> None:
    """Four shards take no more than one took; the first one is no exception."""
    for shard in range(4):
        ledger = settings_of_shard(FOUR, shard).ledger
        assert ledger.shared_buffers == "65536kB"
        assert ledger.max_wal_size == "1048576kB"
        assert ledger.max_slot_wal_keep_size == "2097152kB"
        assert ledger.max_connections == Settings().ledger.max_connections


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        ("256MB", 1, "256MB"),
        ("256MB", 2, "131072kB"),
        ("1.5GB", 3, "524288kB"),
        ("256MB", 64, "16384kB"),
        ("4MB", 64, "4096kB"),
        ("-1", 4, "-1"),
        ("32768", 4, "32768"),
    ],
)
def test_sizes_are_divided_down_to_a_floor(size: str, count: int, expected: str) -> None:
    """What was below the floor before stays as it was; what is no size is Postgres' to judge."""
    assert divided(size, count, 16_384) == expected


def test_what_others_know_a_shard_by_is_its_own() -> None:
    """Acquirer ids, slot, the log's name and places outside; shard 0 keeps what was set."""
    settings = msgspec.structs.replace(
        FOUR,
        audit=Audit(origin="pay.example/log", witness_dir="/other/disk/"),
        archive=Archive(url="s3://bucket/prefix"),
        relay=Relay(slot="mine", second_directory="/other/disk/second"),
    )
    first, third = settings_of_shard(settings, 0), settings_of_shard(settings, 3)
    assert first.networks == settings.networks
    assert (first.audit, first.archive, first.relay) == (
        settings.audit,
        settings.archive,
        settings.relay,
    )
    assert {name: one.acquirer_id for name, one in third.networks.items()} == {
        "vsim": "400004",
        "msim": "500004",
    }
    assert third.audit.origin == "pay.example/log/shards/3"
    assert third.audit.witness_dir == "/other/disk/shards/3"
    assert third.archive.url == "s3://bucket/prefix/shards/3"
    assert third.relay.slot == "mine_3"
    assert third.relay.second_slot == "turnout_relay_second_3"
    assert third.relay.second_directory == "/other/disk/second/shards/3"
    assert settings_of_shard(FOUR, 3).archive.url == ""
    assert settings_of_shard(FOUR, 3).relay.slot == "turnout_relay_3"


def test_each_shard_has_its_own_database() -> None:
    """In the order of the list."""
    elsewhere = msgspec.structs.replace(
        Settings(), shards=Shards(count=2, database_urls=("host=a", "host=b"))
    )
    assert [settings_of_shard(elsewhere, shard).ledger.url for shard in (0, 1)] == [
        "host=a",
        "host=b",
    ]


def test_what_serves_all_shards_bears_their_connections() -> None:
    """HSM and networks are bounded per shard."""
    shared = settings_of_shared(FOUR)
    assert shared.mux.connections_max == 4 * FOUR.mux.connections_max
    assert shared.simulator.connections_max == 4 * FOUR.simulator.connections_max


def test_acquirer_ids_are_counted_up_in_their_width() -> None:
    """Leading zeros count; what is not a number, or gets too long, is refused."""
    assert raised("000409", 1) == "000410"
    assert raised("999999", 1) == "1000000"
    for wrong in ("A00001", "", "99999999999", "٤"):
        with pytest.raises(ValueError, match="acquirer id"):
            raised(wrong, 1)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"shards__count": "0"}, "shards.count"),
        ({"shards__count": "65"}, "shards.count"),
        ({"shards__count": "2", "ledger__url": "host=a"}, "shards.database_urls"),
        ({"shards__count": "2", "shards__database_urls": "host=a"}, "shards.database_urls"),
        ({"ledger__url": "host=a", "shards__database_urls": "host=a"}, "shards.database_urls"),
        (
            {"shards__count": "2", "networks__vsim__acquirer_id": "99999999999"},
            "networks.vsim.acquirer_id",
        ),
        ({"shards__count": "2", "networks__msim__acquirer_id": "ABC"}, "networks.msim.acquirer_id"),
    ],
)
def test_settings_that_no_shards_can_have_are_refused(overrides: dict[str, str], key: str) -> None:
    """The setting is named, and an address of a database never quoted."""
    with pytest.raises(SettingsError) as refused:
        _load(**overrides)
    assert str(refused.value).startswith(key)
    assert "host=a" not in str(refused.value)


def test_one_shard_asks_nothing_of_an_acquirer_id() -> None:
    """Whatever a network wants there: nothing is counted up."""
    assert _load(networks__vsim__acquirer_id="ABC").networks["vsim"].acquirer_id == "ABC"
    assert _load(shards__database_urls="host=a").shards.database_urls == ("host=a",)
