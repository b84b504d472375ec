"""The units of the stack: each process gets what it needs and nothing of another's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import attrs
import msgspec
import pytest

from chassis.settings import HSM, Settings, Shards, Switch, settings_of_shard
from chassis.settings.redis import Redis
from chassis.settings.shop import Shop
from chassis.settings.tree import Audit, Metrics, Relay, Stream
from chassis.shard_names import shard_directory
from chassis.supervisor import Listener, ProcessSpec, ProcessUnit, StartError, assign_users
from chassis.supervisor.lifecycle import Lifecycle
from ledger.embedded import EmbeddedPostgres
from ledger.relay.second import SECOND_INDEX
from ledger.roles import ROLES as DATABASE_ROLES
from stack.compose import STOP_RANKS, compose
from stack.context import ShardContext, StackContext
from stack.database import ExternalDatabase
from stack.layout import (
    ROLES,
    check_api_processes,
    shop_runs,
    stack_users,
)
from stack.replica import Replica
from stack.sockets import Sockets, bind_sockets, hsm_keys, metrics_ports, switch_keys
from switch.core.lease import switch_name

DATA_DIR = Path("/srv/turnout")
PASSWORDS = {role: f"password-of-{role}" for role in DATABASE_ROLES}
URL = "postgresql://owner:hunter2@db.example/turnout"
SETTINGS = msgspec.structs.replace(
    Settings(),
    hsm=HSM(workers=2),
    switch=Switch(processes=2),
    ledger=msgspec.structs.replace(Settings().ledger, url=URL),
)


def _listener(address: str) -> Listener:
    return Listener(socket.socket(), address)


def _shard(settings: Settings, number: int, switches: list[Listener]) -> ShardContext:
    own = settings_of_shard(settings, number)
    return ShardContext(
        number=number,
        settings=own,
        data_dir=shard_directory(DATA_DIR, number),
        switches=switches,
        database=ExternalDatabase(own.ledger.url, PASSWORDS),
        resource=None,
    )


def _with(context: StackContext, settings: Settings, **changed: object) -> StackContext:
    """The same stack with other settings."""
    shards = [attrs.evolve(one, settings=settings) for one in context.shards]
    return attrs.evolve(context, settings=settings, shards=shards, **changed)


def _two_shards(context: StackContext) -> StackContext:
    """The same stack over two ledgers, both elsewhere."""
    settings = msgspec.structs.replace(
        SETTINGS,
        ledger=msgspec.structs.replace(SETTINGS.ledger, url=""),
        shards=Shards(count=2, database_urls=(URL, URL.replace("db.", "two."))),
    )
    other = [_listener("/run/t/switch-0@1"), _listener("/run/t/switch-1@1")]
    for listener in other:
        listener.close()  # only the addresses are looked at
    switches = [*context.sockets.switches, other]
    metrics = {key: context.sockets.metrics["api"] for key, _, _ in metrics_ports(settings)}
    sockets = attrs.evolve(context.sockets, switches=switches, metrics=metrics)
    shards = [_shard(settings, number, own) for number, own in enumerate(switches)]
    return attrs.evolve(context, settings=settings, sockets=sockets, shards=shards)


@pytest.fixture
def context() -> Iterator[StackContext]:
    """A stack on imagined addresses, its processes under uids of their own."""
    sockets = Sockets(
        http=_listener("127.0.0.1:8080"),
        switches=[[_listener("/run/t/switch-0"), _listener("/run/t/switch-1")]],
        hsm=[_listener("/run/t/hsm-0"), _listener("/run/t/hsm-1")],
        networks={"vsim": _listener("127.0.0.1:1"), "msim": _listener("127.0.0.1:2")},
        metrics={key: _listener("127.0.0.1:3") for key, _, _ in metrics_ports(SETTINGS)},
    )
    yield StackContext(
        settings=SETTINGS,
        data_dir=DATA_DIR,
        runtime_dir=Path("/run/t"),
        users=assign_users(SETTINGS.supervisor, (*ROLES, *SETTINGS.networks), euid=0),
        sockets=sockets,
        shards=[_shard(SETTINGS, 0, sockets.switches[0])],
    )
    for listener in sockets._all():
        listener.socket.close()


def _specs(context: StackContext) -> dict[str, ProcessSpec]:
    units = compose(context)
    return {unit.plan.key: unit.spec for unit in units if isinstance(unit, ProcessUnit)}


def test_there_is_a_process_for_every_service_worker_and_network(context: StackContext) -> None:
    """HSM workers and switches have one socket each; every process shows metrics."""
    specs = _specs(context)
    processes = ["hsm-0", "hsm-1", "vsim", "msim", "switch-0", "switch-1", "api", "relay"]
    processes += ["audit", "witness", "postings", "webhooks"]
    assert list(specs) == processes
    assert [spec.index for spec in specs.values()] == [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert all("metrics" in spec.listeners for spec in specs.values())


def test_the_shop_knows_its_file_and_nothing_else(context: StackContext) -> None:
    """No secret, no peer, no database; it starts when its keys are written, and only in test."""
    shop = _listener("127.0.0.1:8081")
    metrics = {**context.sockets.metrics, "shop": _listener("127.0.0.1:0")}
    sockets = attrs.evolve(context.sockets, shop=shop, metrics=metrics)
    open_ = attrs.evolve(context, sockets=sockets)
    spec = _specs(open_)["shop"]
    assert spec.listeners["http"] is shop
    assert (spec.plan.needs, spec.secrets, spec.endpoints) == (("provision",), {}, {})
    assert spec.identity is not None
    assert spec.identity.groups == ()
    assert open_.shop_url == "http://127.0.0.1:8081"
    assert context.shop_url is None
    for listener in (shop, metrics["shop"]):
        listener.socket.close()
    assert shop_runs(Settings())
    assert not shop_runs(msgspec.structs.replace(Settings(), mode="live"))
    assert not shop_runs(msgspec.structs.replace(Settings(), shop=Shop(enabled=False)))


def test_the_machine_accepts_the_plans(context: StackContext) -> None:
    """Keys are unique and needs name existing units without a circle."""
    plans = [unit.plan for unit in compose(context)]
    Lifecycle(plans, SETTINGS.supervisor)
    ranks = {plan.key: plan.stop_rank for plan in plans}
    assert ranks["api"] < ranks["switch-0"] == ranks["switch-1"] < ranks["vsim"] < ranks["hsm-0"]
    assert ranks["hsm-0"] < ranks["relay"] < STOP_RANKS["postgres"]


def test_no_payment_waits_for_the_relay(context: StackContext) -> None:
    """Nothing needs the relay to be ready, and without it the stack is what it was."""
    units = {unit.plan.key: unit.plan for unit in compose(context)}
    assert not any("relay" in plan.needs for plan in units.values())
    off = msgspec.structs.replace(SETTINGS, relay=Relay(enabled=False))
    without = _specs(_with(context, off))
    followers = {"relay", "audit", "witness", "postings", "webhooks"}
    assert without.keys() == _specs(context).keys() - followers


def test_nothing_needs_a_consumer_of_the_stream(context: StackContext) -> None:
    """The audit log and its witness read files and need nobody; they can be left out."""
    units = {unit.plan.key: unit.plan for unit in compose(context)}
    for name in ("audit", "witness"):
        assert not units[name].needs
        assert not any(name in plan.needs for plan in units.values())
        assert STOP_RANKS["hsm"] < units[name].stop_rank < STOP_RANKS["relay"]
    off = msgspec.structs.replace(SETTINGS, audit=Audit(enabled=False))
    without = _specs(_with(context, off))
    assert without.keys() == _specs(context).keys() - {"audit", "witness"}


def test_a_replica_is_needed_by_nobody_and_known_to_the_api_alone(context: StackContext) -> None:
    """It follows the schema, goes before Postgres does, and its address is the api's secret."""
    server = EmbeddedPostgres(
        data_dir=DATA_DIR, socket_dir=Path("/run/t/pg"), settings=SETTINGS.ledger
    )
    [shard] = context.shards
    replica = Replica(dsn="host=/run/t/pg-replica", resource=server)  # its like, as a resource
    with_one = attrs.evolve(context, shards=[attrs.evolve(shard, resource=server, replica=replica)])
    plans = {unit.plan.key: unit.plan for unit in compose(with_one)}
    assert plans["replica"].needs == ("schema",)
    assert not any("replica" in plan.needs for plan in plans.values())
    assert [plan.key for plan in plans.values() if plan.optional] == ["replica"]
    assert plans["api"].stop_rank < plans["replica"].stop_rank < plans["postgres"].stop_rank
    told = {key for key, spec in _specs(with_one).items() if "replica_dsn" in spec.secrets}
    assert told == {"api"}
    theirs = attrs.evolve(replica, resource=None)
    with_theirs = attrs.evolve(
        context, shards=[attrs.evolve(shard, resource=server, replica=theirs)]
    )
    assert "replica" not in {unit.plan.key for unit in compose(with_theirs)}
    assert _specs(with_theirs)["api"].secrets["replica_dsn"] == theirs.dsn


