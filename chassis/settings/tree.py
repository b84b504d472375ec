"""The settings tree: one frozen record, each limit with its unit and its reason.

Units stand last in a name: `_s` seconds, `_ms` milliseconds, `_bytes`, `_max` a bound, `_count`.
`chassis.settings.load` fills this tree from defaults, the settings file, the environment and flags.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from chassis.settings.archive import Archive
from chassis.settings.kafka import Kafka
from chassis.settings.limits import Limits, Velocity
from chassis.settings.redis import Redis
from chassis.settings.relay import Relay as Relay  # noqa: PLC0414  where others look for it
from chassis.settings.replica import Replica
from chassis.settings.section import Section
from chassis.settings.shards import Shards
from chassis.settings.shop import Shop
from chassis.settings.webhooks import Webhooks

APIS_MAX = 32  # each is a connection to every switch and HSM worker; `mux.connections_max` is 64
SWITCHES_MAX = 36  # RRNs begin with a base-36 digit that names the switch


class MuxLimits(Section, frozen=True):
    """Bounds of one internal connection, so that a stalled peer costs bounded memory."""

    frame_bytes_max: int = 1_048_576  # a full batch of charges is about 200 kB
    messages_per_frame_max: int = 512  # keeps one encode call under a millisecond
    in_flight_max: int = 8_192  # above every admission limit, so only a fault reaches it
    outbox_messages_max: int = 16_384  # replies waiting for a peer that does not read
    outbox_bytes_max: int = 16_777_216  # the same in bytes: a thousand bytes a message
    receive_bytes: int = 131_072  # one read takes what the kernel's buffer holds
    connections_max: int = 64  # of one server: every api process, and room for their comeback
    connect_timeout_s: float = 5.0  # a listener that does not accept is as good as none
    reconnect_min_s: float = 0.05  # the peer is on this machine and restarts in 0.2 s
    reconnect_max_s: float = 1.0


class API(Section, frozen=True):
    """The merchant-facing HTTP process."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0 = any free port
    processes: int = 1  # on the one listening socket; more than one needs redis.url
    connections_max: int = 4_096  # file descriptors: one each
    request_line_bytes_max: int = 8_192
    header_bytes_max: int = 16_384
    body_bytes_max: int = 65_536  # metadata is at most 2 kB; 64 KiB leaves room
    head_timeout_s: float = 10.0  # slow-loris: the whole head must arrive within this
    body_timeout_s: float = 20.0
    idle_timeout_s: float = 75.0  # keep-alive connections with nothing to say
    pipeline_depth_max: int = 16  # requests parsed ahead of the answer being written
    timestamp_window_s: int = 300  # contract: ±300 s
    nonce_slots: int = 4_194_304  # 8 bytes each, two generations: 64 MiB, 5,000 requests/s
    merchant_cache_s: float = 60.0  # revocation is effective within this
    merchants_cached_max: int = 65_536  # known and unknown keys; strangers choose the latter
    unknown_key_cache_s: float = 5.0  # a new key works at the latest after this
    keys_cache_s: float = 60.0  # of the HSM's public keys
    database_sessions: int = 4  # one for each kind of query, so that lists do not hold up creates
    read_batch_max: int = 256  # intents read by one query
    create_batch_max: int = 128  # intents created by one commit: past it Postgres gains nothing
    queue_max: int = 4_096  # requests waiting for one kind of query; the next one is told 503
    request_deadline_s: float = 25.0  # above every network timer plus one second
    drain_timeout_s: float = 18.0  # inside the supervisor's 20; what is open then is cut off
    tls_certificate: str = ""  # PEM path; empty = plain HTTP
    tls_key: str = ""


