"""Roles by user id: each may do its own work and nothing else."""

from __future__ import annotations

from typing import get_args

import pytest

from hsm_sim.policy import Policy
from hsm_sim.wire import (
    ChangeSessionKey,
    GenerateSessionKey,
    HSMRequest,
    ImportSessionKey,
    ListKeys,
    ListNetworkKeys,
    LoadKek,
    Macs,
    OpenCards,
    ReleaseCards,
    SealSecrets,
    UnsealSecrets,
)

SEPARATE = Policy({"switch": 1001, "api": 1002, "admin": 1003, "postgres": 1004})
REQUESTS: list[HSMRequest] = [
    OpenCards([]),
    ReleaseCards("capture", []),
    Macs(),
    ImportSessionKey("vsim", "01", "", ""),
    GenerateSessionKey("vsim", "01"),
    ChangeSessionKey("vsim", "01", "promote"),
    UnsealSecrets([], []),
    SealSecrets([], []),
    LoadKek("vsim", [], []),
    ListNetworkKeys(),
    ListKeys(),
]


@pytest.mark.parametrize(
    ("uid", "permitted"),
    [
        (
            1001,
            [
                OpenCards,
                ReleaseCards,
                Macs,
                ImportSessionKey,
                GenerateSessionKey,
                ChangeSessionKey,
                ListNetworkKeys,
                ListKeys,
            ],
        ),
        (1002, [UnsealSecrets, SealSecrets, ListKeys]),
        (1003, [SealSecrets, LoadKek, ListNetworkKeys, ListKeys]),
        (1004, []),
        (0, []),
        (None, []),
    ],
)
def test_each_role_has_its_own_requests(uid: int | None, permitted: list[type]) -> None:
    """The matrix of roles and requests, with strangers, root and peers of unknown user."""
    allowed = [type(request) for request in REQUESTS if SEPARATE.permits(uid, request)]
    assert allowed == permitted


def test_only_users_with_a_role_may_connect() -> None:
    """A role that the HSM does not know opens no door."""
    assert SEPARATE.uids == {1001, 1002, 1003}


def test_one_user_for_all_roles_has_every_role() -> None:
    """Where processes are not separated, their common user may do all."""
    shared = Policy({"switch": 1000, "api": 1000, "admin": 1000})
    assert all(shared.permits(1000, request) for request in REQUESTS)
    assert not any(shared.permits(0, request) for request in REQUESTS)


def test_what_is_no_request_is_not_permitted() -> None:
    """Deny by default."""
    assert not SEPARATE.permits(1001, object())


def test_every_request_has_its_line_in_the_matrix() -> None:
    """A request that is new and in no role would be refused to all; one without a test is not."""
    assert {type(request) for request in REQUESTS} == set(get_args(HSMRequest))