def test_the_forwarder_runs_where_the_stream_goes_to_kafka(context: StackContext) -> None:
    """It reads segments by the relay's group, knows no database, and nobody needs it."""
    kafka = msgspec.structs.replace(SETTINGS, stream=Stream(backend="kafka"))
    sockets = attrs.evolve(
        context.sockets,
        metrics={**context.sockets.metrics, "forwarder": context.sockets.metrics["audit"]},
    )
    specs = _specs(_with(context, kafka, sockets=sockets))
    assert specs.keys() == _specs(context).keys() | {"forwarder"}
    forwarder = specs["forwarder"]
    assert not forwarder.secrets
    assert forwarder.identity is not None
    assert (forwarder.identity.uid, forwarder.identity.groups) == (52_008, (52_004,))
    assert not any("forwarder" in spec.plan.needs for spec in specs.values())
    assert ("forwarder", 9479, "metrics.forwarder") in metrics_ports(kafka)


def test_a_second_relay_and_its_comparer_run_where_they_are_asked_for(
    context: StackContext,
) -> None:
    """The same process again under a user of its own; who compares reads files and knows no key."""
    settings = msgspec.structs.replace(SETTINGS, relay=Relay(second=True))
    metrics = dict.fromkeys(("relay-2", "comparer"), context.sockets.metrics["audit"])
    sockets = attrs.evolve(context.sockets, metrics={**context.sockets.metrics, **metrics})
    specs = _specs(_with(context, settings, sockets=sockets))
    assert specs.keys() == _specs(context).keys() | {"relay-2", "comparer"}
    second, comparer = specs["relay-2"], specs["comparer"]
    assert (second.name, second.index) == ("relay", SECOND_INDEX)
    assert second.secrets == specs["relay"].secrets
    assert not comparer.secrets
    identities = {spec.plan.key: spec.identity for spec in (second, comparer)}
    assert {key: (who.uid, who.groups) for key, who in identities.items() if who} == {
        "relay-2": (52_009, ()),
        "comparer": (52_010, (52_004, 52_009)),
    }
    assert not any({"relay-2", "comparer"} & {*spec.plan.needs} for spec in specs.values())
    ports = {key: port for key, port, _ in metrics_ports(settings)}
    assert (ports["relay-2"], ports["comparer"]) == (9480, 9481)