class HSM(Section, frozen=True):
    """The key-holding process."""

    workers: int = 1  # one process and socket each; the GIL makes threads useless here
    batch_cards_max: int = 32  # 1.5 ms of one core
    open_deadline_s: float = 2.0  # then the charge is answered 503 and nothing is recorded
    batches_in_flight_max: int = 4  # per worker: enough to keep it busy
    queue_requests_max: int = 64  # of all peers, per worker: 100 ms of work, then a refusal
    batch_secrets_max: int = 256  # merchant secrets a request: 1 ms of one core
    release_cards_max: int = 32  # stored cards given back by one request: 0.1 ms of one core
    release_group_max: int = 16  # requests whose audit lines share one write to disk
    # A switch in wrong hands could ask for every stored card. The audit log tells of it; this
    # bounds it, over any 60 s and all workers. The default is 10,000 payments a second, each
    # needing its card once more: set it to a few times what your busiest minute asks for.
    releases_per_minute_max: int = 600_000
    macs_max: int = 512  # messages a request, to authenticate or to verify: 1 ms of one core
    # A MAC key still verifies so long after its successor took over: past every network timer, so
    # that answers under way to messages of the old key are understood.
    session_key_overlap_s: int = 120
    previous_session_keys_max: int = 4  # a network's, within one overlap; more and the oldest goes
    capture_key_active_s: int = 86_400
    capture_key_decrypt_only_s: int = 86_400
    capture_key_overlap_s: int = 600  # the next key is out before the last retires: 2 x its cache
    card_key_active_s: int = 86_400  # a key a day, so that one day's cards can be shredded
    card_key_decrypt_only_s: int = 46_656_000  # 540 days: past refunds and disputes
    destroyed_keys_kept_s: int = 2_592_000  # 30 days in which a late card is told "key expired"
    rotation_check_s: float = 60.0  # rotation may be this late; use goes by the clock alone
    drain_linger_s: float = 0.2  # the last replies leave; peers have usually gone before
    # The audit log goes on in another file then; 64 MiB are read in 0.1 s for their digest.
    audit_file_bytes: int = 67_108_864


class Network(Section, frozen=True):
    """One card network as the switch sees it, and where the simulator plays it."""

    dialect: str = "net87b"
    # single: a 0200 authorizes and captures. dual: a 0100 authorizes, a 0220 captures; only such a
    # network holds an amount that is captured later.
    messages: Literal["single", "dual"] = "single"
    host: str = "127.0.0.1"
    port: int = 0
    hosts: tuple[str, ...] = ()  # host:port of each, where there are several; instead of the above
    server_name: str = ""  # the SAN that the network's certificate must carry
    # SHA-256 of the network's public key (SPKI) in hex, and of the next one; empty = any key that
    # its CA vouches for.
    pinned_keys: tuple[str, ...] = ()
    client_name: str = "acquirer.turnout.test"  # the SAN that ours carries
    acquirer_id: str = "400001"  # DE 32
    bins: tuple[str, ...] = ()  # PAN prefixes routed here; the longest prefix wins
    priority: int = 1  # the lower number is tried first where several networks match
    cost: float = 0.0  # of a payment there, in any one unit: the cheaper first of equal priority
    connections: int = 2
    window_per_connection: int = 1_024  # in flight; full = no slot, never a queue
    window_max: int = 4_096  # in flight over all connections, as far as the network allows
    # A network of whose messages so many in a row, over so long, came to nothing is not tried any
    # more, but for one message a pause, until it answers.
    breaker_failures_max: int = 50
    breaker_window_s: float = 5.0
    breaker_pause_s: float = 1.0
    response_deadline_s: float = 2.0  # sandbox; real dialects default to 15
    max_send_age_s: float = 2.0  # no frame enters the wire later than this after intake
    echo_idle_s: float = 0.0  # of silence, before an echo; 0 = as the dialect says
    echo_timeout_s: float = 0.0  # for its answer; likewise
    sign_on_timeout_s: float = 5.0
    connect_timeout_s: float = 5.0
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 60.0
    backoff_reset_s: float = 60.0  # only a link that stayed up this long starts over
    mac_key_age_s: float = 86_400.0  # of a dialect with MACs: then we ask for a new key
    frame_bytes_max: int = 4_096
    frame_header_timeout_s: float = 5.0
    frame_body_timeout_s: float = 5.0
    send_timeout_s: float = 5.0  # a peer that does not read for so long loses the link
    keep_alives_per_minute_max: int = 120  # zero-length frames; two a second is a flood
    outbox_frames_max: int = 4_096  # a full outbox closes its link
    # What becomes of an outcome that nobody knows; empty: what the dialect says.
    unknown_policy: Literal["", "inquire_then_reverse", "reverse"] = ""
    inquiry_times_s: tuple[float, ...] = (1.0, 3.0, 8.0)  # after the doubt began
    inquiry_window_s: float = 30.0  # then it is reversed
    authorization_s: float = 604_800.0  # seven days to capture what was authorized
    # Store-and-forward. The first wait is at most the minimum; each further one may be twice as
    # long, up to the maximum.
    saf_repeat_min_s: float = 5.0
    saf_repeat_max_s: float = 300.0
    saf_alarm_sends: int = 6  # without an acknowledgment; then somebody should look
    saf_slow_s: float = 3_600.0  # between sendings from then on, for ever
    saf_drain_per_s: float = 300.0  # after an outage; at 500 live p99 was near twice its own
    saf_window_share: float = 0.25  # of the window, for advices and inquiries; the rest is live
    simulate: bool = True  # `turnout up` starts network_sim for it
    codec: Literal["compiled", "pyiso8583"] = "compiled"  # of the simulator
    script: str = ""  # file of faults that the simulator makes; docs/acquirers.md has the grammar


