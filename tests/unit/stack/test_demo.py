"""What the demo prints and how it ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chassis.settings import Log, Settings
from stack.demo import demo_document, demo_main, exit_status
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
