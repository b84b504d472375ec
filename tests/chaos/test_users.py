"""Who runs a stack, and from where: root with everything in its closed home, an ordinary user."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

from stack.temporary import TemporaryStack
from tests.support.namespaces import bind, keep_within_reach, mount_memory, stack_with_mounts
from tests.support.whole_stack import merchant_of

pytestmark = pytest.mark.privileged
CHECKOUT = Path(__file__).parents[2]
ORDINARY = pwd.getpwnam("nobody")
NOT_SEPARATED = "trust zones not separated"


def _environment(home: Path, checkout: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": os.defpath,
        "PYTHONPATH": f"{checkout}:{checkout / 'clients' / 'python'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _turnout_up(checkout: Path) -> list[str]:
    python = Path(sys.executable)
    if python.is_relative_to(CHECKOUT):
        python = checkout / python.relative_to(CHECKOUT)
    return [str(python), "-P", "-m", "turnout", "up", "--free-ports"]


def _uids(stack: TemporaryStack) -> set[int]:
    """Of every process but the supervisor."""
    return {Path(f"/proc/{pid}").stat().st_uid for pid in stack.endpoints.processes.values()}


async def _sell(stack: TemporaryStack) -> None:
    async with merchant_of(stack) as whole:
        await whole.pay_well(within_s=20)


async def test_root_whose_home_is_closed(open_tmp_path: Path) -> None:
    """The checkout and its Python lie in a home of mode 0700; no option is given."""
    home = open_tmp_path / "home"
    checkout = home / "turnout"
    checkout.mkdir(parents=True)
    home.chmod(0o700)
    steps = [bind(CHECKOUT, checkout), mount_memory(CHECKOUT)]  # it is nowhere else
    # The places that a stack of this machine's owner would use, if one ran.
    steps += [mount_memory(Path("/var/lib")), mount_memory(Path("/run"))]
    async with stack_with_mounts(
        steps,
        _turnout_up(checkout),
        data_dir=Path("/var/lib/turnout"),
        log_file=open_tmp_path / "up.log",
        environ=_environment(home, checkout),
    ) as stack:
        assert len(_uids(stack)) == len(stack.endpoints.processes)
        assert 0 not in _uids(stack)
        await _sell(stack)
    assert stack.exit_code == 0
    assert NOT_SEPARATED not in stack.log_file.read_text()


async def test_an_ordinary_user(open_tmp_path: Path) -> None:
    """Everything runs as that user, in its home, and it is said what that means."""
    home = open_tmp_path / "home"
    home.mkdir()
    os.chown(home, ORDINARY.pw_uid, ORDINARY.pw_gid)
    become = ["setpriv", "--reuid", str(ORDINARY.pw_uid), "--regid", str(ORDINARY.pw_gid)]
    async with stack_with_mounts(
        keep_within_reach(
            [Path(sys.base_prefix), CHECKOUT, Path(sys.prefix)], open_tmp_path / "spare"
        ),
        [*become, "--clear-groups", *_turnout_up(CHECKOUT)],
        data_dir=home / ".local" / "share" / "turnout",
        log_file=open_tmp_path / "up.log",
        environ=_environment(home, CHECKOUT),
    ) as stack:
        assert _uids(stack) == {ORDINARY.pw_uid}
        await _sell(stack)
    assert stack.exit_code == 0
    assert NOT_SEPARATED in stack.log_file.read_text()
