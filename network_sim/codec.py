"""The codec a network runs on: ours, or the public one, so that no bug hides in its mirror."""

from __future__ import annotations

from chassis.settings.tree import Network
from network_sim.acceptor import Codec
from switch.iso8583 import Dialect
from switch.iso8583.reference import ReferenceCodec


def choose_codec(network: Network, dialect: Dialect) -> Codec:
    """What `network.codec` names: the dialect's compiled codec, or pyiso8583 alone."""
    match network.codec:
        case "compiled":
            return dialect
        case "pyiso8583":
            return ReferenceCodec(dialect)
