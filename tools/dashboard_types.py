"""Writes the TypeScript types of the dashboard from the OpenAPI document of the server.

``./dev run python tools/dashboard_types.py`` rewrites dashboard/src/api/schema.ts; with ``--check`` it writes
nothing, and exits 1 when the file is out of date. What the server answers has all of its fields, also those
that have a default, so none is optional. Knows JSON schema and TypeScript; must not know what models mean.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

from http_reference import document
from stepstream.schemas.record import JsonObject

FILE = Path(__file__).resolve().parent.parent / "dashboard/src/api/schema.ts"

_HEAD = """\
// Written by tools/dashboard_types.py from the OpenAPI document of the server; do not edit.
// Times are nanoseconds since 1970 UTC. As numbers of JavaScript they are true to a quarter of a microsecond.

"""
_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_JSON_VALUE = "string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }"


def types(described: JsonObject) -> str:
    """The file: every model of the document, sorted by name."""
    schemas = cast("dict[str, dict[str, JsonObject]]", described["components"])["schemas"]
    return _HEAD + "\n".join(_declared(name, schemas[name]) for name in sorted(schemas))


def _declared(name: str, schema: JsonObject) -> str:
    comment = _comment(schema, "")
    if name == "JsonValue":
        return f"{comment}export type JsonValue = {_JSON_VALUE};\n"
    if "properties" not in schema:
        return f"{comment}export type {name} = {_type(schema)};\n"
    properties = cast("dict[str, JsonObject]", schema["properties"])
    fields = "".join(
        f"{_comment(each, '  ')}  {field}: {_type(each)};\n" for field, each in properties.items()
    )
    return f"{comment}export interface {name} {{\n{fields}}}\n"


def _comment(schema: JsonObject, indent: str) -> str:
    text = schema.get("description")
    if not isinstance(text, str):
        return ""
    # What follows the first paragraph of a docstring lists the fields, which have comments of their own.
    words = " ".join(text.split("\n\n")[0].split()).replace("*/", "* /")
    return f"{indent}/** {words} */\n"


def _type(schema: JsonObject) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices is not None:
        return " | ".join(dict.fromkeys(_type(each) for each in cast("list[JsonObject]", choices)))
    values = [schema["const"]] if "const" in schema else cast("list[str]", schema.get("enum") or [])
    if values:
        return " | ".join(json.dumps(value) for value in values)
    match schema.get("type"):
        case "array":
            return _array(schema)
        case "object":
            return _object(schema)
        case other:
            return _SCALARS.get(str(other), "JsonValue")


def _object(schema: JsonObject) -> str:
    values = schema.get("additionalProperties")
    inner = _type(values) if isinstance(values, dict) else "JsonValue"
    return f"{{ [key: string]: {inner} }}"


def _array(schema: JsonObject) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(each) for each in cast('list[JsonObject]', schema['prefixItems']))}]"
    items = _type(cast("JsonObject", schema.get("items") or {}))
    return f"({items})[]" if " | " in items else f"{items}[]"


def main(arguments: list[str]) -> int:
    """Rewrite the file, or say whether it is out of date."""
    text = types(document())
    is_current = FILE.is_file() and FILE.read_text("utf-8") == text
    if arguments == ["--check"]:
        if not is_current:
            print(
                f"{FILE.name} is out of date; run: ./dev run python tools/dashboard_types.py", file=sys.stderr
            )
        return 0 if is_current else 1
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
