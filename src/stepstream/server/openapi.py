"""The description of the API: OpenAPI 3.1, made from the same models that answer.

FastAPI describes the routes; here is added what it cannot know: the stream, which is no route of its own, the
one shape of all errors, who may ask, and that a step's kind tells what its payload is. Every property is
described by its model's docstring.

Knows JSON Schema. Must not know what routes do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from stepstream.reading.filter import CHARACTERS_MAX
from stepstream.schemas.core import CORE_KINDS
from stepstream.schemas.release import RELEASE
from stepstream.schemas.step import Step
from stepstream.schemas.stream import StreamMessage
from stepstream.server.auth.sessions import cookie_name
from stepstream.server.field_notes import NOTES
from stepstream.server.problems import PROBLEM_JSON, ProblemDetails
from stepstream.server.routes.posting import POSTED_MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI
    from pydantic import BaseModel

    from stepstream.schemas.record import JsonObject

API_ROOT = "/api/v1"
"""Where the API begins."""

_SCHEMAS = "#/components/schemas/"
_TEMPLATE = _SCHEMAS + "{model}"
_OPEN_TAG = "health"
_POSTING_TAG = "posting"

_Node = dict[str, Any]

_SUMMARY = "What agents did, and what they do now."
_DESCRIPTION = """\
Times are nanoseconds since 1970-01-01 UTC, ids are UUIDs. Lists answer `items` and `next`; pass `next` as
the parameter that the list names, until it is null. A page is bounded in items, in bytes and in the time it
takes, so that one that a filter leaves little of may be empty and still have a next one. A filter is written
as in `kind:tool_call tool:mesh* status:error dur>5s since:-1h "free text"`.
"""

_JSON_VALUE: _Node = {
    "description": "Any JSON.",
    "anyOf": [
        {"type": "string"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        # Said of its members too, TypeScript would find the type inside of itself.
        {"type": "array", "items": {}},
        {"type": "object", "additionalProperties": {"$ref": _SCHEMAS + "JsonValue"}},
    ],
}

_PROBLEMS = {
    "400": "The filter or the query cannot be read; `position` says where a filter went wrong.",
    "401": "Nobody is known who asks.",
    "403": "Whoever asks may not do this.",
    "404": "There is no such thing.",
    "411": "The length of the body is not stated.",
    "413": "The body is too long.",
    "415": "The body is of another media type.",
    "422": "A parameter or the body does not fit; `problems` names what.",
    "503": "The database is not there, or has no time; try again.",
    "507": "There is no room for it now; try again.",
    "default": "The request was not answered.",
}


def describe_api(app: FastAPI) -> None:
    """Let an app describe itself so; the description is made once, when it is first asked for."""

    def described() -> _Node:
        if not app.openapi_schema:
            app.openapi_schema = cast("_Node", api_document(app))
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def api_document(app: FastAPI) -> JsonObject:
    """Every route of an app and the stream, as OpenAPI 3.1."""
    document = get_openapi(
        title="stepstream",
        version=RELEASE,
        openapi_version="3.1.0",
        summary=_SUMMARY,
        description=_DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= {name: schema for name, schema in _more_schemas().items() if name not in schemas}
    schemas["JsonValue"] = _JSON_VALUE
    _tell_steps_apart(schemas)
    document["paths"] |= _stream_paths()
    for name, schema in schemas.items():
        _describe_properties(name, schema)
    _require_what_is_answered(document)
    _state_access(document)
    for path, method, operation in _operations(document):
        _name(path, method, operation)
        _simplify_parameters(operation)
        _state_problems(path, method, operation)
    _drop_unused(document)
    return document


def _operations(document: _Node) -> Iterator[tuple[str, str, _Node]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


# -- schemas


def _more_schemas() -> _Node:
    """What no route's signature names."""
    models: list[type[BaseModel]] = [*CORE_KINDS.values(), ProblemDetails, Step]
    answered = models_json_schema([(model, "serialization") for model in models], ref_template=_TEMPLATE)[1]
    message = TypeAdapter(StreamMessage).json_schema(mode="serialization", ref_template=_TEMPLATE)
    streamed = message.pop("$defs")
    message["description"] = (
        "One message of the WebSocket, and the data of one event of the stream, which is named by its type."
    )
    taken = models_json_schema([(model, "validation") for model in POSTED_MODELS], ref_template=_TEMPLATE)[1]
    return cast("_Node", taken.get("$defs", {}) | streamed | answered["$defs"] | {"StreamMessage": message})


