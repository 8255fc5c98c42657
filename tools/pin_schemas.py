"""Pin the JSON schema of every core kind to its version: `./dev run tools/pin_schemas.py`.

A version that is pinned stays as it is for ever, for old databases hold it. Change a payload class, and its
version goes up, with an upcast from the version before; then run this to add the new one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stepstream.schemas import core
from stepstream.schemas.record import JsonObject

PINS = Path(core.__file__).with_name("core_schemas.json")

Pins = dict[str, dict[str, JsonObject]]


def read_pins() -> Pins:
    """The pinned schemas: by kind, by version."""
    if not PINS.exists():
        return {}
    pins: Pins = json.loads(PINS.read_text("utf-8"))
    return pins


def current_schemas() -> dict[tuple[str, str], JsonObject]:
    """The schema of every core kind as its class is now."""
    return {
        (kind, str(cls.schema_version)): cls.model_json_schema(mode="serialization")
        for kind, cls in core.CORE_KINDS.items()
    }


def changed(pins: Pins) -> list[str]:
    """Each kind whose class has changed under a version that is pinned."""
    return [
        f"{kind} version {version}"
        for (kind, version), schema in current_schemas().items()
        if pins.get(kind, {}).get(version, schema) != schema
    ]


def main(arguments: list[str]) -> int:
    """Add what is not pinned yet; `--repin` also replaces, which only a release that nobody has may do."""
    pins = read_pins()
    differing = changed(pins)
    if differing and "--repin" not in arguments:
        print(
            f"changed without a new version: {', '.join(differing)}; raise the version in the class statement"
        )
        return 1
    for (kind, version), schema in current_schemas().items():
        pins.setdefault(kind, {})[version] = schema
    text = json.dumps(pins, indent=1, sort_keys=True, ensure_ascii=False)
    PINS.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
