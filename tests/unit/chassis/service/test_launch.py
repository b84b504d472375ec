"""The launch document survives its way and refuses what is none."""

from __future__ import annotations

import os

import msgspec
import pytest

from chassis.service import (
    Identity,
    LaunchDocument,
    LaunchError,
    encode_launch_document,
    read_launch_document,
)
from chassis.settings import Settings

DOCUMENT = LaunchDocument(
    name="switch",
    index=0,
    settings=Settings(),
    data_dir="/srv/turnout",
    listeners={"mux": 5},
    endpoints={"hsm": ["/run/a", "/run/b"]},
    secrets={"database_dsn": "postgresql://turnout_switch:hunter2@/turnout"},
    allowed_uids={"api": 52_003},
    lifeline_fd=6,
    ready_fd=7,
    identity=Identity(uid=52_002, gid=52_002, groups=(52_001,)),
)


def _piped(data: bytes) -> int:
    read_fd, write_fd = os.pipe()
    os.write(write_fd, data)
    os.close(write_fd)
    return read_fd


def test_a_document_arrives_as_it_was_sent() -> None:
    """Encoding and reading are inverse, settings and identity included."""
    assert read_launch_document(_piped(encode_launch_document(DOCUMENT))) == DOCUMENT


def test_the_file_is_closed_after_reading() -> None:
    """The descriptor that held secrets does not stay open."""
    descriptor = _piped(encode_launch_document(DOCUMENT))
    read_launch_document(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_secrets_do_not_show_in_the_repr() -> None:
    """A document in a traceback or a log shows whose it is, nothing more."""
    assert "hunter2" not in repr(DOCUMENT)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\xff" * 100, msgspec.msgpack.encode({"name": "hunter2"})]
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    """Nothing, noise, or another message: refused without quoting it."""
    with pytest.raises(LaunchError, match="holds no launch document") as refused:
        read_launch_document(_piped(data))
    assert "hunter2" not in str(refused.value)


def test_a_descriptor_that_was_not_inherited_is_refused() -> None:
    """Starting a process by hand ends with a reason."""
    with pytest.raises(LaunchError, match="descriptor 987654 cannot be read"):
        read_launch_document(987_654)


def test_a_document_without_measure_is_refused() -> None:
    """A document that the child would not read whole is not sent."""
    large = msgspec.structs.replace(DOCUMENT, secrets={"large": "x" * 270_000})
    with pytest.raises(LaunchError, match="at most 262144 are read"):
        encode_launch_document(large)
