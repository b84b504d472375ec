"""How the relay feeds the event stream; a section of `chassis.settings.tree`."""

from __future__ import annotations

from chassis.settings.section import Section


class Relay(Section, frozen=True):
    """The process that reads the WAL and feeds the event stream."""

    enabled: bool = True  # without it no change reaches the stream, and no WAL is pinned
    slot: str = "turnout_relay_0"  # one a database; another relay needs a name of its own
    batch_records_max: int = 4_096  # appended in one step: 1.5 MB
    batch_interval_ms: float = 25.0  # between steps under load: bounds wake-ups and syncs to disk
    buffer_records_max: int = 65_536  # read and not yet appended: 25 MB
    feedback_interval_s: float = 1.0  # a tenth of the next, so that a slow disk loses no session
    sender_timeout_s: float = 20.0  # the server gives a silent relay up, and we a silent server
    heartbeat_s: float = 10.0  # a word in the WAL: moves an idle slot, shows a dead one
    idle_mark_interval_s: float = 1.0  # between marks without records: one sync to disk each
    sample_interval_s: float = 1.0  # of the server's position and our slot
    lag_alarm_s: float = 3.0  # so that the alarm comes within five of the lag's beginning
    slot_timeout_s: float = 120.0  # to make or drop the slot: waits for open transactions
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 5.0
    refusal_check_s: float = 2.0  # how soon an operator's word, or the right database, is noticed
    repair_keys_max: int = 1_000_000  # held in memory at once, 100 bytes each; more take passes
    repair_window_intents: int = 2_000  # read from the tables in one go
    # Nothing new is taken while the slot pins more of `ledger.max_slot_wal_keep_size` than this:
    # past all of it the server drops the slot, and a repair has to close the gap.
    shed_at_ratio: float = 0.6
    second: bool = False  # another relay, slot and stream, held to the first by `comparer`
    second_slot: str = "turnout_relay_second_0"  # dropped where `second` is false
    second_directory: str = ""  # better on another disk; empty: <data_dir>/second
    compare_interval_s: float = 1.0  # between looks at both streams
    compare_share: float = 0.25  # of a core at most, while there is much to compare
    compare_alarm_s: float = 10.0  # that records of one stream wait for the other's
