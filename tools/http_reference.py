"""Writes the routes of the server into the reference of the HTTP API.

``./dev run python tools/http_reference.py`` rewrites the table of docs/reference/http-api.md from the OpenAPI
document of the application; with ``--check`` it writes nothing, and exits 1 when the table is out of date.
Knows the page and the document; must not know what routes do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from stepstream.reading.local_history import LocalHistory
from stepstream.schemas.record import JsonObject
from stepstream.sdk.artifacts import ArtifactStore
from stepstream.server.app import create_app
from stepstream.server.services import Services
from stepstream.server.stream.broadcast import Broadcast
from stepstream.settings import Settings
from stepstream.spool.directory import SpoolDirectory
from stepstream.store.post_office import PostOffice

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/http-api.md"
_BEGIN, _END = "<!-- routes -->\n", "<!-- end of routes -->\n"


def document() -> JsonObject:
    """The OpenAPI document of the server."""
    with tempfile.TemporaryDirectory() as place:
        database, settings = Path(place) / "history.db", Settings()
        spool, office, history = SpoolDirectory(database), PostOffice(), LocalHistory(database)
        try:
            services = Services(
                database=database,
                settings=settings,
                history=history,
                post_office=office,
                artifacts=ArtifactStore(database, settings),
            )
            return cast("JsonObject", create_app(services, Broadcast(database, spool, history)).openapi())
        finally:
            history.close()
            office.close()
            spool.close()


def table(described: JsonObject) -> str:
    """The routes, a row each."""
    rows = sorted(_rows(described))
    head = ("| route | parameters | answers |\n", "|---|---|---|\n")
    return "".join([*head, *(f"| {' | '.join(row)} |\n" for row in rows)])


def _rows(described: JsonObject) -> Iterator[tuple[str, str, str]]:
    paths = cast("dict[str, dict[str, JsonObject]]", described["paths"])
    for path, methods in paths.items():
        for method, operation in methods.items():
            named = cast("list[JsonObject]", operation.get("parameters", []))
            parameters = ", ".join(f"`{each['name']}`" for each in named if each["in"] != "path")
            said = str(operation.get("description") or operation.get("summary", ""))
            yield f"`{method.upper()} {path}`", parameters, said.partition("\n")[0]


def renewed(text: str) -> str:
    """The page with the table as the application says it now."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{table(document())}{_END}{after}"


def main(arguments: list[str]) -> int:
    """Rewrite the page, or with ``--check`` only look."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    text = PAGE.read_text("utf-8")
    fresh = renewed(text)
    if not arguments:
        PAGE.write_text(fresh, "utf-8")
        return 0
    if fresh != text:
        print(f"{PAGE.name} is out of date; run: ./dev run python tools/http_reference.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
