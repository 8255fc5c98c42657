"""The description of the API: complete, and true of what is answered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import pytest
import schemathesis
from fastapi import APIRouter, FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import load_all_checks
from schemathesis.generation import GenerationMode
from tests.support.reading_server import API, ReadingServer, serving

from stepstream import ErrorReport, ObservabilityProvider, Thought
from stepstream.schemas.core import CORE_KINDS
from stepstream.server.openapi import api_document
from stepstream.server.routes import posting
from stepstream.server.routes.reading import api_router

Node = dict[str, Any]
CONTENT = b"solid part"


class Described(NamedTuple):
    """A server, its description, and values for its paths that name something."""

    server: ReadingServer
    document: Node
    schema: schemathesis.BaseSchema
    known: dict[str, str]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    folder = tmp_path_factory.mktemp("schema")
    database = folder / "history.db"
    (folder / "part.stl").write_bytes(CONTENT)
    with (
        ObservabilityProvider(database, committer="thread") as provider,
        provider.episode("Design", agent="planner", tags=("demo",)) as episode,
    ):
        thought = episode.log_event(Thought(text="begin"))
        with episode.tool_call("mesh", {"size": [1, {"a": None}]}) as call:
            call.observe({"nodes": 7})
        episode.log_event(ErrorReport(message="diverged"))
        episode.attach(folder / "part.stl")
        provider.flush()
        load_all_checks()
        with serving(database) as server:
            yield Described(
                server,
                cast("Node", server.get("/openapi.json")),
                schemathesis.openapi.from_url(f"{server.url}{API}/openapi.json"),
                {
                    "episode": "@last",
                    "step_id": thought.id,
                    "sha256": hashlib.sha256(CONTENT).hexdigest(),
                },
            )


def described_app() -> Node:
    """The description of the reading API and of posting, made without a server."""
    app = FastAPI()
    api = APIRouter(prefix=API)
    api.include_router(api_router())
    api.include_router(posting.router)
    app.include_router(api)
    return cast("Node", api_document(app))


def operations(document: Node, *, with_parameters: bool = False) -> list[tuple[str, str]]:
    """Method and path of every operation of the reading API."""
    return [
        (method, path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not {"stream", "posting"} & set(operation["tags"])
        if operation.get("parameters") or not with_parameters
    ]


DOCUMENT = described_app()
HYPOTHESIS = settings(
    max_examples=8, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize(("method", "path"), operations(DOCUMENT))
def test_what_is_answered_is_as_described(described: Described, method: str, path: str) -> None:
    """Asked rightly about what is there, nothing fails, and status, headers and body are as the description says."""
    operation = described.schema[path][method]
    known = {name: value for name, value in described.known.items() if f"{{{name}}}" in path}

    @given(case=operation.as_strategy(path_parameters=known))
    @HYPOTHESIS
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=_excluded())

    ask()


@pytest.mark.parametrize(("method", "path"), operations(DOCUMENT, with_parameters=True))
def test_what_does_not_fit_is_refused(described: Described, method: str, path: str) -> None:
    """Asked wrongly, nothing fails inside and nothing is answered as if it were right."""
    operation = described.schema[path][method]

    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @HYPOTHESIS
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=_excluded())

    ask()


def _excluded() -> list[Any]:
    checks = schemathesis.checks.CHECKS
    # A filter may be any text, and most texts are none. Who is let in is the guard's business.
    return [checks.get_one("positive_data_acceptance"), checks.get_one("ignored_auth")]


# -- the description itself


def schemas(document: Node) -> dict[str, Node]:
    return cast("dict[str, Node]", document["components"]["schemas"])


def nodes(node: object) -> Iterator[Node]:
    """Every object inside of one."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from nodes(child)


