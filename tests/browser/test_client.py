"""What only switchboard.js does; what every SDK does is in tests/conformance.

The node is scripted, the clock is ours.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from tests.support.browser import Tab
from tests.support.processes import wait_until
from tests.support.scripted_node import ScriptedNode

_START = """async () => {
    const { connect } = await import("/static/switchboard.js");
    globalThis.told = [];
    Math.random = () => 0.999999; // the longest waits there can be
    const log = (...what) => { told.push(what); };
    %s
}"""


class Program:
    """A program in a page, which has `connect` and `log`, and its node."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.node = ScriptedNode()
        tab.page.clock.install()
        tab.page.route_web_socket("**/ws*", self.node.take)
        tab.page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        tab.page.goto(f"{tab.url}static/favicon.svg")  # its address, without the page
        tab.page.clock.pause_at(tab.run("Date.now()") / 1_000 + 1)

    def run(self, code: str) -> None:
        """Run it; what it puts into `globalThis` stays."""
        self.tab.run(_START % code)

    @property
    def told(self) -> list[Any]:
        """Return what it has logged."""
        return list(self.tab.run("told"))

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until `condition` holds; what it says reaches the node meanwhile."""
        wait_until(lambda: self.tab.run("1") and condition(), what)

    def expect(self, *lines: list[Any]) -> None:
        """Wait until it has logged exactly this."""
        self.until(lambda: self.told == list(lines), f"{lines}")

    def has_dialled(self, times: int) -> bool:
        """Say whether it has connected so often."""
        return len(self.node.sockets) == times

    def has_told(self, lines: int) -> bool:
        """Say whether it has logged so much."""
        return len(self.told) == lines

    def message(self, number: int, *, durable: bool = True) -> None:
        """Say a message to it."""
        offset = {"offset": f"{number}-0"} if durable else {}
        common = {"type": "message", "from": "bob", "data": number, "sent_at": 1.5}
        self.node.say({**common, "id": f"m{number}", **offset})

    def acked(self) -> list[str]:
        """Return what it has acknowledged: offsets and ids."""
        frames = [frame for frame in self.node.heard if frame["type"] == "ack"]
        return [frame.get("offset") or frame["id"] for frame in frames]

    def pass_time(self, milliseconds: int) -> None:
        """Move its clock."""
        self.tab.page.clock.run_for(milliseconds)


@pytest.fixture
def program(tab: Callable[..., Tab]) -> Program:
    return Program(tab())


def test_the_next_message_waits_until_all_handlers_have_finished(program: Program) -> None:
    program.run("""
        const client = connect("/ws", { user: "alice" });
        client.on("message", async ({ data }) => {
            log("first", data);
            await new Promise((resolve) => { globalThis.go = resolve; });
        });
        client.on("message", ({ data, sentAt, replay }) => log("second", data, +sentAt, replay));
        client.on("state", ({ state }) => { if (state === "open") log("open"); });
    """)
    program.expect(["open"])
    program.message(1)
    program.message(2)
    program.expect(["open"], ["first", 1])
    assert program.acked() == []
    program.tab.run("go()")
    program.expect(["open"], ["first", 1], ["second", 1, 1500, None], ["first", 2])
    program.until(lambda: program.acked() == ["1-0"], "it is acknowledged")


def test_a_handler_that_throws_is_told_and_holds_nothing_up(program: Program) -> None:
    program.run("""
        const client = connect("/ws", { user: "alice" });
        client.on("message", ({ data }) => {
            if (data === 1) throw new Error("no");
            log(data);
        });
        client.on("error", ({ code, cause }) => log(code, cause.message));
        client.on("state", ({ state }) => { if (state === "open") log("open"); });
    """)
    program.expect(["open"])
    program.message(1)
    program.message(2)
    program.expect(["open"], ["handler_failed", "no"], [2])
    program.pass_time(100)
    program.until(lambda: program.acked()[-1:] == ["2-0"], "both are done")


def test_an_error_that_nobody_listens_for_goes_to_the_console(program: Program) -> None:
    program.run("""
        connect("/ws", { user: "alice" }).on("state", ({ state }) => log(state));
    """)
    program.expect(["connecting"], ["open"])
    program.node.say({"type": "error", "code": "bad_frame", "message": "it makes no sense"})
    complaints = program.tab.complaints
    program.until(lambda: len(complaints) == 1, "it is complained of")
    assert "it makes no sense" in complaints.pop()


def test_messages_wait_for_a_handler_and_none_is_lost(program: Program) -> None:
    program.node.welcome = {"offset": "0-0"}
    program.run("""
        globalThis.client = connect("/ws", { user: "alice", maxMessages: 4 });
        client.on("state", ({ state }) => log(state));
    """)
    program.expect(["connecting"], ["open"])
    for number in range(1, 7):
        program.message(number)
    program.tab.run("() => void client.send('bob', 1).then(({ outcome }) => told.push([outcome]))")
    program.until(lambda: program.node.heard, "it can send")
    assert [frame["type"] for frame in program.node.heard] == ["send"]
    program.node.say({"type": "outcome", "ref": "1", "id": "i", "outcome": "written"})
    program.expect(["connecting"], ["open"], ["written"])

    program.node.welcome = {"offset": "4-0", "resumed": True}
    program.tab.run("""() => {
        told.length = 0;
        client.on("message", ({ data }) => told.push([data]));
    }""")
    program.until(lambda: program.tab.run("told.length") >= 5, "they are handled")
    program.pass_time(1)
    program.until(lambda: len(program.node.sockets) == 2, "it asks for the others")
    program.until(lambda: program.told[-1] == ["open"], "it is back")
    assert "since=4-0" in program.node.sockets[1].url
    for number in (5, 6):
        program.message(number)
    program.until(lambda: program.told[-1] == [6], "all are there")
    assert [line[0] for line in program.told if isinstance(line[0], int)] == [1, 2, 3, 4, 5, 6]


def _has(found: Sequence[object], count: int) -> bool:
    return len(found) == count


def test_a_node_that_sends_it_away_again_and_again_is_not_asked_at_once(program: Program) -> None:
    program.run("""
        connect("/ws", { user: "alice" }).on("state", ({ state, afterMs }) => {
            if (state === "waiting") log(afterMs);
        });
    """)
    for turn in (1, 2, 3):
        program.until(partial(_has, program.node.sockets, turn), "it has come")
        program.node.say({"type": "goodbye", "reason": "drain", "reconnect_after_ms": 0})
        program.node.close(1012)
        program.until(partial(_has, program.told, turn), "it is away")
        program.pass_time(2_001)
    assert program.told == [[0], [1_000], [2_000]]


def test_a_token_that_cannot_be_fetched_is_asked_for_again(program: Program) -> None:
    program.run("""
        let asked = 0;
        const token = async () => {
            asked += 1;
            if (asked < 3) throw new Error("no network");
            return "a.to-ken_~";
        };
        class Watched extends WebSocket {
            constructor(url, protocols) {
                super(url, protocols);
                log(...protocols);
            }
        }
        const client = connect("/ws", { token, WebSocket: Watched });
        client.on("error", ({ code }) => log("error", code));
        client.on("state", ({ state, reason, said }) => log(state, said));
    """)
    away = [["error", "no_token"], ["waiting", "no token could be fetched: Error: no network"]]
    program.until(lambda: program.told == away, "it waits")
    program.pass_time(500)
    program.until(lambda: program.told == away * 2, "it waits again")
    program.pass_time(1_000)
    offered = ["switchboard.v1.json", "switchboard.bearer.a.to-ken_~"]
    program.expect(*away, *away, ["connecting", None], offered, ["open", None])
    (socket,) = program.node.sockets
    assert socket.url.endswith("/ws?ack=manual")


def test_a_token_that_no_subprotocol_can_carry_is_told_and_sent_nowhere(program: Program) -> None:
    program.run("""
        const client = connect("/ws", { token: "t o&ken=" });
        client.on("error", ({ code, message }) => log(code, message));
        client.on("state", ({ state }) => log(state));
    """)
    words = "the token has characters that cannot be sent as one"
    program.expect(["no_token", words], ["waiting"])
    assert program.node.sockets == []


def test_a_function_may_choose_the_address(program: Program) -> None:
    program.run("""
        const choose = async (situation) => { log(situation); return "/ws?room=7"; };
        globalThis.client = connect(choose, { user: "alice", device: "web", since: "5-0" });
    """)
    program.until(lambda: len(program.node.sockets) == 1, "it has come")
    assert program.node.sockets[0].url.startswith("ws://127.0.0.1:")
    query = "/ws?room=7&user=alice&device=web&since=5-0&ack=manual"
    assert program.node.sockets[0].url.endswith(query)
    program.node.close(1012)
    program.until(lambda: program.tab.run("client.state") == "waiting", "it is away")
    program.pass_time(500)
    program.expect([{"failures": 0, "elsewhere": False}], [{"failures": 1, "elsewhere": True}])


def test_mistakes_are_found_at_once(program: Program) -> None:
    program.run("""
        const attempt = (act) => {
            try { act(); log("fine"); } catch (thrown) { log(thrown.name); }
        };
        attempt(() => connect([]));
        attempt(() => connect("http://[", {}));
        attempt(() => connect("/ws", { WebSocket: undefined }));
        const client = connect("/ws", { user: "alice" });
        attempt(() => client.on("mesage", () => {}));
        await client.send("bob", 10n).catch((thrown) => log(thrown.name));
        client.close();
        client.close();
        await client.send("bob", 1).catch(({ code }) => log(code));
    """)
    program.expect(*[["TypeError"]] * 5, ["closed"])
    assert program.node.sockets == []


def test_what_is_not_durable_is_acknowledged_when_the_application_says_so(program: Program) -> None:
    program.run("""
        const client = connect("/ws", { user: "alice" });
        client.on("message", (message) => { log(message.data); client.ack(message); });
        client.on("state", ({ state }) => { if (state === "open") log("open"); });
    """)
    program.expect(["open"])
    program.message(1, durable=False)
    program.expect(["open"], [1])
    program.until(lambda: program.acked() == ["m1"], "it is acknowledged")


def test_a_closed_client_tells_nothing_more(program: Program) -> None:
    program.run("""
        const client = globalThis.client = connect("/ws", { user: "alice" });
        client.on("message", async ({ data }) => {
            log(data);
            await new Promise((resolve) => { globalThis.go = resolve; });
        });
        client.on("state", ({ state, code }) => { if (state !== "connecting") log(state, code); });
    """)
    program.expect(["open", None])
    program.message(1)
    program.message(2)
    program.expect(["open", None], [1])
    program.tab.run("client.close(), go()")
    program.pass_time(60_000)
    assert program.told == [["open", None], [1], ["closed", 1000]]
    assert program.acked() == []
    assert program.tab.run("client.offset") == ""


def test_a_send_to_several_users_has_several_outcomes(program: Program) -> None:
    program.run("""
        const client = connect("/ws", { user: "alice" });
        client.on("outcome", ({ to, outcomes }) => log(to, outcomes));
        client.send(["bob", "eve"], 1).then(log);
    """)
    program.until(lambda: program.node.heard, "it is sent")
    assert program.node.heard[0]["to"] == ["bob", "eve"]
    outcomes = {"bob": "accepted", "eve": "offline"}
    program.node.say({"type": "outcome", "ref": "1", "id": "i", "outcomes": outcomes})
    program.until(lambda: len(program.told) == 2, "it is told twice")
    assert sorted(program.told, key=len) == [
        [{"to": ["bob", "eve"], "id": "i", "outcomes": outcomes}],
        [["bob", "eve"], outcomes],
    ]
