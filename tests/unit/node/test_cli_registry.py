"""`switchboard users`, `user`, `nodes`, `kick`: the same answers as the API, or tables."""

from tests.support.cli_case import CliCase
from tests.support.waiting import eventually


class UsersTest(CliCase):
    def test_json_is_what_the_api_answers(self) -> None:
        self.connect_user("alice")
        self.connect_user("bob")
        for options, query in (
            ([], ""),
            (["--node", "n1", "--prefix", "a"], "?node=n1&prefix=a"),
            (["--node", "n9"], "?node=n9"),
            (["--limit", "1"], "?limit=1"),
            (["--limit", "1", "--cursor", "alice"], "?limit=1&cursor=alice"),
        ):
            run = self.switchboard("users", "--json", *options)
            assert (run.status, run.err) == (0, "")
            assert run.document == self.ask("GET", f"/api/v1/users{query}").document

    def test_people_get_a_table_and_a_word_about_the_rest(self) -> None:
        for user in ("alice", "bob", "[red]carol[/red]"):
            self.connect_user(user)
        run = self.switchboard("users", "--limit", "2")
        assert run.status == 0
        heading, _, *rows = [line.split() for line in run.out.splitlines() if line.strip()]
        assert heading == ["user", "sessions", "nodes", "since"]
        assert [row[:3] for row in rows] == [["[red]carol[/red]", "1", "n1"], ["alice", "1", "n1"]]
        assert run.err == "There are more: --cursor alice\n"
        assert self.switchboard("users").err == ""

    def test_bad_input_ends_it_with_2(self) -> None:
        for arguments in (
            ["--limit", "0"],
            ["--limit", "1001"],
            ["--limit", "x"],
            ["--prefix", "\udcff"],
            ["--cursor", "\udcff"],
            ["alice"],
        ):
            run = self.switchboard("users", *arguments)
            assert (run.status, run.out, run.err.count("\n")) == (2, "", 1)


class UserTest(CliCase):
    def test_json_is_what_the_api_answers(self) -> None:
        self.connect_user("alice", device="web")
        for user in ("alice", "nobody"):
            run = self.switchboard("user", user, "--json")
            assert (run.status, run.err) == (0, "")
            assert run.document == self.ask("GET", f"/api/v1/users/{user}").document

    def test_people_get_a_sentence_and_a_table_of_sessions(self) -> None:
        client = self.connect_user("alice", device="web")
        run = self.switchboard("user", "alice")
        first, *rest = [line for line in run.out.splitlines() if line.strip()]
        assert first == "alice is online, 0 messages in the mailbox"
        assert rest[0].split() == ["session", "node", "endpoint", "device", "address", "since"]
        row = rest[2].split()
        endpoint = self.node.member.endpoint.id
        assert row[:5] == [client.session, "n1", endpoint, "web", "127.0.0.1"]

    def test_a_user_who_is_away_is_no_error(self) -> None:
        run = self.switchboard("user", "nobody")
        assert run.status == 0
        assert run.out == "nobody is offline, last seen: unknown, 0 messages in the mailbox\n"

    def test_bad_input_ends_it_with_2(self) -> None:
        for user in ("a b", "", "{a}", "x" * 129):
            run = self.switchboard("user", user)
            assert (run.status, run.out, run.err.count("\n")) == (2, "", 1)
            assert "user: " in run.err


class NodesTest(CliCase):
    def test_json_is_what_the_api_answers(self) -> None:
        told = self.switchboard("nodes", "--json").document["nodes"]
        answered = self.ask("GET", "/api/v1/nodes").document["nodes"]
        for node in (*told, *answered):
            assert node.pop("heartbeat_age_s") >= 0
        assert told == answered

    def test_people_get_a_table(self) -> None:
        self.wait_for(self.put_on_full_node("alice"))
        run = self.switchboard("nodes")
        heading, _, *rows = [line.split() for line in run.out.splitlines() if line.strip()]
        assert heading[:8] == [
            *("name", "endpoint", "pid", "address", "state", "sessions", "inbox", "heartbeat"),
        ]
        assert [row[0] for row in rows] == ["full", "n1"]
        assert rows[0][4:7] == ["live", "0", "512"]

    def test_a_store_that_is_not_there_ends_it_with_1(self) -> None:
        run = self.switchboard("nodes", "--json", "--redis", "redis://127.0.0.1:1")
        assert (run.status, run.out, run.err.count("\n")) == (1, "", 1)


class KickTest(CliCase):
    def test_sessions_are_closed_and_counted(self) -> None:
        clients = [self.connect_user("alice"), self.connect_user("alice")]
        run = self.switchboard("kick", "alice", "--reason", "see you")
        assert (run.status, run.out) == (0, "closed 2 sessions of alice\n")
        for client in clients:
            assert self.wait_for(client.closed())[:2] == (4410, "see you")

    def test_one_session_is_closed_by_its_id(self) -> None:
        first, second = self.connect_user("alice"), self.connect_user("alice")
        run = self.switchboard("kick", "alice", "--session", first.session, "--json")
        assert (run.status, run.document) == (0, {"closed": 1})
        assert self.wait_for(first.closed())[0] == 4410
        assert self.wait_for(second.nothing_came())

    def test_nobody_to_close_is_done_too(self) -> None:
        run = self.switchboard("kick", "nobody")
        assert (run.status, run.out) == (0, "closed 0 sessions of nobody\n")

    def test_bad_input_ends_it_with_2(self) -> None:
        for arguments in (
            ["a b"],
            ["alice", "--reason", "x" * 101],
            ["alice", "--reason", "a\nb"],
            ["alice", "--reason", "\udcff"],
            [],
        ):
            run = self.switchboard("kick", *arguments)
            assert (run.status, run.out, run.err.count("\n")) == (2, "", 1), arguments


class DrainTest(CliCase):
    def setUp(self) -> None:
        super().setUp()
        self.orders: list[str] = []
        self.node.member.receiver.on_drain = lambda: self.orders.append("leave")

    def test_a_node_is_told_to_leave(self) -> None:
        endpoint = self.node.member.endpoint.id
        run = self.switchboard("drain", "n1", "--yes", "--json")
        assert (run.status, run.document) == (0, {"node": "n1", "endpoint": endpoint})
        self.wait_for(eventually(lambda: len(self.orders) == 1))
        run = self.switchboard("drain", str(endpoint), "--yes")
        assert (run.status, run.err) == (0, "")
        assert run.out.startswith(f"n1 ({endpoint}) is leaving")

    def test_without_a_terminal_it_must_be_sure(self) -> None:
        run = self.pipe(b"y\n", "drain", "n1")
        assert (run.status, run.out) == (2, "")
        assert run.err == "switchboard: --yes: is needed where nobody can be asked\n"
        assert self.orders == []

    def test_a_node_that_is_not_there_ends_it_with_1(self) -> None:
        run = self.switchboard("drain", "n9", "--yes")
        assert (run.status, run.out, run.err.count("\n")) == (1, "", 1)
        assert "no node called 'n9' is alive" in run.err

    def test_what_is_no_name_ends_it_with_2(self) -> None:
        for name in ("a b", "", "\udcff"):
            run = self.switchboard("drain", name, "--yes")
            assert (run.status, run.out, run.err.count("\n")) == (2, "", 1)


class HelpTest(CliCase):
    def test_every_command_shows_an_example(self) -> None:
        for command in ("users", "user", "nodes", "kick", "drain"):
            run = self.switchboard(command, "--help")
            assert run.status == 0
            assert f"Example: switchboard {command}" in run.out
