"""The demo: a whole stack, a few payments on it, and what happened to each.

It runs the stack by the same code as `turnout up`, and with the same settings but for one: nobody
wants to look on for half a minute until a payment in doubt is reversed. So simulated networks are
inquired of for a shorter time, and the demo says so.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import trio
from rich.console import Console

from chassis.log import configure_logging
from chassis.settings import Network, Settings
from stack.credentials import DEMO_FILE, Credentials, load_credentials
from stack.endpoints import FILE as ENDPOINTS_FILE
from stack.foreground import run_in_foreground
from stack.options import EXIT_CANNOT_START, Place, quiet_log
from stack.provisioning import PROVISION
from stack.run import RunningStack, running_stack
from stack.show import make_console, summary_box
from stack.signing import sign_request
from stack.stories import STORIES, Told
from stack.telling import tell
from turnout_client.sign import NONCE_BYTES

EXIT_STORY: Final = 1
TRY_NEXT: Final = b'{"amountInCents":1234,"currency":"usd","description":"By hand"}'
SHOWN_CARDS: Final = (
    ("4242424242424242", "approved"),
    ("4000000000000002", "declined"),
    ("4000000000006801", "no answer; an inquiry finds it approved"),
    ("4000000000007809", "no answer, ever: reversed"),
    ("5555555555554444", "approved, by a network that can hold an amount"),
)
INQUIRY_TIMES_S: Final = (1.0, 2.0)
INQUIRY_WINDOW_S: Final = 3.0


def demo_main(place: Place, *, leave: bool, as_json: bool) -> int:
    """Run the demo to its end.

    Args:
        place: the settings and the data directory.
        leave: stop after the stories.
        as_json: print the document on stdout and everything else on stderr.

    Returns:
        The exit status.
    """
    if place.settings.mode != "test":
        click.echo('turnout demo: needs mode = "test"; there are no test cards in live', err=True)
        return EXIT_CANNOT_START
    settings = hurried(msgspec.structs.replace(place.settings, log=quiet_log(place.settings.log)))
    configure_logging(settings.log, process="demo")
    console = make_console(sys.stderr if as_json else sys.stdout)

    def report(told: Sequence[Told]) -> None:
        if as_json:
            click.echo(json.dumps(demo_document(told), indent=2))

    demo = partial(
        run_demo, settings, data_dir=place.data_dir, console=console, leave=leave, report=report
    )
    return run_in_foreground("demo", demo)


async def run_demo(
    settings: Settings,
    *,
    data_dir: Path,
    console: Console,
    leave: bool,
    report: Callable[[Sequence[Told]], None],
) -> int:
    """Start a stack, play the stories, print them, and serve on unless asked to leave.

    Args:
        settings: the whole tree; test mode.
        data_dir: absolute.
        console: where everything is printed.
        leave: stop after the stories.
        report: is given the stories when all are told.

    Returns:
        The exit status.

    Raises:
        StartError: something about this machine is in the way.
        StackFailedError: a process failed while starting.
    """
    told: list[Told] = []
    async with running_stack(
        settings, data_dir=data_dir, environ=os.environ, provision=PROVISION
    ) as stack:
        for line in said_of_hurry(settings):
            console.print(line, soft_wrap=True)
        console.print(f"Everything runs; playing {len(STORIES)} payments at once ...")
        merchant = load_credentials(data_dir / DEMO_FILE)
        try:
            told += await tell(stack.context, merchant, console)
            report(told)
            if not leave:
                show_box(stack, merchant, console)
                await trio.sleep_forever()
        except trio.Cancelled:
            console.print("\nstopping; Ctrl-C again stops without waiting for what is under way")
            raise
    return exit_status(told if leave else (), stack.exit_code)


def hurried(settings: Settings) -> Settings:
    """The settings with windows of inquiries that are short, of networks that are simulated."""
    networks = {
        name: msgspec.structs.replace(
            network, inquiry_times_s=INQUIRY_TIMES_S, inquiry_window_s=INQUIRY_WINDOW_S
        )
        if network.simulate and network.inquiry_window_s > INQUIRY_WINDOW_S
        else network
        for name, network in settings.networks.items()
    }
    return msgspec.structs.replace(settings, networks=networks)


def said_of_hurry(settings: Settings) -> Iterator[str]:
    """What to tell of windows that are shorter than they are otherwise."""
    usual = Network()
    hurried_ = [
        name
        for name, network in settings.networks.items()
        if network.inquiry_window_s == INQUIRY_WINDOW_S
    ]
    if hurried_:
        yield (
            f"So that nobody waits: a payment that {' or '.join(hurried_)} leaves in doubt is "
            f"inquired about for {INQUIRY_WINDOW_S:g} s and then reversed "
            f"(`turnout up`: {usual.inquiry_window_s:g} s)."
        )


def exit_status(told: Sequence[Told], stack_exit_code: int) -> int:
    """The program's: trouble while stopping comes before a story that ended otherwise."""
    return stack_exit_code or (EXIT_STORY if any(each.problem for each in told) else 0)


def show_box(stack: RunningStack, merchant: Credentials, console: Console) -> None:
    """Print what there is to try, and one signed request to paste."""
    place = place_option(stack.context.settings, stack.context.data_dir)
    cards = [(f"card {number}", outcome) for number, outcome in SHOWN_CARDS]
    console.print()
    console.print(
        summary_box(
            "turnout",
            [
                ("API", merchant.api_url),
                ("its reference", f"{merchant.api_url}/docs"),
                *((("demo shop", shop),) if (shop := stack.context.shop_url) else ()),
                ("all addresses", str(stack.context.data_dir / ENDPOINTS_FILE)),
                ("publishable key", merchant.publishable_key),
                ("secret key", f"in {stack.context.data_dir / DEMO_FILE}"),
                *cards,
                ("in another terminal", f"{activation()}turnout pay{place}"),
                ("Ctrl-C", "finishes what was accepted and stops everything"),
            ],
        )
    )
    request = sign_request(
        merchant,
        method="POST",
        target="/payment-intents",
        body=TRY_NEXT,
        idempotency_key=os.urandom(8).hex(),
        instant=datetime.now(UTC),
        random=os.urandom(NONCE_BYTES),
    )
    console.print("\nA signed request to paste, good for five minutes and for one use:\n")
    console.print(request.curl(), soft_wrap=True)
    console.print(
        f"\nMore of them: turnout sign POST /payment-intents -d '...'{place} --curl | sh",
        soft_wrap=True,
    )


def place_option(settings: Settings, data_dir: Path) -> str:
    """What another command needs to find this stack: nothing, where it looks by itself."""
    return f" --data-dir {shlex.quote(str(data_dir))}" if settings.data_dir else ""


def activation() -> str:
    """What a shell needs that does not know `turnout`: nothing, where the path leads to it."""
    if shutil.which("turnout") or sys.prefix == sys.base_prefix:
        return ""
    return f". {shlex.quote(os.path.relpath(sys.prefix))}/bin/activate; "


def demo_document(told: Sequence[Told]) -> dict[str, Any]:
    """What `turnout demo --exit --json` prints (contract 1); a story not told has no payment."""
    return {
        "payments": [
            {
                "story": each.story.name,
                **(
                    each.payment.document()
                    if each.payment is not None
                    else {"intent": None, "status": None, "transactions": []}
                ),
            }
            for each in told
        ]
    }
