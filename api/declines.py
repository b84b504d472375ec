"""Why a card was declined, as merchants hear it: one catalog of every `declineCode`.

`decline_catalog.toml` says of each code what it means and what to do. Run as a module it prints
`docs/declines/README.md`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final

import msgspec
from msgspec import Struct

from ledger.lifecycle import ADVICE_CODES


class DeclineDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the catalog."""

    advice: str
    meaning: str
    action: str


def _load_catalog() -> Mapping[str, DeclineDefinition]:
    text = (resources.files("api") / "decline_catalog.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, DeclineDefinition])


DECLINES: Final = _load_catalog()


def markdown() -> str:
    """The whole catalog as one page, `docs/declines/README.md`."""
    lines = [
        "# Declines",
        "",
        "A declined card is an answer, not an error: the transaction is `failed`, its",
        "`declineCode` is one of these, and `advice` says what to do. Codes are added as the",
        "networks add theirs: treat one that you do not know by its `advice`.",
        "`GET /docs/declines/<code>` serves each section below.",
        "",
        "This page is generated: `python -m api.declines > docs/declines/README.md`.",
    ]
    for advice in ADVICE_CODES:
        lines += ["", f"## {advice}"]
        for code, definition in DECLINES.items():
            if definition.advice == advice:
                lines += ["", f"### {code}", "", definition.meaning, ""]
                lines += [f"*What to do:* {definition.action}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
