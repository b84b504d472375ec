"""Where data and settings live when nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from chassis.settings import Settings, data_directory, default_config_path

SET = Settings(data_dir="/srv/turnout")
UNSET = Settings()


@pytest.mark.parametrize(
    ("settings", "environ", "euid", "expected"),
    [
        (SET, {"XDG_DATA_HOME": "/xdg"}, 0, "/srv/turnout"),
        (SET, {"XDG_DATA_HOME": "/xdg"}, 1000, "/srv/turnout"),
        (UNSET, {"XDG_DATA_HOME": "/xdg"}, 0, "/var/lib/turnout"),
        (UNSET, {"XDG_DATA_HOME": "/xdg"}, 1000, "/xdg/turnout"),
    ],
)
def test_data_directory(
    settings: Settings, environ: dict[str, str], euid: int, expected: str
) -> None:
    """What is set wins; then root has one place and a user the XDG folder."""
    assert data_directory(settings, environ, euid) == Path(expected)


def test_a_relative_data_directory_becomes_absolute() -> None:
    """Children run elsewhere, so the path must not depend on the working directory."""
    assert data_directory(Settings(data_dir="data"), {}, 1000) == Path.cwd() / "data"


def test_without_xdg_the_platform_decides() -> None:
    """A relative XDG folder is ignored, as its specification says."""
    found = data_directory(UNSET, {"XDG_DATA_HOME": "relative"}, 1000)
    assert found.is_absolute()
    assert found.name == "turnout"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [({"XDG_CONFIG_HOME": "/xdg"}, Path("/xdg/turnout/turnout.toml")), ({}, None)],
)
def test_default_config_path(environ: dict[str, str], expected: Path | None) -> None:
    """The file stands in the XDG folder; without any home there is none."""
    assert default_config_path(environ) == expected


def test_default_config_path_under_home() -> None:
    """With a home but no XDG folder the platform decides."""
    found = default_config_path({"HOME": "/home/someone"})
    assert found is not None
    assert found.parts[-2:] == ("turnout", "turnout.toml")
