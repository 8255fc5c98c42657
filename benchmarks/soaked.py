"""An agent of the soak: logs numbered thoughts and notes each number once its call has returned.

``python -m benchmarks.soaked DATABASE LEDGER NAME SECONDS``. The ledger outlives a kill as the spool does:
one ``write`` a number, after the call.
"""

from __future__ import annotations

import os
import random
import sys
import time

from stepstream import ObservabilityProvider, Thought


def main() -> None:
    """Log until the time is over or somebody kills us."""
    database, ledger, name, seconds = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
    descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    ends = time.monotonic() + seconds
    number = 0
    with ObservabilityProvider(database) as provider, provider.episode(name, agent=name) as episode:
        while time.monotonic() < ends:
            for _ in range(random.randrange(1, 400)):
                episode.log_event(Thought(text=f"{number} " + "x" * random.randrange(2000)))
                os.write(descriptor, b"%d\n" % number)
                number += 1
            time.sleep(random.random() / 50)


if __name__ == "__main__":
    main()