def _networks() -> dict[str, Network]:
    return {
        "vsim": Network(
            port=8583, server_name="vsim.turnout.test", acquirer_id="400001", bins=("4",)
        ),
        "msim": Network(
            messages="dual",
            port=8584,
            server_name="msim.turnout.test",
            acquirer_id="500001",
            bins=("5", "2"),
        ),
    }


class Simulator(Section, frozen=True):
    """`network_sim`: what one peer may cost a simulated network, and how long it remembers."""

    connections_max: int = 64  # per network; a switch keeps two
    handshake_timeout_s: float = 5.0  # TCP accepted to client certificate verified
    idle_timeout_s: float = 180.0  # six echo intervals without a frame: the peer is gone
    write_timeout_s: float = 10.0  # a peer that reads nothing for this long is closed
    keep_alives_max: int = 16  # zero-length frames in a row; a storm of them is closed
    delayed_answers_max: int = 8_192  # answers that wait for their time; more are lost, and counted
    late_margin_s: float = 0.75  # a late approval leaves this long after the response deadline
    remembered_max: int = 49_152  # messages kept for repeats and reversals: 370 bytes each, 18 MB
    remembered_s: int = 86_400  # no acquirer repeats a message after a day
    holds_max: int = 131_072  # authorizations that can still be captured: 400 bytes each
    cutover_check_s: float = 60.0  # how late after midnight UTC the settlement date may move
    cutover_answer_timeout_s: float = 5.0  # then acquirers are not waited for


class Switch(Section, frozen=True):
    """The pipeline that moves the money."""

    credits_max: int = 4_096  # payments inside at once; over it: 503 before any work
    network_share: float = 0.5  # a silent network may hold at most this share of the credits
    merchant_credits_max: int = 3_072  # above a network's share: the others stay open to each
    lookup_batch_max: int = 256
    commit_batch_max: int = 128  # rows a commit: past it Postgres gains nothing
    settle_batch_max: int = 256
    recent_keys_max: int = 16_384  # terminal answers in memory, 0.7 kB each; older: a query
    answered_keys_max: int = 65_536  # matched keys remembered for duplicates, over all networks
    answered_keys_s: float = 120.0
    default_network: str = "vsim"  # a PAN no prefix claims
    stan_block_count: int = 10_000  # STANs reserved by one durable write
    totals_delay_s: float = 60.0  # from a cutover to its 0500: past every doubt's window
    certificates_check_s: float = 5.0  # how soon a replaced certificate is used for links
    drain_margin_s: float = 2.0  # beyond the longest network timer
    drain_linger_s: float = 0.2  # the last replies leave; peers have usually gone before
    intent_expiry_s: int = 86_400  # created and failed intents become canceled
    sweep_interval_s: float = 5.0
    sweep_batch_max: int = 500
    # Old idempotency keys and declines are deleted in these hours, UTC; the same hour twice = all.
    clean_up_from_hour: int = 1
    clean_up_until_hour: int = 5
    clean_up_interval_s: float = 60.0
    charges_per_intent_max: int = 10
    operations_batch_max: int = 64  # decisions a transaction: its locks are held for 2 round trips
    decisions_max: int = 32_768  # that wait for theirs: what the links' windows can answer at once
    queue_poll_s: float = 0.5  # how late a repeat, an inquiry or an operator's word may be noticed
    queue_batch_max: int = 256  # due rows of a queue that are looked at together
    declined_cards_max: int = 500_000  # remembered for the rules on trying again: 240 bytes each
    declines_refresh_s: float = 2.0  # how soon a decline counts at the other switches
    processes: int = 1  # switches on this machine, each with links and a shard of the merchants
    lease_ttl_s: float = 10.0  # a switch without a heartbeat for so long has lost its lease
    lease_heartbeat_s: float = 2.0  # a lease outlives three that fail, and the margin
    lease_margin_s: float = 2.0  # nothing is sent so close to the end: clocks drift, sends stall
    lease_mark_lag_s: float = 60.0  # ids drawn before are in the ledger by now, or never will be
    lease_mark_rows_max: int = 50_000  # attempts looked at in a heartbeat: 25,000 charges/s


