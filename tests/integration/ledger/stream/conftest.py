"""Every back end that the tests of the stream's interface run over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka_backend import KafkaBackend
from tests.support.kafka_cluster import Cluster, running_cluster
from tests.support.stream import Backend, SegmentsBackend


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers for all tests that want them; the last test of the folder kills one."""
    with running_cluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster


@pytest.fixture(params=["segments", pytest.param("kafka", marks=pytest.mark.kafka)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """An empty stream of one back end."""
    if request.param == "segments":
        return SegmentsBackend(tmp_path)
    return KafkaBackend.create(request.getfixturevalue("kafka_cluster").bootstrap)
