"""What the demo prints and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from chassis.settings import Log, Network, Settings
from stack.demo import (
    demo_document,
    demo_main,
    exit_status,
    hurried,
    place_option,
    said_of_hurry,
)
from stack.options import Place
from stack.stories import STORIES, Told
from tests.support import payments

GOOD = Told(story=STORIES[0], payment=payments.approved())
BAD = Told(story=STORIES[1], payment=payments.approved(), problem="is succeeded")


@pytest.mark.parametrize(
    ("told", "stack_exit_code", "status"),
    [([GOOD], 0, 0), ([GOOD, BAD], 0, 1), ([], 0, 0), ([GOOD], 1, 1), ([BAD], 130, 130)],
)
def test_one_wrong_story_is_a_fault(
    told: Sequence[Told], stack_exit_code: int, status: int
) -> None:
    """Every story must end as named; how the stack stopped comes first."""
    assert exit_status(told, stack_exit_code) == status


def test_the_document_has_an_entry_for_every_story() -> None:
    """A story that did not get as far as a payment is in it too, with nothing to show."""
    untold = Told(story=STORIES[2], payment=None, problem="ConnectionLostError: no answer")
    first, second = demo_document([GOOD, untold])["payments"]
    assert first == {"story": "approved", **payments.approved().document()}
    assert second == {"story": "late", "intent": None, "status": None, "transactions": []}


def test_a_live_stack_has_no_demo(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In live mode nothing is started, and the reason is said."""
    folder = tmp_path_factory.mktemp("live")
    settings = Settings(mode="live", log=Log(level="error"))
    assert demo_main(Place(settings, folder / "data"), leave=True, as_json=True) == 3
    assert 'mode = "test"' in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_simulated_networks_are_not_inquired_of_for_long() -> None:
    """Shorter than usual, and the demo says by how much, of which networks."""
    settings = hurried(Settings())
    assert {network.inquiry_window_s for network in settings.networks.values()} == {3.0}
    [line] = said_of_hurry(settings)
    assert "vsim or msim" in line
    assert "for 3 s and then reversed (`turnout up`: 30 s)" in line


def test_a_network_of_somebody_s_own_is_left_alone() -> None:
    """A real one, and one whose window is short already; then there is nothing to say."""
    networks = {
        "real": Network(simulate=False),
        "quick": Network(inquiry_times_s=(0.1,), inquiry_window_s=0.5),
    }
    settings = Settings(networks=networks)
    assert hurried(settings) == settings
    assert list(said_of_hurry(hurried(settings))) == []


def test_other_commands_are_told_where_the_stack_is() -> None:
    """Ready to paste into any folder; nothing, where they look by themselves."""
    assert place_option(Settings(), Path("/var/lib/turnout")) == ""
    elsewhere = place_option(Settings(data_dir="my data"), Path("/tmp/my data"))
    assert elsewhere == " --data-dir '/tmp/my data'"
