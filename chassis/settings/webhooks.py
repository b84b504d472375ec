"""How merchants are told of events; a section of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section


class Webhooks(Section, frozen=True):
    """The process that makes events of the stream and sends them to merchants' endpoints."""

    enabled: bool = True  # without it nothing is sent, and `GET /events` shows nothing new
    # Endpoints on this machine, over plain HTTP too. Test mode alone; live mode refuses both.
    allow_loopback: bool = True
    ca_file: str = ""  # PEM; trusted for endpoints beside the system's CAs. Test mode alone
    ports: tuple[int, ...] = (443,)  # that endpoints may have; loopback ones have any
    endpoints_max: int = 16  # of one merchant and mode
    secret_overlap_s: float = 86_400.0  # an old secret signs besides for so long after a roll
    batch_interval_ms: float = 50.0  # between reads of the stream that found little
    poll_ms: float = 50.0  # between looks for what is due, while anything is
    idle_poll_s: float = 0.5  # while nothing is: how late a retry, or a replay, may be noticed
    claims_max: int = 512  # deliveries in memory: 2 kB each
    in_flight_max: int = 256  # tries at once, over all endpoints: a socket each
    endpoint_in_flight_max: int = 16  # of one endpoint, once it has shown that it answers
    claim_s: float = 60.0  # a process that died has its deliveries tried again after this
    dial_timeout_s: float = 5.0  # resolving, connecting, TLS
    answer_timeout_s: float = 15.0  # from the request to the end of the answer
    answer_bytes_max: int = 65_536  # read of an answer, and forgotten
    connection_idle_s: float = 10.0  # kept open for the next event of the same endpoint
    connection_age_s: float = 60.0  # then its name is resolved, and the address checked, again
    connections_idle_max: int = 256  # kept over all endpoints
    resolvers_max: int = 16  # threads that ask for names: a slow one holds up one endpoint
    retry_first_s: float = 5.0  # then five times as long each time
    retry_max_s: float = 3_600.0
    give_up_s: float = 259_200.0  # 72 h: long enough for a weekend
    breaker_failures: int = 5  # in a row; then an endpoint is tried once a pause until it answers
    breaker_pause_s: float = 5.0
    endpoint_cache_s: float = 1.0  # how late a change of an endpoint may be noticed
    results_batch_max: int = 256  # tries recorded by one statement
    keep_s: float = 2_592_000.0  # 30 days: events, deliveries and tries
    forget_interval_s: float = 60.0
    forget_batch_max: int = 2_000  # rows of each kind deleted at a time
