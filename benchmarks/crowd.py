"""A process of many stream clients: ``python -m benchmarks.crowd PORT CLIENTS FILTER``.

Says ``live`` when all of them are, then reads lines: ``mark`` forgets what was measured, ``report`` prints as
JSON how late steps came (ms from the call, one sample a client and step, thinned), how many steps each client
has, and how often it had to come back, ``end`` ends. A client that is cut comes back with the last id it saw.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from urllib.parse import quote

import uvloop

from benchmarks.agent import called_at

_MARK = b'"payload":{"text":"'
_DIGITS = 20
_SAMPLES_MAX = 200_000


class Crowd:
    """Clients that count what they get."""

    def __init__(self, port: int, count: int, filter: str) -> None:
        self._port = port
        self._filter = filter
        self.count = count
        self.samples: list[float] = []
        self.steps = [0] * count
        self.cuts = 0
        self.everybody_is_live = asyncio.Event()
        self._live = [False] * count
        self._last: list[str | None] = [None] * count

    async def client(self, index: int) -> None:
        """Follow for ever; come back when cut."""
        while True:
            # Whatever ends a connection, the next one goes on behind the last id.
            with suppress(OSError):
                await self._follow(index)
            self.cuts += self._live[index]
            self._live[index] = False
            self.everybody_is_live.clear()
            await asyncio.sleep(random.uniform(0.0, 0.3))

    async def _follow(self, index: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        try:
            last = self._last[index]
            resume = "" if last is None else f"last-event-id: {last}\r\n"
            target = f"/api/v1/events?filter={quote(self._filter)}"
            writer.write(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n{resume}\r\n".encode())
            if b" 200 " not in await reader.readline():
                return
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    self._last[index] = line[4:].strip().decode()
                elif line.startswith(b"event: live"):
                    self._live[index] = True
                    if all(self._live):
                        self.everybody_is_live.set()
                elif line.startswith(b"data: "):
                    self._take(index, line)
        finally:
            writer.close()

    def _take(self, index: int, line: bytes) -> None:
        now = time.monotonic_ns()
        at = line.find(_MARK)
        while at >= 0:
            digits = line[at + len(_MARK) : at + len(_MARK) + _DIGITS]
            self.steps[index] += 1
            if len(self.samples) < _SAMPLES_MAX:
                self.samples.append((now - called_at(digits.decode())) / 1e6)
            at = line.find(_MARK, at + 1)


async def main() -> None:
    """Follow as asked."""
    crowd = Crowd(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    tasks = [asyncio.create_task(crowd.client(index)) for index in range(crowd.count)]
    await crowd.everybody_is_live.wait()
    print("live", flush=True)
    loop = asyncio.get_running_loop()
    while (line := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) not in {"", "end"}:
        if line == "mark":
            crowd.samples.clear()
            crowd.steps = [0] * crowd.count
            crowd.cuts = 0
            print("marked", flush=True)
        elif line == "live":
            await crowd.everybody_is_live.wait()
            print(time.monotonic_ns(), flush=True)
        else:
            report = {
                "samples": crowd.samples,
                "steps": crowd.steps,
                "cuts": crowd.cuts,
            }
            print(json.dumps(report), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