def _tell_steps_apart(schemas: _Node) -> None:
    """Make the step a union told apart by its kind, with one member for the kinds of projects."""
    base = schemas["Step"]
    variants: dict[str, str] = {}
    for kind, model in CORE_KINDS.items():
        name = f"{model.__name__}Step"
        variants[kind] = _SCHEMAS + name
        schemas[name] = _variant(
            base, name, {"const": kind, "type": "string"}, {"$ref": _SCHEMAS + model.__name__}
        )
    other = {"type": "string", "not": {"enum": sorted(CORE_KINDS)}}
    anything = {"type": "object", "additionalProperties": {"$ref": _SCHEMAS + "JsonValue"}}
    schemas["OtherStep"] = _variant(base, "OtherStep", other, anything)
    schemas["CoreStep"] = {
        "title": "CoreStep",
        "description": "A step of one of stepstream's own kinds, which tells what its payload is.",
        "oneOf": [{"$ref": ref} for ref in variants.values()],
        "discriminator": {"propertyName": "kind", "mapping": variants},
    }
    schemas["Step"] = {
        "title": "Step",
        "description": "One atomic thing that happened in an episode.",
        "oneOf": [{"$ref": _SCHEMAS + "CoreStep"}, {"$ref": _SCHEMAS + "OtherStep"}],
    }


def _variant(base: _Node, name: str, kind: _Node, payload: _Node) -> _Node:
    properties = base["properties"] | {"kind": kind, "payload": payload}
    return base | {"title": name, "properties": {each: dict(schema) for each, schema in properties.items()}}


_SECTION = re.compile(r"\n+\s*Attributes:\n(?P<rows>(?:[ \t]+.*\n?|\n)*)")
_ROW = re.compile(r"^\s{4}(\w+): (.+(?:\n\s{5,}.+)*)", re.MULTILINE)


def _describe_properties(name: str, schema: _Node) -> None:
    """Move what a docstring says of each attribute to where a client looks for it."""
    text = str(schema.get("description", ""))
    section = _SECTION.search(text + "\n")
    rows = dict(_ROW.findall(section["rows"])) if section else {}
    rows |= NOTES.get(name, {})
    if section:
        schema["description"] = text[: section.start()].rstrip()
    for field, property_schema in schema.get("properties", {}).items():
        if field in rows and "description" not in property_schema:
            property_schema["description"] = " ".join(rows[field].split())


def _require_what_is_answered(document: _Node) -> None:
    """Every answer has every property; only what clients send may leave out what has a default."""
    sent = _reachable(document, [operation.get("requestBody", {}) for *_, operation in _operations(document)])
    for name, schema in document["components"]["schemas"].items():
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])


def _reachable(document: _Node, roots: Iterable[object]) -> set[str]:
    """The names of the schemas that something refers to, directly or not."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str) and ref.startswith(_SCHEMAS) and ref[len(_SCHEMAS) :] not in found:
                found.add(ref[len(_SCHEMAS) :])
                waiting.append(schemas.get(ref[len(_SCHEMAS) :]))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return found


def _drop_unused(document: _Node) -> None:
    schemas = document["components"]["schemas"]
    used = _reachable(document, [document["paths"]])
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(used) if name in schemas}


# -- operations


def _name(path: str, method: str, operation: _Node) -> None:
    """Call an operation as its function is called, without the path that FastAPI puts behind."""
    behind = re.sub(r"\W", "_", f"{path}_{method}")
    operation["operationId"] = operation["operationId"].removesuffix(behind)


def _simplify_parameters(operation: _Node) -> None:
    """In a query there is no null: a parameter that may be left out is one that is not required."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        members = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        if len(members) == 1:
            del schema["anyOf"]
            schema.update(members[0])
        schema.pop("description", None)


