"""The operator's page on a real cluster: what it shows is so, and what it does is done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Cluster
from tests.support.browser import DESKTOP, Tab
from tests.support.dashboard import Dashboard
from tests.support.processes import Switchboard, free_port_range, wait_until

MakeTab = Callable[..., Tab]


@pytest.fixture
def board(tab: MakeTab) -> Dashboard:
    return Dashboard(tab("n1")).open().expect_live()


def confirm(board: Dashboard, button: str) -> None:
    board.page.get_by_role("dialog").get_by_role("button", name=button).click()


def test_it_shows_the_nodes_with_all_their_figures(
    board: Dashboard, tab: MakeTab, cluster: Cluster
) -> None:
    expect(board.page.locator("#nodes .node-name")).to_have_text(["n1", "n2"])
    tab("n2").open().connect("alice", "n2")
    sessions = board.page.locator("#nodes tr", has_text="n2").locator("[data-label=Sessions]")
    expect(sessions).to_have_text("1")
    for label in ("CPU", "Memory", "Loop lag", "Heartbeat", "Inbox"):
        figure = board.page.locator("#nodes tr", has_text="n2").locator(f"[data-label='{label}']")
        expect(figure).to_contain_text("0" if label == "Inbox" else " ")
        expect(figure).not_to_have_text("\N{EN DASH}")
    assert board.total("Nodes live").startswith("Nodes live\n2")


def test_a_user_is_found_written_to_and_kicked(
    board: Dashboard, tab: MakeTab, cluster: Cluster
) -> None:
    alice = tab("n2").open().connect("alice", "n2")
    page = board.page
    board.look_up("alice")
    expect(page.locator("#found-state")).to_have_text("online")
    expect(page.locator("#found-facts")).to_contain_text("web")
    expect(page.locator("#sessions li")).to_contain_text("web on n2")

    expect(page.locator("#test-to")).to_have_value("alice")
    page.get_by_role("button", name="Send and trace").click()
    alice.expect_received("A test from the dashboard")
    expect(page.locator("#test-outcome")).to_have_text("delivered")
    steps = page.locator("#steps li")
    expect(steps.first).to_contain_text("The node that was asked took it on")
    expect(steps.filter(has_text="It was written to the socket")).to_contain_text("n2")
    expect(steps.last).to_contain_text("The outcome was told to the sender")
    expect(page.locator("[data-chart=messages] .legend")).to_contain_text("delivered")

    page.get_by_role("button", name="Kick session").click()
    confirm(board, "Cancel")
    assert cluster.ask("users/alice")["online"]
    page.get_by_role("button", name="Kick session").click()
    confirm(board, "Kick it")
    expect(page.locator("#user-done")).to_have_text("1 session of alice closed.")
    expect(page.locator("#found-state")).to_have_text("offline")
    expect(page.locator("#user-found")).to_be_focused()
    expect(alice.page.locator("#connect-problem")).not_to_be_empty()


def test_all_sessions_of_a_user_are_kicked_at_once(board: Dashboard, tab: MakeTab) -> None:
    tabs = [tab(node).open().connect("bob", node) for node in ("n1", "n2")]
    board.look_up("bob")
    expect(board.page.locator("#sessions li")).to_have_count(2)
    board.page.get_by_role("button", name="Kick all sessions").click()
    confirm(board, "Kick all")
    expect(board.page.locator("#user-done")).to_have_text("2 sessions of bob closed.")
    for each in tabs:
        expect(each.page.locator("#connect-problem")).not_to_be_empty()


def test_names_of_those_who_are_online_are_offered(board: Dashboard, tab: MakeTab) -> None:
    tab("n2").open().connect("carol-anne", "n2")
    board.page.get_by_label("User id").press_sequentially("carol")
    expect(board.page.locator("#known-users option")).to_have_count(1)
    assert board.page.locator("#known-users option").get_attribute("value") == "carol-anne"


def test_a_user_whom_nobody_knows_is_told_of(board: Dashboard, cluster: Cluster) -> None:
    board.look_up("nobody-yet")
    expect(board.page.locator("#found-state")).to_have_text("offline")
    expect(board.page.locator("#found-facts")).to_contain_text("empty")
    expect(board.page.locator("#found-facts")).to_contain_text("not known")
    board.page.get_by_role("button", name="Send and trace").click()
    expect(board.page.locator("#test-outcome")).to_have_text("offline")
    expect(board.page.locator("#steps li").last).to_contain_text("The outcome was told")


def test_a_node_is_drained_and_its_users_go_elsewhere(
    board: Dashboard, tab: MakeTab, cluster: Cluster
) -> None:
    erin = tab("n1").open().connect("erin", "n2")
    page, before = board.page, cluster.nodes()["n2"]["endpoint"]
    page.get_by_role("button", name="Drain n2").click()
    confirm(board, "Drain n2")
    expect(page.locator("#nodes-done")).to_have_text("n2 was told to drain.")
    expect(erin.page.locator("#state")).to_contain_text("Connected to n1")
    # `switchboard up` starts it again; for the next test, too.
    wait_until(
        lambda: cluster.nodes().get("n2", {}).get("endpoint", before) != before, "n2 is back"
    )
    expect(page.locator("#nodes tr", has_text="n2").locator(".badge")).to_have_text("live")
    expect(page.get_by_role("button", name="Drain n2")).to_be_visible()


@dataclass(frozen=True, slots=True)
class Guarded:
    """A node that asks for keys: its `url`, and a key for each scope."""

    url: str
    keys: dict[str, str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    environment = {
        "SWITCHBOARD_AUTH__MODE": "jwt",
        "SWITCHBOARD_AUTH__SECRET": "a secret of thirty-two bytes, or more",
        "SWITCHBOARD_API__KEYS_FILE": "keys.toml",
    }
    keys = {scope: _make_key(folder, scope, environment) for scope in ("read", "admin")}
    up = ("up", "--nodes", "1", "--port", str(free_port_range(1)), "--json")
    with Switchboard(folder, *up, environment=environment) as switchboard:
        yield Guarded(switchboard.document()["nodes"][0]["url"], keys)


def _make_key(folder: Path, scope: str, environment: dict[str, str]) -> str:
    make = ("key", scope, "--scopes", scope, "--add", "--json")
    with Switchboard(folder, *make, environment=environment) as command:
        return str(command.document()["key"])


def test_a_key_opens_it_that_may_do_everything(browser: Browser, guarded: Guarded) -> None:
    context = browser.new_context(viewport=DESKTOP)
    board = Dashboard(Tab(context.new_page(), guarded.url)).open()
    page = board.page
    field, enter = page.get_by_label("Admin key"), page.get_by_role("button", name="Open the")
    field.fill("sb_ops_guessed")
    enter.click()
    expect(page.locator("#key-problem")).to_contain_text("The key was refused")
    expect(page.locator("#board")).to_be_hidden()
    field.fill(guarded.keys["read"])
    enter.click()
    expect(page.locator("#key-problem")).to_contain_text("admin")
    expect(page.locator("#board")).to_be_hidden()
    field.fill(guarded.keys["admin"])
    enter.click()
    board.expect_live()
    board.look_up("alice")
    expect(page.locator("#found-state")).to_have_text("offline")
    page.get_by_role("button", name="Forget the key").click()
    expect(field).to_be_focused()
    # What the browser notes down of each refusal; nothing else, and no key in it.
    refused = [each for each in board.tab.complaints if "40" in each]
    assert refused == board.tab.complaints
    assert not [each for each in refused if "sb_" in each]
    context.close()
