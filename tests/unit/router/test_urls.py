"""Addresses of one server and of several; what is shown of them holds no secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.urls import at_server, each_server, join_address, printable_address


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("redis://a", ["redis://a"]),
        ("redis://a:1/2", ["redis://a:1/2"]),
        ("redis://", ["redis://"]),
        ("redis://a,b:7/0", ["redis://a:6379/0", "redis://b:7/0"]),
        ("rediss://a:1,b:2,c:3", ["rediss://a:1", "rediss://b:2", "rediss://c:3"]),
        ("redis://u:p@a:1,b?x=y", ["redis://u:p@a:1?x=y", "redis://u:p@b:6379?x=y"]),
        ("redis://u:p@q,r@a:1,b:2", ["redis://u:p@q,r@a:1", "redis://u:p@q,r@b:2"]),
        ("redis://u:p,q@a", ["redis://u:p,q@a"]),
        ("redis://[::1]", ["redis://[::1]"]),
        ("redis://[::1],[fe80::2]:7", ["redis://[::1]:6379", "redis://[fe80::2]:7"]),
        ("redis://:p@[::1]:1,a", ["redis://:p@[::1]:1", "redis://:p@a:6379"]),
        ("unix:///run/a,b", ["unix:///run/a,b"]),
        ("unix://u:p@/run/s", ["unix://u:p@/run/s"]),
    ],
)
def test_each_server_is_named_with_all_that_stands_around_them(
    url: str, servers: list[str]
) -> None:
    assert each_server(url) == servers


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("redis://a", ["redis://a:26379"]),
        ("redis://a,b:7", ["redis://a:26379", "redis://b:7"]),
        ("redis://u:p@[::1]", ["redis://u:p@[::1]:26379"]),
        ("unix:///run/s", ["unix:///run/s"]),
    ],
)
def test_where_another_port_is_usual_that_one_is_meant(url: str, servers: list[str]) -> None:
    assert each_server(url, 26_379) == servers


@pytest.mark.parametrize(
    ("url", "address", "expected"),
    [
        ("redis://a:1", "b:2", "redis://b:2"),
        ("rediss://u:p@a:1,c:3/0?x=y", "b:2", "rediss://u:p@b:2/0?x=y"),
        ("redis://u:p@q@a", "[::1]:7", "redis://u:p@q@[::1]:7"),
        ("redis://:p@[::1]:7", "b:2", "redis://:p@b:2"),
    ],
)
def test_the_same_is_asked_of_another_server(url: str, address: str, expected: str) -> None:
    assert at_server(url, address) == expected


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [("a", 1, "a:1"), ("10.0.0.1", 6379, "10.0.0.1:6379"), ("fe80::2", 7, "[fe80::2]:7")],
)
def test_a_port_can_be_told_from_what_stands_before_it(host: str, port: int, address: str) -> None:
    assert join_address(host, port) == address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", "localhost:6379"),
        ("redis://:secret@10.0.0.1:7000/2", "10.0.0.1:7000"),
        ("rediss://user:secret@example.org:1", "example.org:1"),
        ("unix://:secret@/run/store.sock", "/run/store.sock"),
        ("redis://:secret@", "localhost:6379"),
        ("redis://user:secret@[fe80::2]:7", "[fe80::2]:7"),
        ("redis://user:secret@[::1]/0", "[::1]:6379"),
        ("redis://user:secret@a,b:7/0", "a:6379, b:7"),
        ("redis://user:secret@[::1]:1,b", "[::1]:1, b:6379"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, address: str) -> None:
    assert printable_address(url) == address


HOSTS = st.from_regex(r"[a-z][a-z0-9.-]{0,10}|\[[0-9a-f]{1,4}::[0-9a-f]{1,4}\]", fullmatch=True)
SERVERS = st.lists(st.tuples(HOSTS, st.integers(1, 65_535)), min_size=1, max_size=4)
SECRETS = st.from_regex(r"[A-Z,@:]{1,12}", fullmatch=True)


@given(SERVERS, SECRETS)
def test_whatever_the_password_is_the_servers_are_those_that_are_named(
    servers: list[tuple[str, int]], secret: str
) -> None:
    addresses = [f"{host}:{port}" for host, port in servers]
    url = f"redis://user:{secret}@{','.join(addresses)}/0"
    found = each_server(url)
    assert found == [f"redis://user:{secret}@{address}/0" for address in addresses]
    assert [at_server(url, address) for address in addresses] == found
    assert printable_address(url) == ", ".join(addresses)
