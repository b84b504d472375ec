"""Who the processes of a stack are, and which folders of the data directory are whose.

<data-dir>/              ours; others may pass through, not look around
    run/                 endpoints.json, the lock, what only we may read
    postgres*            Postgres' own (ledger.embedded)
    replica*             its replica's, where there is one
    hsm/                 the HSM's alone: keys and their audit log
    stream/              the event stream: the relay's to write, for its consumers' groups to read
    second/              of the second relay, if there is one: its stream; may lie elsewhere
                         (relay.second_directory)
    comparison/          how far the two streams were compared: the comparer's
    audit/               the audit log and its key: hashes, for everyone to read
    witness/             what the witness saw, and its key; may lie elsewhere (audit.witness_dir)
    pki/                 certificates for all, each key for its one process
    shards/<k>/          of shard 1 and above: postgres*, stream/, audit/, witness/, endpoints
    shop/                the demo shop's keys, for it alone
    networks/            per simulated network its record and its key-exchange key, each its own;
                         and the HSM's copy of that key, the HSM's alone
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from chassis.development_keks import (
    DevelopmentKekError,
    development_keks,
    hsm_kek_path,
    network_kek_path,
)
from chassis.pki import development_pki
from chassis.settings import Network, Settings, settings_of_shard
from chassis.shard_names import shard_directory, shards_in, stack_of
from chassis.supervisor import (
    StartError,
    Users,
    assign_users,
    find_closed_folder,
    make_folder,
)
from chassis.tls import Role
from ledger.audit.folders import AUDIT_FOLDER, witness_folder
from ledger.comparison.position import COMPARISON_FOLDER
from ledger.relay.second import second_folder
from switch.credentials import ClientFiles

PASS_THROUGH: Final = 0o711
# The order counts the uids from `supervisor.uid_base`; networks follow in the settings' order.
ROLES: Final = (
    "postgres",
    "hsm",
    "switch",
    "api",
    "relay",
    "audit",
    "witness",
    "postings",
    "forwarder",
    "relay-2",
    "comparer",
    "webhooks",
    "shop",
)


def stack_users(settings: Settings, *, euid: int) -> Users:
    """The uid of every role of the stack, networks included."""
    return assign_users(settings.supervisor, (*ROLES, *settings.networks), euid=euid)


def simulated_networks(settings: Settings) -> dict[str, Network]:
    """The networks that the stack plays itself."""
    return {name: network for name, network in settings.networks.items() if network.simulate}


def consumers_run(settings: Settings) -> bool:
    """Whether anything follows the stream: without a relay there is none."""
    return settings.relay.enabled and settings.audit.enabled


def second_relay_runs(settings: Settings) -> bool:
    """Whether a second relay runs, and with it who compares."""
    return settings.relay.enabled and settings.relay.second


def postings_run(settings: Settings) -> bool:
    """Whether postings are booked: without a relay there is nothing to book from."""
    return settings.relay.enabled and settings.postings.enabled


def webhooks_run(settings: Settings) -> bool:
    """Whether merchants are told of events: without a relay there are none."""
    return settings.relay.enabled and settings.webhooks.enabled


def shop_runs(settings: Settings) -> bool:
    """Whether there is a shop to pay in with test cards."""
    return settings.mode == "test" and settings.shop.enabled


def forwarder_runs(settings: Settings) -> bool:
    """Whether the stream is copied into Kafka."""
    return settings.relay.enabled and settings.stream.backend == "kafka"


def check_forwarder(settings: Settings) -> None:
    """See that the forwarder, where one is to run, can start.

    Raises:
        StartError: names what is missing.
    """
    if not forwarder_runs(settings):
        return
    if find_spec("confluent_kafka") is None:
        raise StartError(
            'stream.backend = "kafka" needs a client that is not installed: '
            "pip install 'turnout[kafka]'"
        )
    if not settings.kafka.bootstrap_servers:
        raise StartError('stream.backend = "kafka" needs kafka.bootstrap_servers')


def check_api_processes(settings: Settings) -> None:
    """See that several api processes have where to share nonces and limits.

    Raises:
        StartError: they have not.
    """
    if settings.api.processes > 1 and not settings.redis.url:
        raise StartError(
            f"api.processes = {settings.api.processes} needs redis.url: a request that one process "
            "has answered could be replayed at another; start a Redis or Valkey and name it, "
            "or run one api process"
        )


def check_shards(settings: Settings, data_dir: Path) -> None:
    """See that no ledger of a data directory would be left out.

    Raises:
        StartError: it has more shards than the settings name, or is itself one of a stack's.
    """
    if (stack_dir := stack_of(data_dir)) is not None:
        raise StartError(f"{data_dir} is a shard of another stack; start it on {stack_dir}")
    count, found = settings.shards.count, shards_in(data_dir)
    if found > count:
        raise StartError(
            f"{data_dir} has {found} shards, and {count} would be started: the payments of the "
            f"others could not be reached; start it with --shards {found}, "
            f"or set shards.count = {found}"
        )


def make_run_folder(data_dir: Path) -> Path:
    """Make the data directory and the folder of its lock, which comes before all else.

    As root other users pass through it: Postgres always runs as one. Otherwise it is ours alone.

    Raises:
        StartError: they cannot be made.
    """
    make_folder(data_dir, mode=PASS_THROUGH if os.geteuid() == 0 else 0o700)
    make_folder(data_dir / "run", mode=0o755)
    return data_dir / "run"


def make_data_folders(settings: Settings, data_dir: Path, users: Users) -> None:
    """Make every process's folder and hand it to its owner. The caller holds the lock.

    Raises:
        StartError: a folder cannot be made, or the processes' users could not reach it.
    """
    if users.separated and (closed := find_closed_folder(data_dir)) is not None:
        raise StartError(
            f"{closed} is closed to other users, and as root every process has a user of its own; "
            "choose another --data-dir, open that folder (chmod o+x), "
            "or set supervisor.separate_uids = false"
        )
    make_folder(data_dir / "hsm", mode=0o700, owner=users.owner("hsm"))
    for shard in range(settings.shards.count):
        _make_shard_folders(settings, data_dir, shard, users)
    if shop_runs(settings):
        make_folder(data_dir / "shop", mode=PASS_THROUGH)
    make_folder(data_dir / "networks", mode=PASS_THROUGH)
    for name in simulated_networks(settings):
        for suffix in ("log", "keys"):  # its record, and its MAC keys where it has any
            _make_file(data_dir / "networks" / f"{name}.{suffix}", users.owner(name))


def _make_shard_folders(settings: Settings, stack_dir: Path, shard: int, users: Users) -> None:
    """Make what the processes of one shard write to."""
    settings, data_dir = settings_of_shard(settings, shard), shard_directory(stack_dir, shard)
    if shard:
        make_folder(data_dir.parent, mode=PASS_THROUGH)
        make_folder(data_dir, mode=PASS_THROUGH)
        make_folder(data_dir / "run", mode=0o755)
    make_folder(data_dir / "stream", mode=0o750, owner=users.owner("relay"))
    if second_relay_runs(settings):
        _make_second_folders(second_folder(settings.relay, data_dir), users)
        comparison = data_dir / COMPARISON_FOLDER
        make_folder(comparison, mode=0o755, owner=users.owner("comparer"))
    if consumers_run(settings):
        make_folder(data_dir / AUDIT_FOLDER, mode=0o755, owner=users.owner("audit"))
        witness = witness_folder(data_dir, settings.audit.witness_dir)
        make_folder(witness, mode=0o755, owner=users.owner("witness"))


def _make_second_folders(second: Path, users: Users) -> None:
    """Make what the second relay writes to; those of further shards may lie below it."""
    if not second.parent.exists():
        make_folder(second.parent, mode=PASS_THROUGH)
    if users.separated and (closed := find_closed_folder(second)) is not None:
        raise StartError(
            f"{closed} is closed to other users, and the second relay has a user of its own; "
            "open that folder (chmod o+x), or set relay.second_directory to another one"
        )
    make_folder(second, mode=0o751, owner=users.owner("relay-2"))
    make_folder(second / "stream", mode=0o750, owner=users.owner("relay-2"))


def _make_file(path: Path, owner: tuple[int, int] | None) -> None:
    """Make an empty file, or keep what it holds, and give it to its owner."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if owner is not None:
                os.fchown(descriptor, *owner)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StartError(f"{path} cannot be set up: {error.strerror}") from error


