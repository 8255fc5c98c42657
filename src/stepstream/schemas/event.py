"""What a subscriber receives: one cursor, one typed notification, derived from the log."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from stepstream.schemas.record import Record
from stepstream.schemas.step import Step


class StepRecorded(Record):
    """A step was committed.

    Attributes:
        cursor: The step's position; pass the last one seen as ``after`` to resume behind it.
        epoch: Which life of the database the cursor belongs to.
        step: The step.
    """

    type: Literal["step_recorded"] = "step_recorded"
    epoch: str
    cursor: int
    step: Step


class ResetReason(StrEnum):
    """Why a subscriber's cursor means nothing any more."""

    EPOCH_CHANGED = "epoch_changed"
    PRUNED = "pruned"


class Reset(Record):
    """The cursor that was asked for is not of this database's life; what follows starts at ``cursor``."""

    type: Literal["reset"] = "reset"
    epoch: str
    cursor: int
    reason: ResetReason


Event = StepRecorded | Reset
