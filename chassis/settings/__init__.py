"""Settings: one frozen tree, loaded once, handed down."""

from chassis.settings.directories import data_directory, default_config_path
from chassis.settings.errors import SettingsError
from chassis.settings.live import LIVE_CHECKS, check_live
from chassis.settings.load import load_settings
from chassis.settings.tree import (
    API,
    HSM,
    Ledger,
    Log,
    Metrics,
    MuxLimits,
    Network,
    Settings,
    Simulator,
    Supervisor,
    Switch,
    Testing,
)

__all__ = [
    "API",
    "HSM",
    "LIVE_CHECKS",
    "Ledger",
    "Log",
    "Metrics",
    "MuxLimits",
    "Network",
    "Settings",
    "SettingsError",
    "Simulator",
    "Supervisor",
    "Switch",
    "Testing",
    "check_live",
    "data_directory",
    "default_config_path",
    "load_settings",
]