class Ledger(Section, frozen=True):
    """Postgres, ours or yours."""

    url: str = ""  # empty = embedded; TURNOUT_DATABASE_URL sets it too
    bindir: str = ""  # a system Postgres to run instead of the bundled one
    statement_timeout_ms: int = 5_000  # the server ends what we no longer wait for
    lock_timeout_ms: int = 200
    fast_lock_timeout_ms: int = 25  # of a batch that leaves held rows to a slow lane: past an fsync
    lock_waits_max: int = 10  # times lock_timeout_ms: as long as a frame may wait to be sent
    commit_retry_min_s: float = 0.02  # between repeats of a commit that could not run
    commit_retry_max_s: float = 1.0  # a restart of Postgres takes about this long
    answer_timeout_s: float = 15.0  # for a server that says nothing: three statement time-outs
    connect_timeout_s: float = 10.0
    reconnect_min_s: float = 0.05  # ceiling of the first delay; doubles up to the next
    reconnect_max_s: float = 2.0
    pool_waiters_max: int = 256  # batches, not payments: more means that Postgres has stalled
    start_timeout_s: float = 60.0  # crash recovery after kill -9 may replay WAL
    shared_buffers: str = "256MB"
    max_wal_size: str = "4GB"
    max_slot_wal_keep_size: str = "8GB"  # past it a reader that is gone loses its place, not us
    max_connections: int = 100  # the pools of every process together stay below half of it
    stop_timeout_s: float = 15.0  # fast shutdown writes a checkpoint; then immediate
    free_bytes_min: int = 268_435_456  # intake sheds below this much free disk
    months_ahead: int = 2  # partitions made before they are needed


class Stream(Section, frozen=True):
    """The event stream: what the relay writes and every consumer reads."""

    # Segments always come first. "kafka" has a process copy them on, for readers on other machines.
    backend: Literal["segments", "kafka"] = "segments"
    segment_bytes: int = 67_108_864  # allocated ahead; one more stands by for a full disk
    segment_age_s: float = 86_400.0  # a quiet day's segment is sealed, too: it can be archived
    batch_records_max: int = 65_536  # of one append
    batch_bytes_max: int = 8_388_608  # likewise; whoever reads holds one in memory
    read_wait_s: float = 1.0  # for new records; then a reader's caller may see to other things
    consumer_records_max: int = 1_000  # of one transaction; what is halved when one breaks it
    consumer_bytes_max: int = 1_048_576  # likewise
    consumer_retry_min_s: float = 0.05  # while the database is away or busy
    consumer_retry_max_s: float = 5.0
    parked_max: int = 1_000  # events put aside by one group; the next one stops it
    parked_check_s: float = 1.0  # how soon an operator's word about a parked event is heard
    unfinished_grace_s: float = 30.0  # past an attempt's deadline: restarts, takeovers of leases
    unfinished_open_max: int = 100_000  # attempts followed at once: 500 bytes each
    unfinished_look_s: float = 1.0  # between looks for late ones


