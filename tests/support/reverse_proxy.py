"""Reverse proxies as people run them, with the configuration of a page: Caddy and nginx, on free ports.

What is changed of a configuration is where it leads to, where it listens, and where certificates come from.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.command_line import DEADLINE_S, wait_for
from tests.support.server_page import ADDRESS, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Certificates of an authority of its own, nothing installed or kept elsewhere, and no other address.
_CADDY = """{
	admin off
	persist_config off
	local_certs
	skip_install_trust
	default_bind 127.0.0.1
	http_port %(other_port)d
	https_port %(port)d
	storage file_system %(directory)s/storage
	servers {
		protocols h1 h2
	}
}
"""
_NGINX = """daemon off;
%(user)s
pid %(directory)s/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path %(directory)s/body;
    proxy_temp_path %(directory)s/proxy;
    fastcgi_temp_path %(directory)s/fastcgi;
    uwsgi_temp_path %(directory)s/uwsgi;
    scgi_temp_path %(directory)s/scgi;
"""
_CERTIFICATE = """openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes
-subj /CN=test -addext subjectAltName=DNS:example.org,DNS:*.example.org"""


class ReverseProxy:
    """A proxy that runs.

    Attributes:
        port: Where it listens for TLS, on the loopback.
        authority: The certificate to verify its own by.
    """

    port: int
    authority: Path

    def __init__(self, program: str, directory: Path, configuration: str, name: str, server: str) -> None:
        """Start it, and wait until it has its certificate.

        Args:
            program: Its executable.
            directory: An empty directory.
            configuration: The configuration as it stands on the page.
            name: The name that it goes by there.
            server: Where the server listens.
        """
        self._name = name
        self._log = directory / "log"
        self.port = free_port()
        argv = self.prepare(program, directory, configuration.replace(ADDRESS, server))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                argv, cwd=directory, env=self.variables(directory), stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(lambda: self._greets() or self._process.poll() is not None, f"{program} greets")
        assert self._process.poll() is None, self._log.read_text()

    def prepare(self, program: str, directory: Path, configuration: str) -> Sequence[str | Path]:
        """Write the configuration; returns what is to be started."""
        raise NotImplementedError

    def variables(self, directory: Path) -> Mapping[str, str]:
        """Its environment."""
        return {"HOME": str(directory), "PATH": os.defpath}

    def _greets(self) -> bool:
        """Whether it shows the certificate of its name."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
            with (
                socket.create_connection(("127.0.0.1", self.port)) as connection,
                context.wrap_socket(connection, server_hostname=self._name),
            ):
                return True
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(DEADLINE_S)


class Caddy(ReverseProxy):
    """Caddy, with an authority of its own in place of a public one."""

    def prepare(self, program: str, directory: Path, configuration: str) -> Sequence[str | Path]:
        """Put our ports and our authority in front of the configuration."""
        self.authority = directory / "storage/pki/authorities/local/root.crt"
        settings = {"port": self.port, "other_port": free_port(), "directory": directory}
        file = directory / "Caddyfile"
        file.write_text(_CADDY % settings + configuration)
        return (program, "run", "--adapter", "caddyfile", "--config", file)


class Nginx(ReverseProxy):
    """nginx, with a certificate that signs itself."""

    def prepare(self, program: str, directory: Path, configuration: str) -> Sequence[str | Path]:
        """Put the configuration into one that writes below our directory only."""
        name = "history.example.org"
        self.authority = directory / f"{name}.crt"
        subprocess.run(
            [*_CERTIFICATE.split(), "-keyout", directory / f"{name}.key", "-out", self.authority],
            check=True,
            capture_output=True,
        )
        user = "user root root;" if os.geteuid() == 0 else ""
        text = configuration.replace("/etc/ssl/", f"{directory}/")
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        file = directory / "nginx.conf"
        file.write_text(_NGINX % {"user": user, "directory": directory} + text + "}\n")
        return (program, "-p", directory, "-c", file, "-e", "stderr")


def program_of(proxy: type[ReverseProxy]) -> str | None:
    """The executable of a proxy, beside our Python or where the system has it; None where it is not there."""
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    return shutil.which(proxy.__name__.lower(), path=os.pathsep.join(places))
