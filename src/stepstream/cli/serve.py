"""``stepstream serve``: the server, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stepstream.cli.access import DatabaseOption, database_path, shown_path

if TYPE_CHECKING:
    from stepstream.server.serving import Listening

PORT_DEFAULT = 8321


def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The port; 0 for any free one.")
    ] = PORT_DEFAULT,
    require_token: Annotated[
        bool,
        typer.Option("--require-token", help="Let nobody in without a token, not even from this machine."),
    ] = False,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", metavar="HOST", help="A name it is called by; may be repeated."),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(metavar="/PATH", help="What a proxy puts in front of every path.", show_default=False),
    ] = "",
    trusted_proxies: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="NETWORK",
            help="Whose word about clients is believed; may be repeated.",
        ),
    ] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the dashboard in a browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say where it listens as one JSON line.")] = False,
    db: DatabaseOption = None,
) -> None:
    """Serve a history: the dashboard, the live stream, the API, and the way in for agents elsewhere."""
    from stepstream.cli.output import Output
    from stepstream.cli.page import show_in_browser
    from stepstream.server.auth.rules import AccessRules
    from stepstream.server.serving import Offer, ServerRunning
    from stepstream.server.serving import serve as serve_offer
    from stepstream.settings import Settings

    output = Output()
    database = database_path(db)

    def announce(listening: Listening) -> None:
        if as_json:
            output.json_line({"url": listening.url, "host": listening.host, "port": listening.port})
            output.flush()
        else:
            output.say(f"serving {shown_path(database)} at {listening.url} (Ctrl+C ends it)")
        if is_opened and not show_in_browser(listening.url):
            output.say("no browser can be opened from here; open that address in yours")

    rules = AccessRules.read(
        host=host,
        require_token=require_token,
        allowed_hosts=allowed_hosts or (),
        trusted_proxies=trusted_proxies or (),
        root_path=root_path,
    )
    offer = Offer(database=database, settings=Settings.load(database), host=host, port=port, rules=rules)
    try:
        serve_offer(offer, announce)
    except ServerRunning as error:
        raise ServerRunning(shown_path(database), error.pid) from None
