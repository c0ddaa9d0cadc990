"""`switchboard send`: what it sends, what it prints, how it ends."""

import asyncio
import signal

from tests.support.cli_case import CliCase, Run
from tests.support.clients import RawClient


class SendTest(CliCase):
    def test_the_outcome_is_printed_first_and_the_message_arrives(self) -> None:
        alice = self.connect_user("alice")
        run = self.switchboard("send", "alice", '{"order":42}', "--from", "bob")
        message = self.wait_for(alice.expect("message"))
        assert (message["data"], message["from"]) == ({"order": 42}, "bob")
        assert run.status == 0
        assert run.out == f"delivered: alice, 1 session, id {message['id']}\n"
        assert run.err == ""

    def test_json_is_what_the_api_answers(self) -> None:
        self.connect_user("alice")
        told = self.switchboard("send", "alice", "1", "--json").document
        answered = self.ask("POST", "/api/v1/users/alice/messages", {"data": 1}).document
        assert told.keys() == answered.keys()
        assert {**told, "id": ""} == {**answered, "id": ""}

    def test_what_does_not_parse_is_a_string_and_nothing_is_null(self) -> None:
        alice = self.connect_user("alice")
        for arguments in (["hello"], ["NaN"], [""], ['"quoted"'], ["[1, 2.50]"], []):
            assert self.switchboard("send", "alice", *arguments).status == 0
        received = self.wait_for(alice.messages(6))
        assert received == ["hello", "NaN", "", "quoted", [1, 2.5], None]

    def test_the_sender_chooses_how_far_it_waits(self) -> None:
        self.connect_user("alice")
        for word in ("accepted", "written", "delivered"):
            run = self.switchboard("send", "alice", "1", "--confirm", word, "--json")
            assert (run.status, run.document["outcome"]) == (0, word)

    def test_a_user_who_is_away_ends_it_with_3(self) -> None:
        run = self.switchboard("send", "nobody", "1")
        assert run.status == 3
        assert run.out.startswith("offline: nobody, 0 sessions, id ")

    def test_no_proof_in_time_ends_it_with_4_and_says_why(self) -> None:
        async def scene() -> None:
            address = f"127.0.0.1:{self.get_http_port()}"
            async with RawClient(address, "/ws?user=silent") as client:
                assert (await client.message())["type"] == "welcome"
                run = await self.run_command("send", "silent", "1", "--timeout", "0.1", "--json")
                assert run.status == 4
                assert run.document["outcome"] == "unknown"
                assert run.document["reason"]
                run = await self.run_command("send", "silent", "1", "--timeout", "0.1")
                assert run.out.startswith("unknown: silent, 1 session, id ")
                assert run.out.endswith(")\n")

        self.wait_for(scene())

    def test_a_full_inbox_ends_it_with_5(self) -> None:
        self.wait_for(self.put_on_full_node("alice"))
        run = self.switchboard("send", "alice", "1", "--json")
        assert (run.status, run.document["outcome"]) == (5, "busy")

    def test_bad_input_ends_it_with_2_and_one_sentence(self) -> None:
        for arguments, words in (
            (["send", "a b", "1"], "user: "),
            (["send", "", "1"], "user: "),
            (["send", "alice", "1", "--from", "a b"], "from: "),
            (["send", "alice", "1", "--confirm", "seen"], "confirm: 'seen'"),
            (["send", "alice", "1", "--timeout", "0"], "--timeout"),
            (["send", "alice", "1", "--timeout", "soon"], "--timeout"),
            (["send", "alice", "1", "--timeout", "9999"], "timeout_s: "),
            (["send", "alice", "1", "--ttl", "-1"], "--ttl"),
            (["send", "alice", "1", "--key", "k" * 129], "key: "),
            (["send", "alice", "\udcff"], "DATA: is not UTF-8"),
            (["send", "alice", "x" * 70_000], "data: 70002 bytes is over the limit of 65536"),
            (["send"], "USER"),
            (["send", "alice", "1", "2"], "2"),
        ):
            with self.subTest(arguments=arguments):
                run = self.switchboard(*arguments)
                assert (run.status, run.out) == (2, "")
                assert run.err.startswith("switchboard: ")
                assert words.lower() in run.err.lower()
                assert run.err.count("\n") == 1

    def test_a_store_that_is_not_there_ends_it_with_1_and_one_sentence(self) -> None:
        run = self.switchboard("send", "alice", "1", "--redis", "redis://127.0.0.1:1")
        assert (run.status, run.out) == (1, "")
        assert "127.0.0.1:1" in run.err
        assert run.err.count("\n") == 1

    def test_help_shows_an_example(self) -> None:
        run = self.switchboard("send", "--help")
        assert run.status == 0
        assert "Example: switchboard send alice" in run.out


