"""One stack and one browser for all tests of this folder; a page of its own for each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from stack.temporary import TemporaryStack
from tests.support.browser import WAIT_MS, Merchant, chromium, serve_site, stack_in_a_thread
from turnout_client import Turnout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser."""
    for item in items:
        item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def stack() -> Iterator[TemporaryStack]:
    """A stack with a demo shop."""
    with stack_in_a_thread() as stack:
        yield stack


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without cookies or storage of an earlier one."""
    context = browser.new_context(viewport={"width": 480, "height": 640})
    context.set_default_timeout(WAIT_MS)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def merchant(stack: TemporaryStack) -> Iterator[Merchant]:
    """The demo shop's merchant with a page of its own, whose origin is registered."""
    credentials = stack.credentials()
    with (
        Turnout(credentials.publishable_key, credentials.secret_key, credentials.api_url) as client,
        serve_site() as site,
    ):
        set_origins(stack, site.url, *shop_origins(stack))
        yield Merchant(stack, client, site)


def shop_origins(stack: TemporaryStack) -> list[str]:
    """Where the demo shop is."""
    assert stack.endpoints.shop is not None
    return [stack.endpoints.shop]


def set_origins(stack: TemporaryStack, *origins: str) -> None:
    """As an operator does."""
    command = [sys.executable, "-P", "-m", "turnout", "merchants", "origins", "set"]
    command += [stack.credentials().merchant, *origins, "--data-dir", str(stack.data_dir)]
    environment = os.environ | {"XDG_CONFIG_HOME": "/nonexistent"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