def every_operation(document: Node) -> list[tuple[str, Node]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_server_describes_itself_so(described: Described) -> None:
    """What the server answers as its description is the one that is made of its routes, with the stream in it."""
    assert described.document["openapi"].startswith("3.1")
    assert {f"{API}/events", f"{API}/ws", f"{API}/steps"} <= described.document["paths"].keys()
    assert not [each for each in described.document.get("servers", []) if "://" in each["url"]]


def test_everything_that_is_named_is_there() -> None:
    """Every reference leads to a schema, and every schema is referred to."""
    referred = {node["$ref"].rpartition("/")[2] for node in nodes(DOCUMENT) if "$ref" in node}

    assert referred == set(schemas(DOCUMENT))


def test_everything_is_described() -> None:
    """Operations, parameters, models and properties each have a sentence."""
    undescribed = [
        *(name for name, operation in every_operation(DOCUMENT) if not operation.get("description")),
        *(
            f"{name}?{parameter['name']}"
            for name, operation in every_operation(DOCUMENT)
            for parameter in operation.get("parameters", ())
            if not parameter.get("description")
        ),
        *(
            f"{name}.{field}"
            for name, schema in schemas(DOCUMENT).items()
            for field, property_schema in schema.get("properties", {}).items()
            if not property_schema.get("description")
        ),
    ]

    assert undescribed == []
    assert not [
        name for name, schema in schemas(DOCUMENT).items() if "Attributes:" in schema.get("description", "")
    ]


def test_no_two_enums_share_a_name() -> None:
    """What a payload's field may be is what the payload's own schema says, not another enum of that name."""
    described = DOCUMENT["components"]["schemas"]
    for payload in CORE_KINDS.values():
        for name, schema in payload.model_json_schema().get("$defs", {}).items():
            if "enum" in schema:
                assert described[name]["enum"] == schema["enum"], (payload.kind, name)


def test_operations_are_called_as_their_functions() -> None:
    """Each has a name of its own, which does not change when its path does."""
    names = [operation["operationId"] for _, operation in every_operation(DOCUMENT)]

    assert len(set(names)) == len(names)
    assert {"list_steps", "get_episode", "list_episode_steps", "post_steps", "stream_events"} <= set(names)
    assert all(name.isidentifier() and "api_v1" not in name for name in names)


def test_every_problem_has_one_shape() -> None:
    """Each operation says with which problems it answers, all of them problem details."""
    for name, operation in every_operation(DOCUMENT):
        problems = {status: each for status, each in operation["responses"].items() if status[0] in "45d"}
        assert "default" in problems, name
        for each in problems.values():
            assert each["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
            }, name
        is_open = operation["tags"] == ["health"]
        assert ("401" in problems, operation.get("security")) == ((not is_open), [] if is_open else None), (
            name
        )
    assert set(DOCUMENT["components"]["securitySchemes"]) == {"bearer", "session"}


def test_what_is_sent_is_described() -> None:
    """Whoever posts knows what to send, how each success is told, and every refusal that asks something of him."""
    put = DOCUMENT["paths"][f"{API}/artifacts/{{sha256}}/bytes"]["put"]
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

    assert put["requestBody"] == {"required": True, "content": binary}
    assert [status for status in put["responses"] if status[0] == "2"] == ["201", "204"]
    assert {"411", "413", "422", "507"} <= put["responses"].keys()
    assert "404" not in put["responses"]
    for path in ("steps", "kinds"):
        assert {"200", "413", "415", "422"} <= DOCUMENT["paths"][f"{API}/{path}"]["post"]["responses"].keys()


def test_a_step_is_told_apart_by_its_kind() -> None:
    """There is a step for each kind of the core, with that kind's payload, and one for all others."""
    found = schemas(DOCUMENT)
    mapping = found["CoreStep"]["discriminator"]["mapping"]

    assert set(mapping) == set(CORE_KINDS)
    assert [each["$ref"] for each in found["CoreStep"]["oneOf"]] == list(mapping.values())
    assert [each["$ref"].rpartition("/")[2] for each in found["Step"]["oneOf"]] == ["CoreStep", "OtherStep"]
    for kind, model in CORE_KINDS.items():
        properties = found[f"{model.__name__}Step"]["properties"]
        assert properties["kind"]["const"] == kind
        assert properties["payload"]["$ref"].endswith(f"/{model.__name__}")
    assert set(found["OtherStep"]["properties"]["kind"]["not"]["enum"]) == set(CORE_KINDS)


def test_an_answer_has_every_property() -> None:
    """Only what clients send may leave out a property; an answer never does."""
    found = schemas(DOCUMENT)

    assert set(found["ModelReply"]["required"]) == set(found["ModelReply"]["properties"])
    assert set(found["ProblemDetails"]["required"]) == set(found["ProblemDetails"]["properties"])
    assert "payload" in found["PostedStep"]["required"]
    assert "agent" not in found["PostedStep"]["required"]


def test_no_parameter_is_null() -> None:
    """In a query there is no null; what may be left out is not required."""
    parameters = [
        each for _, operation in every_operation(DOCUMENT) for each in operation.get("parameters", ())
    ]

    assert parameters
    assert not [each["name"] for each in parameters if "anyOf" in each["schema"]]


def test_the_stream_is_described_with_its_messages() -> None:
    """Its events are messages told apart by their type."""
    content = DOCUMENT["paths"][f"{API}/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]

    assert content["schema"]["contentSchema"]["$ref"].endswith("/StreamMessage")
    assert set(schemas(DOCUMENT)["StreamMessage"]["discriminator"]["mapping"]) == {
        "steps",
        "live",
        "deltas",
        "reset",
    }
