"""The doctor finds what is wrong with a machine, and says how to mend it."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from chassis.settings import Settings, Shards
from chassis.settings.archive import Archive
from chassis.settings.limits import Limits
from chassis.settings.redis import Redis
from chassis.settings.replica import Replica
from chassis.settings.shop import Shop
from chassis.settings.tree import Metrics
from chassis.shard_names import mark_founded
from stack import doctor
from stack.commands.doctor import doctor as command
from stack.commands.doctor import document, render
from stack.doctor import Check

FREE = msgspec.structs.replace(
    Settings(),
    api=msgspec.structs.replace(Settings().api, port=0),
    shop=Shop(port=0),
    networks={},
    metrics=Metrics(**{name: 0 for name in Metrics.__struct_fields__ if name != "host"}),
)


def test_a_taken_port_fails_with_its_remedy(tmp_path: Path) -> None:
    """Who uses the port is not known, but which setting moves ours is."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        settings = msgspec.structs.replace(FREE, api=msgspec.structs.replace(FREE.api, port=port))
        assert list(doctor.check_ports(settings, tmp_path)) == [
            Check(
                "ports",
                "failed",
                f"127.0.0.1 port {port}, for the API, is taken",
                "stop what uses it, or set api.port (0 = any free port)",
            )
        ]
    (check,) = doctor.check_ports(settings, tmp_path)
    assert check.status == "ok"


def test_shards_that_would_be_left_out_fail(tmp_path: Path) -> None:
    """The number that the data directory has is the remedy; more than it has are welcome."""
    (tmp_path / "shards" / "1").mkdir(parents=True)
    mark_founded(tmp_path, 1)
    (check,) = doctor.look_at_shards(FREE, tmp_path)
    assert (check.status, f"{tmp_path} has 2 shards" in check.detail) == ("failed", True)
    assert check.remedy == "start it with --shards 2, or set shards.count = 2"
    for count in (2, 3):
        more = msgspec.structs.replace(FREE, shards=Shards(count=count))
        (check,) = doctor.look_at_shards(more, tmp_path)
        assert (check.status, check.detail[0]) == ("ok", str(count))
    assert list(doctor.look_at_shards(FREE, tmp_path / "new")) == []


def test_the_shops_port_is_looked_at_where_there_is_one(tmp_path: Path) -> None:
    """With the setting that moves it."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken = msgspec.structs.replace(FREE, shop=Shop(port=stranger.getsockname()[1]))
        (check,) = doctor.check_ports(taken, tmp_path)
        assert check.status == "failed"
        assert "the demo shop" in check.detail
        assert "shop.port" in check.remedy
        closed = msgspec.structs.replace(taken.shop, enabled=False)
        assert list(doctor.check_ports(msgspec.structs.replace(taken, shop=closed), tmp_path)) == []


def test_free_ports_need_no_check(tmp_path: Path) -> None:
    """Port 0 is free by definition."""
    assert list(doctor.check_ports(FREE, tmp_path)) == []


def test_too_little_disk_fails(tmp_path: Path) -> None:
    """The need is the ledger's own watermark."""
    hungry = msgspec.structs.replace(
        FREE, ledger=msgspec.structs.replace(FREE.ledger, free_bytes_min=1 << 60)
    )
    check = next(iter(doctor.check_disk(hungry, tmp_path / "not" / "there" / "yet")))
    assert (check.status, check.name) == ("failed", "disk")
    assert "are needed" in check.remedy
    assert next(iter(doctor.check_disk(FREE, tmp_path))).status == "ok"


MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
/dev/vdb /srv/with\\040space xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/dev/shm/x/y", "tmpfs"),
        ("/dev/shmx", "ext4"),
        ("/srv/with space/x", "xfs"),
    ],
)
def test_the_nearest_mount_counts(path: str, kind: str) -> None:
    """The kind of file system is that of the innermost mount point."""
    assert doctor.file_system(Path(path), MOUNTS) == kind


