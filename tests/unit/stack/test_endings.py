"""Which failures end a command in one line, and with which status."""

from __future__ import annotations

import pytest

from chassis.supervisor import StartError
from ledger.errors import ConnectionLostError as LedgerLostError
from ledger.errors import LedgerError
from ledger.merchants import MerchantError
from stack.api_keys import SealingError
from stack.credentials import CredentialsError
from stack.endings import told_in_one_line
from stack.endpoints import NotRunningError
from stack.signing import SigningError
from turnout_client import ConnectionLostError, SealError
from turnout_client.errors import NotFoundError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotRunningError("no stack"), 3),
        (CredentialsError("no keys"), 3),
        (StartError("no folder"), 3),
        (LedgerLostError("no database"), 3),
        (ConnectionLostError("no api"), 3),
        (SigningError("no target"), 2),
        (SealError("no card"), 2),
        (SealingError("no hsm"), 1),
        (LedgerError("no row"), 1),
        (MerchantError("no merchant"), 1),
        (NotFoundError(status=404, code="not_found", detail="no", request_id="r"), 1),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    """The command's name and the error, on stderr, and the status that the contract names."""
    with pytest.raises(SystemExit) as ended, told_in_one_line("pay"):
        raise error
    assert ended.value.code == status
    said = capsys.readouterr()
    assert said.err == f"turnout pay: {error}\n"
    assert said.out == ""


def test_what_nobody_foresaw_keeps_its_traceback() -> None:
    """A bug is not dressed up as an operator's mistake."""
    with pytest.raises(ZeroDivisionError), told_in_one_line("pay"):
        raise ZeroDivisionError