class StandardInputTest(CliCase):
    def test_each_line_is_a_message_in_their_order(self) -> None:
        alice = self.connect_user("alice")
        lines = b'{"n":1}\n\nplain text\r\n[1,\n' + "ü\n".encode() + b"last"
        run = self.pipe(lines, "send", "alice", "-")
        assert (run.status, run.err) == (0, "")
        assert [line.split(":")[0] for line in run.out.splitlines()] == ["delivered"] * 5
        received = self.wait_for(alice.messages(5))
        assert received == [{"n": 1}, "plain text", "[1,", "ü", "last"]

    def test_json_is_one_document_with_all_results(self) -> None:
        self.connect_user("alice")
        run = self.pipe(b"1\n2\n3\n", "send", "alice", "-", "--json", "--confirm", "accepted")
        assert run.status == 0
        outcomes = [result["outcome"] for result in run.document["results"]]
        assert outcomes == ["accepted"] * 3

    def test_no_lines_are_no_messages(self) -> None:
        run = self.pipe(b"", "send", "alice", "-", "--json")
        assert (run.status, run.document) == (0, {"results": []})

    def test_the_highest_status_of_all_lines_counts(self) -> None:
        run = self.pipe(b"1\n2\n", "send", "nobody", "-")
        assert run.status == 3

    def test_a_line_that_cannot_be_sent_is_told_of_and_the_next_ones_are_sent(self) -> None:
        alice = self.connect_user("alice")
        lines = b"1\n" + b"x" * 200_000 + b"\n\xff\n4\n"
        run = self.pipe(lines, "send", "alice", "-", "--json")
        assert run.status == 2
        assert len(run.document["results"]) == 2
        assert run.err.splitlines() == [
            "switchboard: line 2: data: 200000 bytes is over the limit of 65536",
            "switchboard: line 3: data: is not UTF-8 text",
        ]
        assert self.wait_for(alice.messages(2)) == [1, 4]

    def test_an_error_of_every_line_ends_it(self) -> None:
        run = self.pipe(b"1\n2\n", "send", "alice", "-", "--timeout", "9999", "--json")
        assert (run.status, run.document) == (2, {"results": []})
        assert run.err == "switchboard: timeout_s: is 0.001 to 3600 seconds\n"

    def test_a_result_is_printed_while_the_input_goes_on(self) -> None:
        self.connect_user("alice")

        async def scene() -> None:
            process = await self.spawn("send", "alice", "-")
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(3):
                process.stdin.write(b"1\n")
                assert (await process.stdout.readline()).startswith(b"delivered: ")
            process.stdin.close()
            assert await process.wait() == 0

        self.wait_for(scene())

    def test_ctrl_c_ends_it_though_the_input_goes_on(self) -> None:
        self.connect_user("alice")

        async def scene() -> None:
            process = await self.spawn("send", "alice", "-", "--json")
            assert process.stdin is not None
            process.stdin.write(b"1\n")
            assert process.stdout is not None
            first = await process.stdout.readline()
            assert b"delivered" in first
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                out, err = await process.communicate()
            assert process.returncode == 130
            assert (first + out).endswith(b"]}\n")
            assert b"Traceback" not in err

        self.wait_for(scene())


class DurableTest(CliCase):
    def test_a_durable_message_waits_for_one_who_is_away(self) -> None:
        run = self.switchboard("send", "away", "1", "--durable", "--json")
        assert (run.status, run.document["outcome"]) == (0, "queued")
        assert self.wait_for(self.router.user("away")).mailbox == 1
        alice = self.connect_user("away")
        message = self.wait_for(alice.expect("message"))
        assert (message["data"], message["replay"]) == (1, True)

    def test_in_words_it_says_so_too(self) -> None:
        run = self.switchboard("send", "away", "1", "--durable")
        assert (run.status, run.err) == (0, "")
        assert run.out.startswith("queued")

    def test_a_repeated_key_is_a_duplicate_and_no_failure(self) -> None:
        first = self.switchboard("send", "away", "1", "--durable", "--key", "k", "--json")
        again = self.switchboard("send", "away", "2", "--durable", "--key", "k", "--json")
        assert (again.status, again.document["outcome"]) == (0, "duplicate")
        assert again.document["id"] == first.document["id"]
        assert self.wait_for(self.router.user("away")).mailbox == 1

    def test_a_key_of_a_message_that_reached_nobody_may_be_used_again(self) -> None:
        for _ in range(2):
            run = self.switchboard("send", "away", "1", "--key", "k", "--json")
            assert (run.status, run.document["outcome"]) == (3, "offline")

    def test_it_may_wait_for_the_application(self) -> None:
        alice = self.connect_user("alice")

        async def acknowledged() -> Run:
            running = asyncio.create_task(
                self.run_command("send", "alice", "1", "--confirm", "acked", "--timeout", "20")
            )
            message = await alice.expect("message")
            await alice.send(type="ack", id=message["id"])
            return await running

        run = self.wait_for(acknowledged())
        assert (run.status, run.err) == (0, "")
        assert run.out.startswith("acked")

    def test_an_application_that_is_silent_ends_it_with_4(self) -> None:
        self.connect_user("alice")
        arguments = ("--durable", "--confirm", "acked", "--timeout", "0.2", "--json")
        run = self.switchboard("send", "alice", "1", *arguments)
        assert (run.status, run.document["outcome"]) == (4, "unknown")
        assert "stored" in run.document["reason"]

    def test_each_line_may_be_durable(self) -> None:
        run = self.pipe(b"1\n2\n3\n", "send", "away", "-", "--durable", "--json")
        assert run.status == 0
        outcomes = [result["outcome"] for result in run.document["results"]]
        assert outcomes == ["queued"] * 3
        alice = self.connect_user("away")
        assert self.wait_for(alice.messages(3)) == [1, 2, 3]