def test_no_process_sees_the_owners_password_or_anothers(context: StackContext) -> None:
    """The database's URL is for the supervisor; each process has its own role's."""
    specs = _specs(context)
    assert all(spec.settings.ledger.url == "" for spec in specs.values())
    assert {key: dict(spec.secrets) for key, spec in specs.items() if spec.secrets} == {
        "switch-0": {
            "database_dsn": "user=turnout_switch password=password-of-turnout_switch "
            "dbname=turnout host=db.example"
        },
        "switch-1": {
            "database_dsn": "user=turnout_switch password=password-of-turnout_switch "
            "dbname=turnout host=db.example"
        },
        "api": {
            "database_dsn": "user=turnout_api password=password-of-turnout_api "
            "dbname=turnout host=db.example"
        },
        "relay": {
            "database_dsn": "user=turnout_relay password=password-of-turnout_relay "
            "dbname=turnout host=db.example"
        },
        "postings": {
            "database_dsn": "user=turnout_postings password=password-of-turnout_postings "
            "dbname=turnout host=db.example"
        },
        "webhooks": {
            "database_dsn": "user=turnout_webhooks password=password-of-turnout_webhooks "
            "dbname=turnout host=db.example"
        },
    }
    assert "hunter2" not in repr(specs)
    assert "password-of" not in repr(specs)


