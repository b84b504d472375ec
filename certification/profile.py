"""The profile `certification`: real timers, scaled by one factor, and the settings of the stack.

A dialect's timers (15 s for an answer, 30 s of silence before an echo, minutes of back-off) would
make a certification last an hour. Every timer of a network, the switch's and the simulator's, is
multiplied by one factor, so that their proportions stay. What bounds this machine's own work is
not scaled: leases, the HSM, the database, the API. The report names the factor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chassis.settings import Network, Simulator, Switch
from switch.iso8583 import load_dialect

NAME: Final = "certification"
FACTOR: Final = 0.2
SERVER_NAME: Final = "network.turnout.test"
CLIENT_NAME: Final = "acquirer.turnout.test"
# How long a frame may wait for its link bounds our own work: on a machine that certifies, a commit
# among a hundred others may take longer than a fifth of the real value.
UNSCALED: Final = frozenset({"max_send_age_s", "connect_timeout_s", "sign_on_timeout_s"})


def scaled_network(factor: float, changes: Mapping[str, Any]) -> Network:
    """A network of the profile: the dialect's own timers and the rest, scaled; then `changes`."""
    scaled: Network = msgspec.structs.replace(_scaled(real_network(), factor), **changes)
    return scaled


def real_network(dialect: str = "net87b") -> Network:
    """A network with the timers of its dialect instead of the sandbox's."""
    policy = load_dialect(dialect).policy
    return Network(
        dialect=dialect,
        server_name=SERVER_NAME,
        client_name=CLIENT_NAME,
        response_deadline_s=policy.response_deadline_s,
        echo_idle_s=policy.echo_idle_s,
        echo_timeout_s=policy.echo_timeout_s,
    )


def scaled_simulator(factor: float) -> Simulator:
    """What the networks put up with."""
    scaled: Simulator = _scaled(Simulator(), factor)
    return scaled


def _scaled(section: Any, factor: float) -> Any:
    changes: dict[str, Any] = {}
    for name in section.__struct_fields__:
        if not name.endswith("_s") or name in UNSCALED:
            continue
        value = getattr(section, name)
        if isinstance(value, float):
            changes[name] = value * factor
        elif isinstance(value, tuple):
            changes[name] = tuple(each * factor for each in value)
    return msgspec.structs.replace(section, **changes)


def sections(factor: float) -> dict[str, dict[str, Any]]:
    """What the profile changes beside the networks: the switch's own timer of theirs, and logs."""
    return {
        "log": {"format": "json"},
        "switch": {"totals_delay_s": Switch().totals_delay_s * factor},
    }


def settings_file(
    networks: Mapping[str, Network], sections: Mapping[str, Mapping[str, Any]]
) -> str:
    """A settings file (TOML) with these networks, and whole sections besides."""
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]", *_assignments(values), ""]
    plain = msgspec.to_builtins(Network())
    for name, network in networks.items():
        values = msgspec.to_builtins(network)
        changed = {key: value for key, value in values.items() if value != plain[key]}
        lines += [f"[networks.{name}]", *_assignments(changed), ""]
    return "\n".join(lines)


def _assignments(values: Mapping[str, Any]) -> list[str]:
    # Strings, numbers, booleans and lists of them are written alike in JSON and TOML.
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]
