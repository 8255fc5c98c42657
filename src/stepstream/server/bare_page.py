"""The page of a server into which no dashboard was built: what this is, who one is, and how to go on.

Knows HTML. Must not know tokens or sessions: its script asks the API, as any client does. Everything that is
put into the page is escaped; the script and the style are ours alone, which a nonce proves to the browser.
"""

from __future__ import annotations

import secrets
from html import escape
from string import Template
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import HTMLResponse

from stepstream.schemas.release import RELEASE
from stepstream.server.auth.access import principal_of, refusal_of

if TYPE_CHECKING:
    from stepstream.server.auth.access import Principal
    from stepstream.server.problems import Refused

_NONCE_BYTES = 18
_NOBODY = "You are not signed in, and this server lets in only whom it knows."

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>stepstream</title>
<link rel="icon" href="data:,">
<style nonce="$nonce">
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; }
code, pre, input { font: 14px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid; border-radius: 4px; }
input { width: 100%; box-sizing: border-box; padding: .4rem; }
button { font: inherit; margin-top: .5rem; padding: .3rem 1rem; }
</style>
</head>
<body data-root="$root">
<main>
<h1>stepstream</h1>
<p>The flight recorder for AI agents, release $release. The dashboard is not built into this installation; the
API and the live stream work. In a checkout, <code>./dev demo</code> builds it; else install stepstream again
where npm's registry can be reached.</p>
<p id="who" role="status">$who</p>
<form id="sign-in" method="post" action="$root/api/v1/session"$hide_sign_in>
<label for="token">Sign in with a token; <code>stepstream token create --scope read</code> prints one:</label>
<input id="token" type="password" autocomplete="off" spellcheck="false" required>
<button>Sign in</button>
</form>
<button id="sign-out" type="button" hidden>Sign out</button>
<noscript><p>Signing in here needs JavaScript; programs send the token themselves, as below.</p></noscript>
<h2>Watch</h2>
<pre>curl -N$header $origin$root/api/v1/events</pre>
<p>Everything else is described in <a href="$root/api/v1/openapi.json">openapi.json</a>.</p>
</main>
<script nonce="$nonce">
"use strict";
const session = document.body.dataset.root + "/api/v1/session";
const [who, form, field, out] =
  ["who", "sign-in", "token", "sign-out"].map((id) => document.getElementById(id));
const complain = (error) => { who.textContent = error.message; };
let csrf = null;
async function ask(method, headers) {
  const answer = await fetch(session, { method, headers, credentials: "same-origin", cache: "no-store" });
  const body = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) { throw new Error(body.detail); }
  return body;
}
function show(known) {
  csrf = known.csrf_token;
  who.textContent = "You are " + known.name + " and may " + known.scopes.join(", ") + ".";
  form.hidden = true;
  out.hidden = csrf === null;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = field.value.trim();
  field.value = "";
  ask("POST", { Authorization: "Bearer " + token }).then(show).catch(complain);
});
out.addEventListener("click", () => {
  ask("DELETE", { "X-CSRF-Token": csrf }).then(() => location.reload()).catch(complain);
});
ask("GET", {}).then(show, () => {});
</script>
</body>
</html>
""")


def bare_page(request: Request) -> HTMLResponse:
    """The page, for whoever asks."""
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    principal = principal_of(request.scope)
    needs_token = principal is None or principal.token_id is not None
    text = _PAGE.substitute(
        nonce=nonce,
        release=escape(RELEASE),
        root=escape(request.scope.get("root_path", "")),
        origin=escape(f"{request.url.scheme}://{request.headers.get('host', '')}"),
        header=escape(' -H "Authorization: Bearer $STEPSTREAM_TOKEN"') if needs_token else "",
        who=escape(_who(principal, refusal_of(request.scope))),
        hide_sign_in="" if principal is None else " hidden",
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(text, headers=headers)


def _who(principal: Principal | None, refusal: Refused | None) -> str:
    if principal is None:
        return refusal.detail if refusal is not None else _NOBODY
    return f"You are {principal.name} and may {', '.join(sorted(principal.scopes))}."