def test_processes_know_their_peers(context: StackContext) -> None:
    """A switch reaches HSM and networks, the api reaches HSM and every switch."""
    specs = _specs(context)
    workers = ["/run/t/hsm-0", "/run/t/hsm-1"]
    assert specs["switch-0"].endpoints == specs["switch-1"].endpoints
    assert specs["switch-0"].endpoints == {
        "hsm": workers,
        "vsim": ["127.0.0.1:1"],
        "msim": ["127.0.0.1:2"],
    }
    assert specs["api"].endpoints == {
        "hsm": workers,
        "switch": ["/run/t/switch-0", "/run/t/switch-1"],
    }


def test_users_may_connect_where_they_must_and_nowhere_else(context: StackContext) -> None:
    """Groups open the sockets' files, and servers know whose uid each role has."""
    specs = _specs(context)
    hsm, switch, api, relay = 52_001, 52_002, 52_003, 52_004
    identities = {key: spec.identity for key, spec in specs.items()}
    assert {key: (who.uid, who.groups) for key, who in identities.items() if who} == {
        "hsm-0": (hsm, ()),
        "hsm-1": (hsm, ()),
        "relay": (relay, ()),
        "audit": (52_005, (relay,)),
        "witness": (52_006, ()),
        "postings": (52_007, (relay,)),
        "webhooks": (52_011, (hsm, relay)),
        "vsim": (52_013, ()),
        "msim": (52_014, ()),
        "switch-0": (switch, (hsm,)),
        "switch-1": (switch, (hsm,)),
        "api": (api, (hsm, switch)),
    }
    assert specs["hsm-0"].allowed_uids == {
        "switch": switch,
        "api": api,
        "webhooks": 52_011,
        "admin": 0,
    }
    assert specs["switch-1"].allowed_uids == {"api": api, "admin": 0}


def test_a_real_network_is_dialed_and_not_simulated(context: StackContext) -> None:
    """With `simulate = false` there is no process, and the switch gets the real address."""
    real = msgspec.structs.replace(
        SETTINGS.networks["vsim"], simulate=False, host="network.example", port=8583
    )
    settings = msgspec.structs.replace(
        SETTINGS, networks={"vsim": real, "msim": SETTINGS.networks["msim"]}
    )
    bound = {"msim": context.sockets.networks["msim"]}
    changed = _with(context, settings, sockets=attrs.evolve(context.sockets, networks=bound))
    specs = _specs(changed)
    assert "vsim" not in specs
    assert specs["switch-0"].endpoints["vsim"] == ["network.example:8583"]
    assert "vsim" not in specs["switch-0"].plan.needs


def test_each_shard_has_a_column_of_its_own(context: StackContext) -> None:
    """One api, one HSM and the networks serve all; the rest is there again under `@1`."""
    context = _two_shards(context)
    specs = _specs(context)
    alone = {"hsm-0", "hsm-1", "vsim", "msim", "api"}
    column = {"switch-0", "switch-1", "relay", "audit", "witness", "postings", "webhooks"}
    assert specs.keys() == alone | column | {f"{name}@1" for name in column}
    assert {key for key, spec in specs.items() if spec.shard == 1} == {f"{n}@1" for n in column}
    for key, spec in specs.items():
        directory = DATA_DIR / "shards" / "1" if key.endswith("@1") else DATA_DIR
        assert (spec.data_dir, spec.stack_dir or spec.data_dir) == (directory, DATA_DIR)
        twin = specs[key.removesuffix("@1")]
        assert (spec.identity, spec.index, spec.name) == (twin.identity, twin.index, twin.name)
    Lifecycle([unit.plan for unit in compose(context)], SETTINGS.supervisor)


def test_a_shards_processes_reach_its_own_ledger_and_no_other(context: StackContext) -> None:
    """Only the api has every ledger's address and every switch's socket; the owner's nobody."""
    specs = _specs(_two_shards(context))
    hosts = {key: set(spec.secrets) for key, spec in specs.items() if spec.secrets}
    assert hosts.pop("api") == {"database_dsn", "database_dsn@1"}
    assert hosts["webhooks@1"] == {"database_dsn", "directory_dsn"}  # endpoints are on shard 0
    others = hosts.keys() - {"webhooks@1"}
    assert all(hosts[key] == {"database_dsn"} for key in others)
    for key in hosts:
        host = "host=two.example" if key.endswith("@1") else "host=db.example"
        assert specs[key].secrets["database_dsn"].endswith(host)
    assert specs["api"].endpoints["switch@1"] == ["/run/t/switch-0@1", "/run/t/switch-1@1"]
    assert specs["api"].plan.needs == ("provision",)  # it starts beside the switches
    assert specs["relay@1"].plan.needs == ("schema@1",)
    assert not any(spec.settings.shards.database_urls for spec in specs.values())
    assert not any(spec.settings.ledger.url for spec in specs.values())


