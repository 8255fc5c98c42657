"""What is wrong with the stream: stated while it lasts, and logged once."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepstream.errors import Busy, Corrupt
from stepstream.server.stream.trouble import Trouble


def test_a_failure_is_stated_while_it_lasts_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """What fails again and again makes one line in the log, and what works is not mentioned any more."""
    trouble = Trouble()
    for _ in range(5):
        trouble.fail("the ring", Busy(Path("history.db"), 2))
    stated = trouble.text
    trouble.work("the past")
    still = trouble.text
    trouble.work("the ring")

    assert stated is not None
    assert "Busy" in stated
    assert (still, trouble.text) == (stated, None)
    assert len(caplog.records) == 1


def test_a_step_that_is_left_out_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many clients meet it, and until another database takes the place of this one."""
    trouble = Trouble()
    trouble.begin("first")
    for _ in range(3):
        trouble.miss([str(Corrupt(Path("history.db"), "step 1")), str(Corrupt(Path("history.db"), "step 2"))])
    trouble.begin("first")
    before = trouble.missing, trouble.text
    trouble.begin("second")

    assert before[0] == 2
    assert "step 2" in (before[1] or "")
    assert (trouble.missing, trouble.text) == (0, None)
    assert len(caplog.records) == 2


def test_only_so_many_are_remembered() -> None:
    """A file that is damaged all over does not fill the memory."""
    trouble = Trouble()
    trouble.miss([str(number) for number in range(3_000)])

    assert trouble.missing == 3_000
    assert len(trouble._missed) == 1_000