def test_a_writers_own_disk_is_looked_at(tmp_path: Path) -> None:
    """Only Postgres' keeps the stack from going on; each says what waits for room."""
    assert list(doctor.check_disks_of_writers(FREE, tmp_path)) == []
    (tmp_path / "hsm").mkdir()  # on the data directory's disk, which has a check of its own
    for name in ("postgres", "stream"):
        (tmp_path / name).symlink_to("/dev/shm")  # a file system of its own
    hungry = msgspec.structs.replace(
        FREE,
        ledger=msgspec.structs.replace(FREE.ledger, free_bytes_min=1 << 50),
        stream=msgspec.structs.replace(FREE.stream, segment_bytes=1 << 50),
    )
    postgres, stream = doctor.check_disks_of_writers(hungry, tmp_path)
    assert (postgres.status, stream.status) == ("failed", "warning")
    assert "WAL" in stream.remedy
    modest = msgspec.structs.replace(
        FREE,
        ledger=msgspec.structs.replace(FREE.ledger, free_bytes_min=0),
        stream=msgspec.structs.replace(FREE.stream, segment_bytes=0),
    )
    assert {check.status for check in doctor.check_disks_of_writers(modest, tmp_path)} == {"ok"}


def test_disks_of_every_shard_and_of_the_archive_are_looked_at(tmp_path: Path) -> None:
    """Each ledger has writers of its own; HSM and networks are there once."""
    shard = tmp_path / "shards" / "1"
    shard.mkdir(parents=True)
    for name in doctor.WRITERS:
        (shard / name).symlink_to("/dev/shm")  # a file system of its own
    elsewhere = Path("/dev/shm")
    two = msgspec.structs.replace(
        FREE,
        shards=Shards(count=2),
        archive=msgspec.structs.replace(FREE.archive, url=str(elsewhere)),
    )
    told = [check.detail for check in doctor.check_disks_of_writers(two, tmp_path)]
    wanted = [shard / name for name in doctor.WRITERS if name not in doctor.ONCE] + [elsewhere]
    assert [detail.partition(" has ")[0] for detail in told] == [str(path) for path in wanted]
    bucket = msgspec.structs.replace(FREE, archive=Archive(url="s3://bucket/prefix"))
    assert list(doctor.check_disks_of_writers(bucket, tmp_path)) == []


