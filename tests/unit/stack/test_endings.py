"""Which failures end a command in one line, and with which status."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from chassis.supervisor import StartError
from ledger.errors import ConnectionLostError as LedgerLostError
from ledger.errors import LedgerError
from ledger.merchants import MerchantError
from stack import administration, hsm_admin, kafka, paying, signing, stream
from stack.api_keys import SealingError
from stack.credentials import CredentialsError
from stack.endings import told_in_one_line
from stack.endpoints import NotRunningError
from stack.hsm import HSMSilentError
from turnout_client import ConnectionLostError, SealError
from turnout_client.errors import NotFoundError


@pytest.mark.parametrize(
    ("exits", "error", "status"),
    [
        (signing.EXITS, CredentialsError("no keys"), 3),
        (signing.EXITS, signing.SigningError("no target"), 2),
        (paying.EXITS, NotRunningError("no stack"), 3),
        (paying.EXITS, CredentialsError("no keys"), 3),
        (paying.EXITS, ConnectionLostError("no api"), 3),
        (paying.EXITS, paying.UnheardError("pi_1", "http://api", ConnectionLostError("gone")), 1),
        (paying.EXITS, SealError("no card"), 2),
        (
            paying.EXITS,
            NotFoundError(status=404, code="not_found", detail="no", request_id="r"),
            1,
        ),
        (hsm_admin.EXITS, HSMSilentError("no hsm"), 3),
        (kafka.EXITS, kafka.NotConfiguredError("no brokers"), 3),
        (administration.EXITS, NotRunningError("no stack"), 3),
        (administration.EXITS, StartError("no passwords"), 3),
        (administration.EXITS, LedgerLostError("no database"), 3),
        (administration.EXITS, LedgerError("no row"), 1),
        (administration.EXITS, MerchantError("no merchant"), 1),
        (administration.EXITS, SealingError("no hsm"), 1),
        (administration.EXITS, CredentialsError("no folder"), 1),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    capsys: pytest.CaptureFixture[str],
    exits: Mapping[type[Exception], int],
    error: Exception,
    status: int,
) -> None:
    """The command's name and the error, on stderr, and the status that the contract names."""
    with pytest.raises(SystemExit) as ended, told_in_one_line("pay", exits):
        raise error
    assert ended.value.code == status
    said = capsys.readouterr()
    assert said.err == f"turnout pay: {error}\n"
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "/a"), "/a: No such file or directory"),
        (
            PermissionError(13, "Permission denied", "/a"),
            "/a: Permission denied; run this as the user who started the stack, or as root",
        ),
        (OSError("odd"), "odd"),
    ],
)
def test_a_file_is_named_and_not_its_errno(
    capsys: pytest.CaptureFixture[str], error: OSError, said: str
) -> None:
    """And whoever must not read it is told who may."""
    with pytest.raises(SystemExit) as ended, told_in_one_line("stream tail", stream.EXITS):
        raise error
    assert ended.value.code == 3
    assert capsys.readouterr().err == f"turnout stream tail: {said}\n"


def test_a_broken_pipe_is_nothing_to_tell() -> None:
    """The reader of our output has left; the front door ends the program without a word."""
    with pytest.raises(BrokenPipeError), told_in_one_line("stream tail", stream.EXITS):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("exits", [signing.EXITS, paying.EXITS, administration.EXITS])
def test_what_nobody_foresaw_keeps_its_traceback(exits: Mapping[type[Exception], int]) -> None:
    """A bug is not dressed up as an operator's mistake."""
    with pytest.raises(ZeroDivisionError), told_in_one_line("pay", exits):
        raise ZeroDivisionError
