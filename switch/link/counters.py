"""What the links of one network count: plain integers, per batch, read by the metrics collector."""

from __future__ import annotations

from collections import Counter

from switch.link.events import LinkEvent


class LinkCounters:
    """Totals since the process started, over all links of a group."""

    __slots__ = (
        "alarms_total",
        "bytes_received_total",
        "bytes_sent_total",
        "chunks_total",
        "connections_total",
        "events",
        "keep_alives_total",
        "lost_total",
        "peers_refused_total",
        "received_total",
        "refused_by_peer_total",
        "sign_ons_total",
        "unauthentic_total",
        "undecodable_total",
    )

    def __init__(self) -> None:
        self.alarms_total = 0
        self.bytes_received_total = 0
        self.bytes_sent_total = 0
        self.chunks_total = 0  # send_all calls
        self.connections_total = 0  # TLS stood
        self.events: Counter[type[LinkEvent]] = Counter()  # by kind
        self.keep_alives_total = 0
        self.lost_total = 0  # connections that ended, or could not be made
        self.peers_refused_total = 0  # by us: wrong certificate, name, key or version of TLS
        self.received_total = 0  # frames
        self.refused_by_peer_total = 0  # what the peer has against our certificate
        self.sign_ons_total = 0  # accepted ones
        self.unauthentic_total = 0  # MACs wrong, missing, or by a key that is not ours
        self.undecodable_total = 0