def test_no_shard_waits_for_another(context: StackContext) -> None:
    """What is restarted in one needs nothing of the other; the api is everyone's front door."""
    plans = {unit.plan.key: unit.plan for unit in compose(_two_shards(context))}
    for key in plans.keys() - {"api", "provision"}:
        shards = {need.rpartition("@")[2] for need in plans[key].needs if "@" in need}
        assert shards <= {key.rpartition("@")[2]}
    # But schemas elsewhere are prepared in turn: two databases of one server share its roles.
    assert plans["schema@1"].needs == ("schema",)
    assert plans["schema"].needs == ()


def test_sockets_are_bound_all_or_none(tmp_path: Path) -> None:
    """A taken port gives back what was bound before it, socket files included."""
    settings = msgspec.structs.replace(
        Settings(),
        api=msgspec.structs.replace(Settings().api, port=0),
        networks={},
        shop=Shop(port=0),
        metrics=Metrics(api=0, switch=0, hsm=0, relay=0, networks=0, audit=0, witness=0),
    )
    users = stack_users(settings, euid=1000)
    sockets = bind_sockets(settings, tmp_path, users)
    taken = int(sockets.http.address.rpartition(":")[2])
    sockets.close()
    with socket.create_server(("127.0.0.1", taken)):
        late = msgspec.structs.replace(
            settings, metrics=msgspec.structs.replace(settings.metrics, hsm=taken)
        )
        with pytest.raises(Exception, match=r"metrics of hsm-0, is taken.*set metrics\.hsm"):
            bind_sockets(late, tmp_path, users)
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_of_several_takes_a_shared_port() -> None:
    """More switches, workers and networks get any free port for their metrics."""
    ports = [port for _, port, _ in metrics_ports(SETTINGS)]
    assert ports == [9464, 9465, 0, 9466, 0, 9467, 9468, 0, 9476, 9477, 9478, 9482, 9483]
    assert hsm_keys(SETTINGS) == ["hsm-0", "hsm-1"]


def test_a_switchs_key_is_the_name_of_its_lease() -> None:
    """What an operator reads in endpoints.json stands in the ledger too."""
    assert switch_keys(SETTINGS) == [switch_name(0), switch_name(1)]


def test_several_apis_share_one_socket(context: StackContext) -> None:
    """Each has a name and metrics of its own; where the shared store is, they alone are told."""
    settings = msgspec.structs.replace(
        SETTINGS,
        api=msgspec.structs.replace(SETTINGS.api, processes=3),
        redis=Redis(url="redis://:secret@cache"),
    )
    metrics = {key: context.sockets.metrics["api"] for key, _, _ in metrics_ports(settings)}
    sockets = attrs.evolve(context.sockets, metrics=metrics)
    specs = _specs(_with(context, settings, sockets=sockets))
    apis = [spec for spec in specs.values() if spec.name == "api"]
    assert [spec.plan.key for spec in apis] == ["api", "api-1", "api-2"]
    assert [spec.index for spec in apis] == [0, 1, 2]
    assert {id(spec.listeners["http"]) for spec in apis} == {id(context.sockets.http)}
    assert all(spec.secrets["redis_url"] == "redis://:secret@cache" for spec in apis)
    others = [spec for spec in specs.values() if spec.name != "api"]
    assert not any("redis_url" in spec.secrets for spec in others)
    assert not any(spec.settings.redis.url for spec in specs.values())


def test_an_api_alone_is_told_of_no_store(context: StackContext) -> None:
    """The good twin: without a URL nothing is shared."""
    assert "redis_url" not in _specs(context)["api"].secrets


def test_several_apis_without_a_store_are_refused() -> None:
    """The reason names both settings; one api, or a store, is let through."""
    several = msgspec.structs.replace(
        SETTINGS, api=msgspec.structs.replace(SETTINGS.api, processes=2)
    )
    with pytest.raises(StartError, match=r"api.processes = 2 needs redis.url") as refused:
        check_api_processes(several)
    assert "replayed" in str(refused.value)
    check_api_processes(SETTINGS)
    check_api_processes(msgspec.structs.replace(several, redis=Redis(url="redis://cache")))
