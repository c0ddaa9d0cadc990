"""What the page does when a connection ends. The node is scripted here, the clock is ours."""

from playwright.sync_api import expect

from tests.support.scripted_node import Scene


def test_after_some_codes_it_does_not_come_back(scene: Scene) -> None:
    for tries, code in enumerate([1008, 4401, 4403, 4409, 4410], 1):
        scene.node.close(code)
        scene.expect_state("Not connected")
        problem = scene.tab.page.locator("#connect-problem")
        expect(problem).to_contain_text("The connection ended:")
        scene.pass_time(120_000)
        assert len(scene.node.sockets) == tries, code
        scene.tab.page.get_by_role("button", name="Connect", exact=True).click()
        scene.expect_state("Connected")
        expect(problem).to_be_empty()


def test_after_all_others_it_comes_back(scene: Scene) -> None:
    for code in (1000, 1001, 1009, 1012, 1013, 4408, 4429, 4999):
        scene.node.close(code)
        scene.expect_state("Reconnecting")
        scene.pass_time_until_it_dials()
        scene.expect_state("Connected")


def test_it_waits_as_long_as_the_node_asks(scene: Scene) -> None:
    scene.node.say({"type": "goodbye", "reason": "drain", "reconnect_after_ms": 30_000})
    scene.node.close(1012)
    scene.expect_state("Reconnecting")
    scene.pass_time(29_900)
    assert len(scene.node.sockets) == 1
    scene.pass_time(200)
    scene.expect_state("Connected")
    assert len(scene.node.sockets) == 2


def test_a_node_that_drains_sends_it_to_another(scene: Scene) -> None:
    first = scene.node.sockets[0].url
    scene.node.close(1012)
    scene.expect_state("Reconnecting")
    scene.pass_time(500)
    scene.expect_state("Connected")
    assert scene.node.sockets[1].url.partition("/ws")[0] != first.partition("/ws")[0]


def test_the_waits_grow_while_it_fails(scene: Scene) -> None:
    scene.tab.run("Math.random = () => 0.999999")  # the longest wait there can be
    waits = []
    for _ in range(5):
        scene.node.close(4408)
        scene.expect_state("Reconnecting")
        waits.append(scene.pass_time_until_it_dials(step_ms=50))
        scene.expect_state("Connected")
    for failures, waited_ms in enumerate(waits, 1):
        longest = 500 * 2 ** (failures - 1)
        assert longest <= waited_ms <= longest + 100, waits


def test_a_person_can_try_at_once_or_give_up(scene: Scene) -> None:
    page = scene.tab.page
    scene.node.say({"type": "goodbye", "reason": "drain", "reconnect_after_ms": 60_000})
    scene.node.close(1001)
    page.get_by_role("button", name="Try now").click()
    scene.expect_state("Connected")

    scene.node.close(1001)
    page.get_by_role("button", name="Give up").click()
    scene.expect_state("Not connected")
    scene.pass_time(60_000)
    assert len(scene.node.sockets) == 2


def test_a_silent_node_is_left(scene: Scene) -> None:
    for pings in (1, 2, 3):  # with answers the connection lasts
        scene.pass_time(20_000)
        scene.expect_pings(pings)
    scene.expect_state("Connected")
    assert len(scene.node.sockets) == 1
    scene.node.pongs = False
    scene.tab.run("Math.random = () => 0")
    waited_ms = scene.pass_time_until_it_dials()
    assert 40_000 <= waited_ms < 51_000


def test_what_was_under_way_when_the_connection_ended_is_unknown(scene: Scene) -> None:
    scene.tab.send("bob", "hello")
    expect(scene.tab.page.locator("#sent li .badge")).to_have_text("sending")
    scene.node.close(1001)
    scene.tab.expect_outcome("unknown")
    expect(scene.tab.page.locator("#sent li")).to_contain_text("may or may not have arrived")


def test_what_the_node_refuses_is_told_where_it_belongs(scene: Scene) -> None:
    scene.tab.send("bob", "hello")
    scene.node.say({"type": "error", "code": "forbidden", "message": "not to bob", "ref": "1"})
    scene.tab.expect_outcome("not sent")
    expect(scene.tab.page.locator("#sent li")).to_contain_text("not to bob")
    scene.node.say({"type": "error", "code": "bad_frame", "message": "too many frames"})
    expect(scene.tab.page.locator("#session-notice")).to_have_text("The node says: too many frames")


def test_frames_of_a_later_version_do_no_harm(scene: Scene) -> None:
    scene.node.say({"type": "something-new"})
    scene.node.say({"type": "outcome", "ref": "77", "id": "m", "outcome": "delivered"})
    scene.node.say({"type": "message", "id": "m1", "from": "bob", "data": None, "sent_at": 1.5})
    scene.tab.expect_received("null")


def test_a_message_that_comes_twice_is_shown_once_and_the_list_is_bounded(scene: Scene) -> None:
    message = {"type": "message", "from": "bob", "sent_at": 1_795_419_635.12}
    for number in [0, 0, *range(1, 251)]:
        scene.node.say({**message, "id": f"m{number}", "data": number})
    entries = scene.tab.page.locator("#received .data")
    expect(entries.first).to_have_text("250")
    expect(entries).to_have_count(200)
    expect(entries.last).to_have_text("51")


def test_a_registry_that_does_not_answer_is_said_and_asked_again(scene: Scene) -> None:
    page = scene.tab.page
    banner = page.locator("#registry-problem")
    page.route("**/api/v1/**", lambda route: route.abort())
    unreachable = "The registry does not answer: it cannot be reached."
    scene.pass_time_until(lambda: unreachable in banner.inner_text(), "its silence is told")
    expect(page.locator("#nodes li")).to_have_count(2)
    scene.expect_state("Connected")

    detail = {"title": "unavailable", "status": 503, "detail": "the store is away"}
    page.unroute("**/api/v1/**")
    page.route("**/api/v1/nodes", lambda route: route.fulfill(status=503, json=detail))
    answered = "the store is away"
    scene.pass_time_until(lambda: answered in banner.inner_text(), "its refusal is told")

    page.unroute("**/api/v1/nodes")
    scene.pass_time_until(lambda: banner.inner_text() == "", "the registry answers again")
    # The browser itself notes down what failed to load; the page has no say in that.
    assert all("Failed to load resource" in each for each in scene.tab.complaints)
    scene.tab.complaints.clear()
