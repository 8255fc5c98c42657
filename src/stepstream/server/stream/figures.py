"""The figures of the stream, for metrics and health."""

from __future__ import annotations

from stepstream.schemas.record import Record


class StreamReport(Record):
    """How the live stream stands.

    Attributes:
        clients: How many are connected.
        channels: How many different questions they ask.
        clients_total: How many ever came.
        clients_cut: How many were cut because they fell behind, did not read, or sent too much.
        clients_refused: How many were refused because there were too many.
        steps_sent: How many steps were told; one that is told to a hundred clients counts a hundred.
        steps_unreadable: How many steps the stream had to leave out.
        deltas_dropped: How many deltas came faster than they could be passed on.
        ring_steps: How many steps the ring holds.
        ring_bytes: How many bytes of JSON they are.
        cursor: The cursor up to which clients can be told; None while nobody listens.
        lag_ns: How long after its commit the newest step was there to be told.
        trouble: What keeps it from telling everything; None where nothing does.
    """

    clients: int
    channels: int
    clients_total: int
    clients_cut: int
    clients_refused: int
    steps_sent: int
    steps_unreadable: int
    deltas_dropped: int
    ring_steps: int
    ring_bytes: int
    cursor: int | None
    lag_ns: int
    trouble: str | None
