"""What `mode = "live"` refuses (contract 1).

Each refusal that can be read off the settings stands in `LIVE_CHECKS`; rooms that know of more
(demo keys, test card numbers) refuse it at their own door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chassis.settings.errors import SettingsError
from chassis.settings.tree import Settings

# Yields (key, reason) for each setting that must not be used with real money.
LiveCheck = Callable[[Settings], Iterator[tuple[str, str]]]


def _oracle_codec(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, network in settings.networks.items():
        if network.codec == "pyiso8583":
            yield f"networks.{name}.codec", "pyiso8583 is for simulation and tests only"


def _development_pki(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, network in settings.networks.items():
        if network.simulate:
            yield (
                f"networks.{name}.simulate",
                "a simulated network uses development certificates and moves no money",
            )


def _fault_script(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, network in settings.networks.items():
        if network.script:
            yield f"networks.{name}.script", "fault scripts are for simulation and tests only"


def _stepped_clock(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.testing.clock_offset_file:
        yield "testing.clock_offset_file", "payments are dated by the machine's clock"


def _crash_points(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.testing.crash_point_file:
        yield "testing.crash_point_file", "whoever writes there can end a process at will"


def _webhook_ca(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.webhooks.ca_file:
        yield "webhooks.ca_file", "merchants' servers are known by CAs that everybody trusts"


LIVE_CHECKS: tuple[LiveCheck, ...] = (
    _oracle_codec,
    _fault_script,
    _development_pki,
    _stepped_clock,
    _crash_points,
    _webhook_ca,
)


def check_live(settings: Settings) -> None:
    """Refuse, in live mode, what is for tests only; in test mode everything passes.

    Raises:
        SettingsError: the first setting that live mode does not allow.
    """
    if settings.mode != "live":
        return
    for check in LIVE_CHECKS:
        for key, reason in check(settings):
            raise SettingsError(key, 'mode = "live"', reason)
