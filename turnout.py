"""The front door: command groups, each imported only when it is used.

`--help` must answer within 300 ms, so this module imports nothing of the product; the names and
one-line helps of the commands stand in the table below and each command's module is loaded when
it is called.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Any

import click

EXIT_FAULT = 1
EXIT_INTERRUPTED = 130
STANDARD_STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))
# What writing can end with although nothing is wrong with us; a broken pipe is click's.
CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, help)
    "up": ("stack.commands.up:up", "Run every process on this machine until Ctrl-C."),
    "demo": ("stack.commands.demo:demo", "Start everything, run the stories, keep serving."),
    "pay": ("stack.commands.pay:pay", "Make one payment against the running stack."),
    "cards": ("network_sim.commands:cards", "List the test cards and what each one does."),
    "network": (
        "network_sim.network_command:network",
        "Run one card network by itself, to certify a host against.",
    ),
    "iso": ("stack.commands.iso:iso", "Decode and encode ISO 8583 messages by hand."),
    "sign": ("stack.commands.sign:sign", "Sign one API request, as headers or as a curl command."),
    "merchants": (
        "stack.commands.merchants:merchants",
        "Create merchants; list, roll, revoke keys.",
    ),
    "checkout": (
        "stack.commands.checkout:checkout",
        "See that browsers get the card fields as they were made.",
    ),
    "hsm": ("stack.commands.hsm:hsm", "List keys; load a network's key-exchange key."),
    "doubts": (
        "stack.commands.doubts:doubts",
        "List, show messages whose outcome is unknown.",
    ),
    "saf": (
        "stack.commands.saf:saf",
        "List, show, retry, resolve what networks have not acknowledged.",
    ),
    "exceptions": (
        "stack.commands.exceptions:exceptions",
        "List, show, close what a person has to look into.",
    ),
    "relay": (
        "stack.commands.relay:relay",
        "See how the event stream is fed; agree to a repair.",
    ),
    "stream": (
        "stack.commands.stream:stream",
        "Look at the event stream; retry what its consumers put aside.",
    ),
    "kafka": (
        "stack.commands.kafka:kafka",
        "Make the topics of the stream's copy in Kafka; see how far it is.",
    ),
    "audit": (
        "stack.commands.audit:audit",
        "Show and verify the audit log; prove one payment with a bundle.",
    ),
    "archive": (
        "stack.commands.archive:archive",
        "Archive what the event stream has sealed; verify, restore it.",
    ),
    "listen": (
        "stack.commands.listen:listen",
        "Have events sent to a program on this machine, and watch.",
    ),
    "trigger": (
        "stack.commands.trigger:trigger",
        "Make the test payment that comes to an event of TYPE.",
    ),
    "webhooks": (
        "stack.commands.webhooks:webhooks",
        "List endpoints, deliveries; replay, disable, enable.",
    ),
    "shards": (
        "stack.commands.shards:shards",
        "See which shard has which merchants; move them.",
    ),
    "ledger": (
        "stack.commands.ledger:ledger",
        "Show balances; see that the books balance; back up, restore.",
    ),
    "doctor": ("stack.commands.doctor:doctor", "Check that this machine can run Turnout."),
    "bench": ("benchmarks.commands:bench", "Measure one part, or the whole."),
    "certify": (
        "certification.commands:certify",
        "Play the certification catalog; or judge an acquirer.",
    ),
    "chaos": ("chaos.commands:chaos", "Break a stack under load, and compare three witnesses."),
}
HIDDEN: dict[str, tuple[str, str]] = {
    "serve": ("stack.commands.serve:serve", "Run one process; started by the supervisor only."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every public command, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        where = COMMANDS.get(cmd_name) or HIDDEN.get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where[0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program, with all three standard streams open whatever its caller has closed."""
        open_standard_streams()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C is told from a fault by its exit status.

        `up` and `demo` take the signal themselves, finish what they accepted, and never get here.
        """
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            pass
        except OSError as error:  # without a file's name: what was printed could not be
            if error.filename is not None or error.errno not in CANNOT_WRITE:
                raise
            click.echo(f"turnout: the output cannot be written: {error.strerror}", err=True)
            sys.exit(EXIT_FAULT)
        except BaseExceptionGroup as group:  # it met tasks
            if group.split(KeyboardInterrupt)[1] is not None:
                raise
        click.echo("\nturnout: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


def open_standard_streams() -> None:
    """Put /dev/null in the place of every standard stream that is closed.

    Otherwise the next file or socket that is opened would get its number, and take in what is meant
    for a terminal. The lowest free number is the one that is missing: they are tried in order.
    """
    for descriptor, name, mode in STANDARD_STREAMS:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(descriptor, mode))  # noqa: PTH123, SIM115  for the whole run


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="turnout", prog_name="turnout")
def main() -> None:
    """Turnout: a payment system in one install."""


if __name__ == "__main__":
    main()
