"""The lines for a page in docs/clients.md, in a page."""

from collections.abc import Callable

from tests.browser.conftest import Cluster
from tests.support.browser import Tab
from tests.support.documents import read
from tests.support.processes import wait_until


def test_they_tell_what_is_sent_to_their_user(tab: Callable[..., Tab], cluster: Cluster) -> None:
    fences = read("docs/clients.md").fences
    (fence,) = [each for each in fences if each.lines[0] == "// page.js"]
    alice, bob = tab("n1").open(), tab("n2").open().connect("bob", "n2")
    served = {"body": fence.text, "content_type": "text/javascript"}
    alice.page.route("**/static/page.js", lambda route: route.fulfill(**served))
    said: list[str] = []
    alice.page.on("console", lambda message: said.append(message.text))
    alice.run("() => void import('/static/page.js')")
    wait_until(lambda: alice.run("1") and "carol: queued" in said, "it has sent")
    bob.send("alice", '{"order":42}')
    wait_until(lambda: alice.run("1") and len(said) == 3, "it is told")
    assert said == ["connected to n1", "carol: queued", "bob says {order: 42}"]
    bob.expect_outcome("delivered")
