"""An address says where a server is and nothing more, and is always written the same way."""

from __future__ import annotations

import pytest

from stepstream.errors import ConfigurationInvalid
from stepstream.shipping.address import ServerAddress, is_address


@pytest.mark.parametrize(
    ("stated", "written"),
    [
        ("http://host:8000", "http://host:8000"),
        ("HTTP://Host:8000/", "http://host:8000"),
        ("https://host", "https://host:443"),
        ("http://host", "http://host:80"),
        ("https://host/root/", "https://host:443/root"),
        ("http://127.0.0.1:1/a/b-c_d.e~f", "http://127.0.0.1:1/a/b-c_d.e~f"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://my_host.internal.:80", "http://my_host.internal.:80"),
    ],
)
def test_an_address_is_read(stated: str, written: str) -> None:
    """Whatever an address looks like, it is written one way, and reads back as itself."""
    address = ServerAddress.parse(stated, "here")

    assert address.text == written
    assert ServerAddress.parse(address.text, "here") == address
    assert is_address(stated)


@pytest.mark.parametrize(
    "stated",
    [
        "http://",
        "http:///root",
        "ftp://host",
        "http://host:0",
        "http://host:70000",
        "http://host:eight",
        "http://host/../up",
        "http://host/%2e%2e",
        "http://host/a b",
        "http://ho\nst",
        "http://höst",
        "http://host?token=x",
        "http://host#x",
        "http://[::1",
        "http://[fe80::1%25eth0]:80",
        "http://-host",
        "http://a..b" + "c" * 300,
    ],
)
def test_what_is_no_address_is_refused(stated: str) -> None:
    """A wrong address raises, with what one looks like."""
    with pytest.raises(
        ConfigurationInvalid, match=r"^here is .*; expected an address such as https://host:8000"
    ):
        ServerAddress.parse(stated, "here")


@pytest.mark.parametrize(
    "stated", ["http://user:s3cret@host", "http://s3cret@host:x", "http://u:s3cret@[::", "https://:s3cret@h"]
)
def test_a_password_in_an_address_is_refused_and_not_shown(stated: str) -> None:
    """What stands in a URL ends up in logs: a token belongs elsewhere, and the error does not repeat it."""
    with pytest.raises(ConfigurationInvalid, match="the token in STEPSTREAM_TOKEN") as refused:
        ServerAddress.parse(stated, "here")

    assert "s3cret" not in str(refused.value)


def test_every_server_has_a_directory_of_its_own() -> None:
    """The name of a server's directory can be read, is a plain name, and differs where the address does."""
    stated = [
        "http://host:1",
        "http://host:11",
        "https://host:1",
        "http://host:1/a",
        "http://host:1/A",
        "http://ho-st:1",
    ]
    slugs = [ServerAddress.parse(each, "here").slug for each in stated]

    assert len(set(slugs)) == len(stated)
    assert slugs[0].startswith("host-1-")
    long = ServerAddress.parse("http://host/" + "r" * 500, "here").slug
    assert len(long) < 100
    assert all("/" not in slug and not slug.startswith(".") for slug in slugs)


@pytest.mark.parametrize(
    ("stated", "is_loopback"),
    [
        ("http://127.0.0.1", True),
        ("http://127.8.0.1", True),
        ("http://[::1]", True),
        ("http://localhost", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
    ],
)
def test_loopback_is_told(stated: str, is_loopback: bool) -> None:
    """Only what never leaves the machine counts as loopback."""
    assert ServerAddress.parse(stated, "here").is_loopback is is_loopback