def test_disks_of_folders_that_lie_elsewhere_are_looked_at(tmp_path: Path) -> None:
    """Witness and second stream are best on disks of their own, which fill by themselves."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:  # a file system of its own
        places = [Path(made, name) for name in ("second", "witness", "archive")]
        everywhere = [place for first in places for place in (first, first / "shards" / "1")]
        for place in everywhere:
            place.mkdir(parents=True)
        second, witness, archive = map(str, places)
        two = msgspec.structs.replace(
            FREE,
            shards=Shards(count=2),
            relay=msgspec.structs.replace(FREE.relay, second_directory=second),
            audit=msgspec.structs.replace(FREE.audit, witness_dir=witness),
            archive=msgspec.structs.replace(FREE.archive, url=archive),
        )
        told = [check.detail for check in doctor.check_disks_of_writers(two, tmp_path)]
        assert sorted(detail.partition(" has ")[0] for detail in told) == sorted(
            map(str, everywhere)
        )


def test_a_replica_that_cannot_be_is_told(tmp_path: Path) -> None:
    """As `turnout up` would refuse it."""
    both = msgspec.structs.replace(FREE, replica=Replica(enabled=True, url="host=x"))
    assert list(doctor.look_at_shards(both, tmp_path)) == [
        Check(
            "replica", "failed", "replica.enabled and replica.url: there is one replica", "choose"
        )
    ]


def test_databases_elsewhere_need_no_postgres_here() -> None:
    """The one of a single shard, and those of several."""
    one = msgspec.structs.replace(FREE, ledger=msgspec.structs.replace(FREE.ledger, url="host=x"))
    several = msgspec.structs.replace(
        FREE,
        ledger=msgspec.structs.replace(FREE.ledger, bindir="/nowhere"),
        shards=Shards(count=2, database_urls=("host=x", "host=y")),
    )
    for settings, key in ((one, "ledger.url"), (several, "shards.database_urls")):
        (check,) = doctor.check_postgres(settings)
        assert (check.status, key in check.detail) == ("ok", True)


def test_too_few_files_fail() -> None:
    """More connections than open files cannot be served."""
    many = msgspec.structs.replace(
        FREE, api=msgspec.structs.replace(FREE.api, connections_max=1 << 40)
    )
    (check,) = doctor.check_open_files(many)
    assert check.status == "failed"
    assert "api.connections_max" in check.remedy
    (check,) = doctor.check_open_files(FREE)
    assert check.status == "ok"


def test_missing_postgres_fails(tmp_path: Path) -> None:
    """A bindir without programs in it is named; the bundled one is found."""
    wrong = msgspec.structs.replace(
        FREE, ledger=msgspec.structs.replace(FREE.ledger, bindir=str(tmp_path))
    )
    (check,) = doctor.check_postgres(wrong)
    assert (check.status, str(tmp_path) in check.detail) == ("failed", True)
    (check,) = doctor.check_postgres(FREE)
    assert (check.status, check.detail[:3]) == ("ok", "18.")


def test_users_are_told_whether_zones_are_separated(open_tmp_path: Path) -> None:
    """Unseparated zones are a warning; as root a closed folder on the way fails."""
    together = msgspec.structs.replace(
        FREE, supervisor=msgspec.structs.replace(FREE.supervisor, separate_uids=False)
    )
    (check,) = doctor.check_users(together, open_tmp_path)
    assert check.status == "warning"
    assert "not separated" in check.detail


@pytest.mark.privileged
def test_a_data_directory_out_of_reach_fails(open_tmp_path: Path) -> None:
    """As root, below a closed folder, no process could reach its files."""
    closed = open_tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (check,) = doctor.check_users(FREE, closed / "data")
    assert (check.status, str(closed) in check.detail) == ("failed", True)
    (check,) = doctor.check_users(FREE, open_tmp_path / "data")
    assert check.status == "ok"


def test_the_other_checks_pass_where_tests_run(tmp_path: Path) -> None:
    """Python, system, sockets and clock are good enough to run this test."""
    checks = [
        *doctor.check_python(),
        *doctor.check_sockets(tmp_path, os.environ),
        *doctor.check_clock(),
    ]
    assert {check.name for check in checks} == {"python", "system", "sockets", "clock"}
    assert [check for check in checks if check.status == "failed"] == []


def test_the_document_is_ok_unless_something_failed() -> None:
    """Warnings do not make a machine unfit."""
    fine, warned = Check("a", "ok", "x"), Check("b", "warning", "y", "mend")
    assert document([fine, warned])["ok"] is True
    assert document([fine, Check("c", "failed", "z")])["ok"] is False
    assert render(warned).splitlines()[1].strip() == "mend"


def test_the_command_writes_one_document(open_tmp_path: Path) -> None:
    """Standard output holds JSON only; the lines for people go to standard error."""
    arguments = ["--free-ports", "--json", "--data-dir", str(open_tmp_path / "data")]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["ok"] is True
    assert "postgres" in result.stderr


def test_apis_without_a_redis_that_they_share_fail() -> None:
    """None named, or none there; one api needs none and is not told of any."""
    assert list(doctor.check_limits(FREE)) == []
    several = msgspec.structs.replace(FREE, api=msgspec.structs.replace(FREE.api, processes=2))
    (check,) = doctor.check_limits(several)
    assert (check.name, check.status) == ("redis", "failed")
    assert check.remedy == "set redis.url, or api.processes = 1"
    nowhere = msgspec.structs.replace(several, redis=Redis(url="unix:///nonexistent/redis.sock"))
    (check,) = doctor.check_limits(nowhere)
    assert (check.name, check.status) == ("redis", "failed")
    assert "cannot be asked" in check.detail


def test_a_live_api_behind_a_proxy_that_is_not_named_is_warned_of() -> None:
    """Named, it is well."""
    live = msgspec.structs.replace(FREE, mode="live")
    (check,) = doctor.check_limits(live)
    assert (check.name, check.status) == ("limits", "warning")
    named = msgspec.structs.replace(live, limits=Limits(trusted_proxies=("10.0.0.0/8",)))
    assert list(doctor.check_limits(named)) == []
