"""Settings: one frozen tree, loaded once, handed down."""

from chassis.settings.tree import (
    API,
    HSM,
    Ledger,
    Log,
    Metrics,
    MuxLimits,
    Network,
    Settings,
    Supervisor,
    Switch,
)

__all__ = [
    "API",
    "HSM",
    "Ledger",
    "Log",
    "Metrics",
    "MuxLimits",
    "Network",
    "Settings",
    "Supervisor",
    "Switch",
]
