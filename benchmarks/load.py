"""A load generator for prepared HTTP requests: epoll, plain sockets, one process.

Everything costly (signing, sealing, building bytes) happens before the clock starts, so that what
this process burns stays small beside what it measures. Two ways of driving:

- closed loop: every connection sends its next request when the last was answered;
- open loop: requests fall due at a constant rate, and latency counts from the *intended* send time,
  so that a stalled server cannot hide the queue it causes (coordinated omission).

Run as `python -m benchmarks.load SPEC`, where SPEC is a msgpack file of a `LoadSpec`; the outcome
is written to `spec.outcome` as a msgpack `LoadOutcome`.
"""

from __future__ import annotations