class Audit(Section, frozen=True):
    """The tamper-evident log over the event stream, and its witness."""

    enabled: bool = True  # without it nobody can show later what the stream held
    origin: str = ""  # the log's name for its whole life; empty: one is made at the first start
    witness_dir: str = ""  # better on another disk; empty: <data_dir>/witness
    checkpoint_interval_s: float = 1.0  # between signatures: how long a change could go unseen
    checkpoint_records: int = 10_000  # or as soon as so many records wait for one
    witness_interval_s: float = 1.0  # between looks at the log
    read_interval_ms: float = 200.0  # between reads; records are hashed in time to be signed
    batch_records_max: int = 16_384  # of one read: 10 ms of hashing
    batch_bytes_max: int = 8_388_608  # likewise; held in memory
    verify_keys_max: int = 1_000_000  # rows in memory at once, 250 bytes each; more take passes
    verify_wait_s: float = 30.0  # of a verification, for open transactions and for the relay, each


class Postings(Section, frozen=True):
    """Double entry: the process that books what the stream tells, and checks what was booked."""

    enabled: bool = True  # without it there are no balances
    batch_interval_ms: float = 200.0  # between reads that found little: bounds transactions
    fee_basis_points: int = 0  # of each capture, hundredths of a percent: what the platform keeps
    fee_fixed_minor: int = 0  # besides, in minor units of whatever currency
    check_intents_per_s: int = 100  # held to their history again; 0.2 ms each; 0 checks nothing
    check_batch_intents: int = 50  # read in one snapshot
    check_interval_s: float = 1.0  # between looks for changed payments
    check_patience_s: float = 30.0  # for what is not booked yet; then it is told
    check_waiting_max: int = 10_000  # payments not booked yet that are looked at again
    trial_interval_s: float = 60.0  # between sums over all accounts


class Log(Section, frozen=True):
    """Structured logs on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"  # auto: console on a terminal


class Metrics(Section, frozen=True):
    """Prometheus endpoints, one per process. 0 = any free port."""

    host: str = "127.0.0.1"
    api: int = 9464
    switch: int = 9465
    hsm: int = 9466
    relay: int = 9467
    networks: int = 9468
    audit: int = 9476  # behind the ports of eight networks
    witness: int = 9477
    postings: int = 9478
    forwarder: int = 9479
    second_relay: int = 9480
    comparer: int = 9481
    shop: int = 9483
    webhooks: int = 9482


class Supervisor(Section, frozen=True):
    """`turnout up`."""

    ready_timeout_s: float = 60.0  # per process
    drain_timeout_s: float = 20.0  # then the group is killed and recovery decides
    restart_min_s: float = 0.2
    restart_max_s: float = 10.0
    restart_reset_s: float = 30.0  # ready this long, a process earns the first delay again
    start_attempts_max: int = 3  # while the stack starts; later restarts go on for ever
    separate_uids: bool = True  # effective only as root
    uid_base: int = 52_000  # postgres, hsm, switch, api, networks follow from here


class Testing(Section, frozen=True):
    """What live mode refuses: conditions that nobody wants to wait for."""

    clock_offset_file: str = ""  # every process's wall clock follows it; see chassis.clock
    crash_point_file: str = ""  # names the step at which a process dies; see chassis.crash_points


class Settings(Section, frozen=True):
    """Everything that can be set."""

    mode: Literal["test", "live"] = "test"
    data_dir: str = ""  # empty = the platform's default
    api: API = field(default_factory=API)
    limits: Limits = field(default_factory=Limits)
    velocity: Velocity = field(default_factory=Velocity)
    redis: Redis = field(default_factory=Redis)
    switch: Switch = field(default_factory=Switch)
    hsm: HSM = field(default_factory=HSM)
    networks: dict[str, Network] = field(default_factory=_networks)
    simulator: Simulator = field(default_factory=Simulator)
    ledger: Ledger = field(default_factory=Ledger)
    replica: Replica = field(default_factory=Replica)
    shards: Shards = field(default_factory=Shards)
    relay: Relay = field(default_factory=Relay)
    stream: Stream = field(default_factory=Stream)
    kafka: Kafka = field(default_factory=Kafka)
    audit: Audit = field(default_factory=Audit)
    archive: Archive = field(default_factory=Archive)
    postings: Postings = field(default_factory=Postings)
    shop: Shop = field(default_factory=Shop)
    webhooks: Webhooks = field(default_factory=Webhooks)
    mux: MuxLimits = field(default_factory=MuxLimits)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
    supervisor: Supervisor = field(default_factory=Supervisor)
    testing: Testing = field(default_factory=Testing)
