"""The front door: command groups, each imported only when it is used."""

from __future__ import annotations

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="turnout", prog_name="turnout")
def main() -> None:
    """Turnout: a payment system in one install."""
