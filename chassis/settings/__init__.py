"""Settings: one frozen tree, loaded once, handed down."""

from chassis.settings.directories import data_directory, default_config_path
from chassis.settings.errors import SettingsError
from chassis.settings.live import LIVE_CHECKS, check_live
from chassis.settings.load import load_settings
from chassis.settings.of_shard import settings_of_shard, settings_of_shared
from chassis.settings.shards import SHARDS_MAX, Shards
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
    "SHARDS_MAX",
    "Ledger",
    "Log",
    "Metrics",
    "MuxLimits",
    "Network",
    "Settings",
    "SettingsError",
    "Shards",
    "Simulator",
    "Supervisor",
    "Switch",
    "Testing",
    "check_live",
    "data_directory",
    "default_config_path",
    "load_settings",
    "settings_of_shard",
    "settings_of_shared",
]