def make_certificates(settings: Settings, data_dir: Path, users: Users) -> None:
    """Make the development certificates where a network is simulated; see that keys are private.

    Raises:
        StartError: they cannot be made, or files that a real network needs are missing.
    """
    folder = data_dir / "pki"
    make_folder(folder, mode=PASS_THROUGH)
    names: dict[str, tuple[str, Role]] = {}
    for name, network in simulated_networks(settings).items():
        names[name] = (network.server_name, "server")
        names[f"switch-{name}"] = (network.client_name, "client")
    try:
        if names:
            development_pki(folder, names)
        _protect(settings, folder, users)
    except (OSError, ValueError) as error:
        raise StartError(f"the certificates in {folder} cannot be set up: {error}") from error


def _protect(settings: Settings, folder: Path, users: Users) -> None:
    """Open the certificates to all and each key to its process alone."""
    folder.chmod(PASS_THROUGH)
    for name in simulated_networks(settings):
        (folder / f"{name}.pem").chmod(0o644)
        _hand_over(folder / f"{name}.key", users.owner(name))
    for files in {ClientFiles.of(folder, name) for name in settings.networks}:
        files.ca.chmod(0o644)
        files.certificate.chmod(0o644)
        _hand_over(files.key, users.owner("switch"))


def make_development_keks(settings: Settings, data_dir: Path, users: Users) -> None:
    """Make the key-exchange keys of simulated networks; each file is for one process alone.

    Raises:
        StartError: they cannot be made, or a file there is something else.
    """
    folder = data_dir / "networks"
    networks = simulated_networks(settings)
    try:
        development_keks(folder, networks)
        for name in networks:
            _hand_over(network_kek_path(folder, name), users.owner(name))
            _hand_over(hsm_kek_path(folder, name), users.owner("hsm"))
    except (OSError, DevelopmentKekError) as error:
        raise StartError(f"the key-exchange keys cannot be set up: {error}") from error


def _hand_over(path: Path, owner: tuple[int, int] | None) -> None:
    """Make a file readable by its process alone."""
    path.chmod(0o400)
    if owner is not None:
        os.chown(path, *owner, follow_symlinks=False)
