"""What the settings are for one shard: the processes of a shard see a stack of one ledger.

What is bounded for the machine is divided: the memory of Postgres, and the disk that its WAL may
take. What must differ between shards is counted up by the shard's number: the acquirer ids, under
which STANs, matching keys and the networks' totals are apart, the names that are known outside of
the data directory (the relay's slot, the audit log's), and places outside of it. Everything else
is per process, or per shard by nature. Shard 0 keeps every name as it is.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from chassis.settings.tree import Ledger, Settings
from chassis.shard_names import FOLDER

ACQUIRER_ID_DIGITS_MAX: Final = 11  # DE 32, ISO 8583
MEMORY_KB_MIN: Final = 16_384  # shared buffers that a small ledger runs well with
WAL_KB_MIN: Final = 131_072  # eight segments: less would do nothing but checkpoints
_SIZE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>kB|MB|GB|TB)")
_KB: Final = {"kB": 1, "MB": 1_024, "GB": 1_048_576, "TB": 1_073_741_824}


def settings_of_shard(settings: Settings, shard: int) -> Settings:
    """The settings that the processes of a shard get; those of a single shard are unchanged.

    Raises:
        ValueError: an acquirer id cannot be counted up so far; `load_settings` refuses it before.
    """
    if shard == 0 and settings.shards.count == 1 and not settings.shards.database_urls:
        return settings
    ledger = _ledger(settings, shard)
    if shard == 0:
        return replace(settings, ledger=ledger)
    networks = {
        name: replace(network, acquirer_id=raised(network.acquirer_id, shard))
        for name, network in settings.networks.items()
    }
    relay, audit, archive = settings.relay, settings.audit, settings.archive
    return replace(
        settings,
        ledger=ledger,
        networks=networks,
        relay=replace(
            relay,
            slot=_numbered(relay.slot, shard),
            second_slot=_numbered(relay.second_slot, shard),
            second_directory=_below(relay.second_directory, shard),
        ),
        audit=replace(
            audit,
            origin=_below(audit.origin, shard),
            witness_dir=_below(audit.witness_dir, shard),
        ),
        archive=replace(archive, url=_below(archive.url, shard)),
    )


def settings_of_shared(settings: Settings) -> Settings:
    """The settings of what serves every shard: it bears the connections of all of them."""
    count = settings.shards.count
    if count == 1:
        return settings
    mux, simulator = settings.mux, settings.simulator
    return replace(
        settings,
        mux=replace(mux, connections_max=mux.connections_max * count),
        simulator=replace(simulator, connections_max=simulator.connections_max * count),
    )


def raised(acquirer_id: str, shard: int) -> str:
    """An acquirer id counted up by a shard's number, as many digits as before if they suffice.

    Raises:
        ValueError: it is not digits, or gets longer than DE 32 may be.
    """
    if not (acquirer_id.isascii() and acquirer_id.isdigit()):
        raise ValueError("an acquirer id is digits")
    number = str(int(acquirer_id) + shard).zfill(len(acquirer_id))
    if len(number) > ACQUIRER_ID_DIGITS_MAX:
        raise ValueError(f"an acquirer id has at most {ACQUIRER_ID_DIGITS_MAX} digits")
    return number


def _ledger(settings: Settings, shard: int) -> Ledger:
    ledger, count, urls = settings.ledger, settings.shards.count, settings.shards.database_urls
    return replace(
        ledger,
        url=urls[shard] if shard < len(urls) else ledger.url,
        shared_buffers=divided(ledger.shared_buffers, count, MEMORY_KB_MIN),
        max_wal_size=divided(ledger.max_wal_size, count, WAL_KB_MIN),
        max_slot_wal_keep_size=divided(ledger.max_slot_wal_keep_size, count, WAL_KB_MIN),
    )


def divided(size: str, count: int, kb_min: int) -> str:
    """A size as Postgres writes it, by so many; not below `kb_min`, unless it was before.

    What is not a number with a unit (`-1`: no limit) is left as it is.
    """
    match = _SIZE.fullmatch(size.strip())
    if match is None or count == 1:
        return size
    kilobytes = float(match["number"]) * _KB[match["unit"]]
    return f"{int(max(kilobytes / count, min(kb_min, kilobytes)))}kB"


def _numbered(slot: str, shard: int) -> str:
    """A slot's name with the shard's number at its end."""
    return f"{slot.removesuffix('_0')}_{shard}"


def _below(place: str, shard: int) -> str:
    """A place of the shard's own below one that was set; none where none was."""
    return f"{place.rstrip('/')}/{FOLDER}/{shard}" if place else ""
