"""How the relay stands, in plain numbers: for metrics, for `/readyz` and for the alarm.

*Lag* is measured without trusting anybody's clock: once a second the server is asked how far its
WAL is on disk. The lag in seconds is the age of the oldest such answer that the stream has not
reached, so it grows whatever it is that hangs: the walsender, the session, the disk.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

STATES: Final = ("connecting", "streaming", "repairing", "refused")
SAMPLES_MAX: Final = 86_400  # a day, one a second; then the oldest sample stands for it


@attrs.define
class Health:
    """Counters and gauges of one relay.

    Attributes:
        state: one of `STATES`.
        finding: what is out of order while it is refused or repairing; see `starting.Finding`.
        trouble: why the last session ended; empty while one works.
        durable_lsn: the stream's mark.
        reached_lsn: as `durable_lsn`, or further where nothing published lies between.
        pinned_bytes: of WAL that the server keeps because of our slot.
        wal_status: of the slot, as the server shows it; `absent` where there is none.
        alarmed: whether the lag is over its limit.
    """

    state: str = "connecting"
    finding: str = ""
    trouble: str = ""
    durable_lsn: int = 0
    reached_lsn: int = 0
    flushed_lsn: int = 0
    pinned_bytes: int = 0
    wal_status: str = ""
    next_offset: int = 0
    lag_s: float = 0.0
    alarmed: bool = False
    stream_full: bool = False
    buffered_records: int = 0
    buffered_records_peak: int = 0
    batches_total: int = 0
    records_total: int = 0
    bytes_total: int = 0
    idle_marks_total: int = 0
    dropped_total: int = 0
    messages_total: int = 0
    feedbacks_total: int = 0
    heartbeats_total: int = 0
    sessions_total: int = 0
    repairs_total: int = 0
    repaired_records_total: int = 0
    tampering_total: int = 0
    _samples: deque[tuple[float, int]] = attrs.field(factory=deque, repr=False)

    @property
    def lag_bytes(self) -> int:
        """WAL on the server's disk that the stream has not reached."""
        return max(0, self.flushed_lsn - self.reached_lsn)

    def sample(self, now_s: float, flushed_lsn: int) -> None:
        """Note how far the server is.

        Args:
            now_s: by a clock that only moves forward.
            flushed_lsn: the end of its WAL on disk.
        """
        self.flushed_lsn = flushed_lsn
        news = not self._samples or self._samples[-1][1] != flushed_lsn
        if news and len(self._samples) < SAMPLES_MAX:
            self._samples.append((now_s, flushed_lsn))
        self.measure(now_s)

    def measure(self, now_s: float) -> None:
        """Work out the lag as it is now."""
        samples = self._samples
        while samples and samples[0][1] <= self.reached_lsn:
            samples.popleft()
        self.lag_s = max(0.0, now_s - samples[0][0]) if samples else 0.0

    def forget_samples(self) -> None:
        """Start over: positions before are another cluster's."""
        self._samples.clear()