def _state_problems(path: str, method: str, operation: _Node) -> None:
    """Let every operation say with which problems it may answer."""
    statuses = {"default"}
    parameters = operation.get("parameters", ())
    if operation["tags"] != [_OPEN_TAG]:
        statuses |= {"401", "403"}
    if any(each["name"] == "filter" for each in parameters):
        statuses.add("400")
    if method == "put":
        statuses |= {"411", "507"}
    elif "{" in path or any(each["name"] in {"episode", "before", "parent", "a", "b"} for each in parameters):
        statuses.add("404")
    if parameters or "requestBody" in operation or method == "get":
        statuses.add("422")
    if "requestBody" in operation:
        statuses.add("413")
    if operation["tags"] == [_POSTING_TAG] and method == "post":
        statuses.add("415")
    if path != f"{API_ROOT}/health":
        statuses.add("503")
    responses = operation["responses"]
    responses.pop("422", None)
    content = {PROBLEM_JSON: {"schema": {"$ref": _SCHEMAS + ProblemDetails.__name__}}}
    for status in sorted(statuses):
        responses.setdefault(status, {"description": _PROBLEMS[status], "content": content})


def _state_access(document: _Node) -> None:
    document["components"]["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token, as `stepstream token create` shows it.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie_name(is_https=False, root_path=""),
            "description": "A browser's session. What changes something also wants the header X-CSRF-Token.",
        },
    }
    # Nothing is wanted of programs of the same machine, unless the operator says otherwise.
    document["security"] = [{"bearer": []}, {"session": []}, {}]
    for *_, operation in _operations(document):
        operation.setdefault("tags", ["other"])
        if operation["tags"] == [_OPEN_TAG]:
            operation["security"] = []


# -- the stream


def _stream_paths() -> _Node:
    """The live stream, which is answered without FastAPI."""
    message = {"$ref": _SCHEMAS + "StreamMessage"}
    return {
        f"{API_ROOT}/events": {
            "get": {
                "tags": ["stream"],
                "operationId": "stream_events",
                "summary": "Follow what is recorded",
                "description": (
                    "Server-Sent Events. Each is named by the type of its message and has it as data; those"
                    " that can be resumed behind have `<epoch>:<cursor>` as id. A comment is a heartbeat."
                ),
                "parameters": [
                    *_stream_parameters(),
                    {
                        "name": "Last-Event-ID",
                        "in": "header",
                        "required": False,
                        "description": "As `after`, before which it goes; sent by browsers that reconnect.",
                        "schema": {"type": "string"},
                    },
                ],
                "responses": {
                    "200": {
                        "description": "The stream, which does not end by itself",
                        "content": {
                            "text/event-stream": {
                                "schema": {
                                    "type": "string",
                                    "contentMediaType": "application/json",
                                    "contentSchema": message,
                                }
                            }
                        },
                    }
                },
            }
        },
        f"{API_ROOT}/ws": {
            "get": {
                "tags": ["stream"],
                "operationId": "stream_websocket",
                "summary": "Follow what is recorded, by WebSocket",
                "description": "Each text is one StreamMessage.",
                "parameters": _stream_parameters(),
                "responses": {
                    "101": {
                        "description": "The WebSocket",
                        "content": {"application/json": {"schema": message}},
                    }
                },
            }
        },
    }


def _stream_parameters() -> list[_Node]:
    described = (
        (
            "after",
            "Begin behind this cursor, as `<cursor>` or `<epoch>:<cursor>`; with the newest by default.",
        ),
        ("filter", "What holds for the steps."),
        ("episode", "Only the steps of this episode: its id, the beginning of one, or `@last`."),
    )
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": text,
            "schema": {"type": "string", "maxLength": CHARACTERS_MAX},
        }
        for name, text in described
    ]
