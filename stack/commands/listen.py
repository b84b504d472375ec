"""`turnout listen`: have events sent to a program on this machine, and watch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from stack.options import Place, settings_options


@click.command()
@click.option("--forward", "url", metavar="URL", required=True, help="Where to, such as a port.")
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only these types.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document a line.")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Credentials file; default: MERCHANT_… variables, else the demo shop's.",
)
@settings_options
def listen(
    place: Place, *, url: str, types: tuple[str, ...], as_json: bool, credentials: Path | None
) -> None:
    """Have events sent to a program on this machine, and watch."""
    from stack import listening  # noqa: PLC0415  --help must not wait for it
    from stack.endings import told_in_one_line  # noqa: PLC0415

    with told_in_one_line("listen", listening.EXITS):
        listener = listening.open_listener(place, url, types, credentials)
        click.echo(f"{listener.endpoint} sends to {url}", err=True)
        click.echo(f"signing secret: {listener.secret}", err=True)
        seen: dict[str, int] = {}
        try:
            while True:
                for delivery in listener.poll(seen):
                    click.echo(json.dumps(delivery) if as_json else _line(delivery))
                listening.wait()
        except KeyboardInterrupt:
            pass  # the first Ctrl-C is how it ends
        finally:
            listener.close()


def _line(delivery: dict[str, Any]) -> str:
    last = delivery["tries"][-1] if delivery["tries"] else {}
    result = last.get("reason") or "delivered"
    code = last.get("statusCode")
    told = f"{result} ({code})" if code else result
    return f"{delivery['eventType']}  {delivery['event']}  {told}  {last.get('durationMs', 0)} ms"
