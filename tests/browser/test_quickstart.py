"""The lines of JavaScript in docs/quickstart.md, in a page that a node has served."""

from collections.abc import Callable

from tests.browser.conftest import Cluster
from tests.support.browser import Tab
from tests.support.documents import read
from tests.support.processes import wait_until


def test_they_receive_what_is_sent_to_their_user(tab: Callable[..., Tab], cluster: Cluster) -> None:
    (snippet,) = [fence for fence in read("docs/quickstart.md").fences if fence.language == "js"]
    address = cluster.urls["n1"].removeprefix("http://").rstrip("/")
    code = snippet.text.replace("127.0.0.1:8001", address)
    assert address in code
    alice, bob = tab("n1").open(), tab("n2").open().connect("bob", "n2")
    alice.run(f"() => {{ {code} }}")
    wait_until(lambda: cluster.ask("users/alice")["online"], "the page is connected")

    with alice.page.expect_console_message() as heard:
        bob.send("alice", '{"order":42}')

    assert heard.value.text == "bob says {order: 42}"
    bob.expect_outcome("delivered")
