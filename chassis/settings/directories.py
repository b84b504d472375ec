"""Where settings and data live when nobody says otherwise (contract 1).

Every function takes the environment and the effective uid, so that what it answers depends on
its arguments alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import platformdirs

from chassis.settings.tree import Settings

APPLICATION = "turnout"
ROOT_DATA_DIRECTORY = Path("/var/lib/turnout")


def data_directory(settings: Settings, environ: Mapping[str, str], euid: int) -> Path:
    """The data directory, absolute: as set, else by the platform's rule.

    `--data-dir` and `TURNOUT_DATA_DIR` are already in `settings.data_dir`. As root the default is
    `/var/lib/turnout`, because root's home is closed to the uids that the processes run under.
    """
    if settings.data_dir:
        return Path(settings.data_dir).expanduser().absolute()
    if euid == 0:
        return ROOT_DATA_DIRECTORY
    base = _xdg(environ, "XDG_DATA_HOME")
    return base / APPLICATION if base else platformdirs.user_data_path(APPLICATION)


def default_config_path(environ: Mapping[str, str]) -> Path | None:
    """The settings file read without `--config`; None where the environment names no home."""
    base = _xdg(environ, "XDG_CONFIG_HOME")
    if base is None and not environ.get("HOME"):
        return None
    folder = base / APPLICATION if base else platformdirs.user_config_path(APPLICATION)
    return folder / "turnout.toml"


def _xdg(environ: Mapping[str, str], variable: str) -> Path | None:
    """An XDG folder; the XDG base directory specification ignores relative ones."""
    text = environ.get(variable, "")
    return Path(text) if text.startswith("/") else None
