"""One factor for every timer of a network, so that hours of waiting fit into a test's seconds."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from chassis.settings.section import Section

_UNIT: Final = "_s"
_Settings = TypeVar("_Settings", bound=Section)


def scaled(section: _Settings, factor: float) -> _Settings:
    """Settings with each of their times multiplied: the fields that end in `_s` and are floats.

    Whole seconds are left alone: they say how long something is remembered, not what is waited for.
    """
    times = {
        name: value * factor
        for name, value in msgspec.structs.asdict(section).items()
        if name.endswith(_UNIT) and isinstance(value, float)
    }
    return msgspec.structs.replace(section, **times)
