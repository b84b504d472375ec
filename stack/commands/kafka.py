"""`turnout kafka`: the stream's copy in Kafka: make its topics, see how far it is."""

from __future__ import annotations

import json

import click

from stack.commands.operating import json_option
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options


@click.group()
def kafka() -> None:
    """Make the topics of the stream's copy in Kafka; see how far it is."""


@kafka.command("create-topics")
@json_option
@every_shard_option
@settings_options
def create_topics(place: Place, *, as_json: bool) -> None:
    """Make the topics that are missing; check those that are there. Harmless when repeated."""
    import trio  # noqa: PLC0415  when called: --help must not wait

    from stack.endings import told_in_one_line  # noqa: PLC0415

    with told_in_one_line("kafka create-topics", {ModuleNotFoundError: 3}):
        from stack import kafka as topics  # noqa: PLC0415

    with told_in_one_line("kafka create-topics", topics.EXITS):
        made = trio.run(topics.create, place)
    if as_json:
        click.echo(json.dumps(made, indent=2))
        return
    for topic in made:
        what = "made" if topic["made"] else "was there, as it should be"
        click.echo(f"{topic['topic']}  {topic['partitions']} partitions  {what}")


@kafka.command("status")
@json_option
@every_shard_option
@settings_options
def status(place: Place, *, as_json: bool) -> None:
    """How far the stream is in Kafka, and how much of it is not there yet."""
    import trio  # noqa: PLC0415

    from stack.endings import told_in_one_line  # noqa: PLC0415

    with told_in_one_line("kafka status", {ModuleNotFoundError: 3}):
        from stack import kafka as topics  # noqa: PLC0415

    with told_in_one_line("kafka status", topics.EXITS):
        document = trio.run(topics.status, place)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"topic      {document['topic']}, {document['partitions']} partitions")
    click.echo(f"forwarded  {document['forwarded']} of {document['records']} records")
