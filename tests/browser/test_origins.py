"""Pages in Chromium that want to connect where tokens are asked for, and what they leave behind."""

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from node.auth import apikeys
from tests.support.processes import Switchboard, free_port_range
from tests.support.strangers import guarded
from tests.support.tokens import SECRET, token

# Says how a WebSocket ended: "open", or its close code.
CONNECT = """([url, token]) => new Promise((resolve) => {
  const socket = new WebSocket(url, ["switchboard.v1.json", "switchboard.bearer." + token]);
  socket.onopen = () => { resolve(`open ${socket.protocol}`); socket.close(); };
  socket.onclose = (event) => resolve(`closed ${event.code}`);
})"""
# Connects with the SDK, sends, and tells the outcome and everything a page can see of itself.
USE_SDK = """async ([address, token]) => {
  const { connect } = await import("/static/switchboard.js");
  const client = connect(address, { token, device: "web" });
  const states = [];
  client.on("state", (status) => states.push(status));
  const { outcome } = await client.send("bob", 1);
  client.close();
  const entries = performance.getEntries().map((entry) => entry.name);
  return JSON.stringify([outcome, states, entries, location.href, history.state, document.cookie]);
}"""
FETCH = """async ([url, key]) => {
  try {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${key}` } });
    return `${answer.status}`;
  } catch (error) {
    return error.name;
  }
}"""


@contextmanager
def site(folder: Path, port: int) -> Iterator[str]:
    """Serve an empty page of another site; yield its origin."""
    (folder / "index.html").write_text("<!doctype html><title>elsewhere</title>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", port), partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Place:
    """A node that asks for tokens, a site that is listed there and one that is not."""

    switchboard: Switchboard
    address: str
    listed: str
    foreign: str
    key: str

    @property
    def socket(self) -> str:
        return f"ws://{self.address}/ws"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("guarded")
    overrides, keys = guarded(folder, backend="admin")
    first = free_port_range(3)
    environment = {
        "SWITCHBOARD_AUTH__MODE": "jwt",
        "SWITCHBOARD_AUTH__SECRET": SECRET,
        "SWITCHBOARD_AUTH__ORIGINS": f'["http://127.0.0.1:{first + 1}"]',
        "SWITCHBOARD_API__KEYS_FILE": overrides["api"]["keys_file"],
        "SWITCHBOARD_LOG__LEVEL": "debug",
    }
    up = ("up", "--nodes", "1", "--port", str(first), "--json")
    sites = tmp_path_factory.mktemp("site")
    with (
        Switchboard(folder, *up, environment=environment) as switchboard,
        site(sites, first + 1) as listed,
        site(sites, first + 2) as foreign,
    ):
        switchboard.document()
        yield Place(switchboard, f"127.0.0.1:{first}", listed, foreign, keys["backend"])


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_only_pages_of_the_node_and_of_listed_sites_connect(place: Place, page: Page) -> None:
    right = token("alice")
    page.goto(f"http://{place.address}/static/switchboard.js")
    assert page.evaluate(CONNECT, [place.socket, right]) == "open switchboard.v1.json"
    page.goto(place.listed)
    assert page.evaluate(CONNECT, [place.socket, right]) == "open switchboard.v1.json"
    page.goto(place.foreign)
    assert page.evaluate(CONNECT, [place.socket, right]) == "closed 1006"
    page.goto("data:text/html,<title>null is its origin</title>")
    assert page.evaluate(CONNECT, [place.socket, right]) == "closed 1006"


def test_only_pages_of_listed_sites_read_what_the_api_says(place: Place, page: Page) -> None:
    url = f"http://{place.address}/api/v1/nodes"
    for where, read in (
        (f"http://{place.address}/static/switchboard.js", "200"),
        (place.listed, "200"),
        (place.foreign, "TypeError"),
    ):
        page.goto(where)
        assert page.evaluate(FETCH, [url, place.key]) == read, where
    page.goto(place.listed)
    assert page.evaluate(FETCH, [url, apikeys.make("wrong")]) == "401"


def test_strangers_who_open_the_node_see_no_page_of_it(place: Place, page: Page) -> None:
    answer = page.goto(f"http://{place.address}/")
    assert answer is not None
    assert answer.status == 404
    assert page.evaluate("document.scripts.length") == 0


def test_a_token_stays_out_of_everything_that_is_written_down(place: Place, page: Page) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(f"{request.url} {request.headers}"))
    page.on("websocket", lambda socket: said.append(socket.url))
    planted = [token("alice", jti="planted"), token("alice", life_s=-60), "x" + token("alice")]
    page.goto(f"http://{place.address}/static/switchboard.js")
    result = page.evaluate(USE_SDK, [place.socket, planted[0]])
    assert result.startswith('["offline"')
    for wrong in planted[1:]:
        assert page.evaluate(CONNECT, [place.socket, wrong]) == "closed 1006"
    wrong_key = apikeys.make("planted")
    answers = [refused(place.address, f"Bearer {secret}") for secret in (wrong_key, *planted[1:])]
    secrets = [*planted, place.key, wrong_key, SECRET]
    written = "\n".join([result, *said, *answers, *place.switchboard.said])
    assert "session opened" in written
    for secret in secrets:
        # The last part of a token is what makes it one; the others can be guessed.
        assert secret.rpartition(".")[2] not in written


def refused(address: str, authorization: str) -> str:
    """Return all that an answer to a wrong key or token says."""
    request = urllib.request.Request(
        f"http://{address}/api/v1/nodes", headers={"Authorization": authorization}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        return f"{answer.status} {answer.headers} {answer.read().decode()}"
