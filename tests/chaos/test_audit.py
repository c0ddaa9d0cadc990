"""Each promise has a ledger that breaks it, and the audit says so."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scripts.faults.audit import CHECKS, LOG, audit, worst_account
from scripts.faults.balance import balance
from scripts.faults.book import Book
from scripts.faults.entries import Closed
from scripts.faults.ledger import RUN_FILE, Unreadable
from scripts.faults.logs import parse_line
from tests.chaos.ledgers import ALICE, BOB, N1, Ledger, at


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


class TestAllIsWell:
    def test_a_message_that_was_read_and_called_delivered(self, ledger: Ledger) -> None:
        ledger.read(ledger.send())
        assert ledger.broken() == set()

    def test_a_durable_message_that_waits_and_is_read_on_the_next_connect(
        self, ledger: Ledger
    ) -> None:
        ledger.close(1, 5)
        sent = ledger.send(outcome="queued", durable=True)
        c = ledger.open(ALICE, 20, since="1-0", resumed=True)
        ledger.read(sent, 20.1, c, offset="2-0", replay=True)
        assert ledger.broken() == set()

    def test_a_message_to_somebody_who_is_away(self, ledger: Ledger) -> None:
        ledger.send(outcome="offline", user=BOB)
        assert ledger.broken() == set()

    def test_a_repeat_that_the_filter_held_back(self, ledger: Ledger) -> None:
        sent = ledger.send()
        ledger.read(sent)
        ledger.read(sent, 12, repeat=True)
        assert ledger.broken() == set()


class TestMisdelivered:
    def test_somebody_else_read_it(self, ledger: Ledger) -> None:
        c = ledger.open(BOB)
        sent = ledger.send()
        ledger.read(sent)
        ledger.read(sent, 10.06, c)
        assert ledger.broken() == {"misdelivered"}

    def test_its_content_is_another(self, ledger: Ledger) -> None:
        sent = ledger.send()
        ledger.read(sent, data={**sent.data(), "pad": "y"})
        assert ledger.broken() == {"misdelivered"}

    def test_nobody_had_sent_it(self, ledger: Ledger) -> None:
        sent = ledger.send()
        ledger.read(sent)
        ledger.read(sent, data={**sent.data(), "n": 99})
        assert "misdelivered" in ledger.broken()

    def test_it_came_before_the_welcome(self, ledger: Ledger) -> None:
        sent = ledger.send()
        ledger.read(sent)
        ledger.read(sent, c=55)
        assert ledger.broken() == {"misdelivered"}


class TestLost:
    def test_a_queued_message_is_never_replayed(self, ledger: Ledger) -> None:
        ledger.close(1, 5)
        ledger.send(outcome="queued", durable=True)
        ledger.open(ALICE, 20)
        assert ledger.broken() == {"lost"}

    def test_one_of_two_devices_misses_it(self, ledger: Ledger) -> None:
        ledger.open(ALICE, device="phone")
        ledger.read(ledger.send(durable=True), offset="1-0")
        assert ledger.broken() == {"lost"}

    def test_a_message_of_unknown_fate_was_stored_for_one_device_only(self, ledger: Ledger) -> None:
        ledger.open(ALICE, device="phone")
        ledger.hurt("redis-hang", "store", 9, 11)
        ledger.read(ledger.send(outcome="unknown", durable=True), offset="1-0")
        assert ledger.broken() == {"lost"}

    def test_a_first_device_misses_what_was_stored_before_it(self, ledger: Ledger) -> None:
        ledger.send(outcome="queued", durable=True, user=BOB)
        ledger.open(BOB, 20)
        assert ledger.broken() == {"lost"}

    def test_a_device_that_did_not_come_back_is_owed_nothing(self, ledger: Ledger) -> None:
        phone = ledger.open(ALICE, device="phone")
        ledger.close(phone, 5)
        ledger.read(ledger.send(durable=True), offset="1-0")
        assert ledger.broken() == set()

    def test_a_message_of_unknown_fate_that_nobody_has_is_not_lost(self, ledger: Ledger) -> None:
        ledger.hurt("redis-hang", "store", 9, 11)
        ledger.send(outcome="unknown", durable=True)
        assert ledger.broken() == set()


class TestOutcomes:
    def test_a_send_without_an_outcome(self, ledger: Ledger) -> None:
        ledger.send(outcome="")
        assert ledger.broken() == {"no outcome"}

    def test_a_send_with_two_outcomes(self, ledger: Ledger) -> None:
        ledger.read(ledger.send())
        ledger.entries.append(ledger.entries[2])
        assert ledger.broken() == {"no outcome"}

    def test_an_outcome_that_is_no_word_of_ours(self, ledger: Ledger) -> None:
        ledger.send(outcome="exception")
        assert ledger.broken() == {"no outcome"}

    @pytest.mark.parametrize("word", ["delivered", "acked"])
    def test_delivered_though_nobody_read_it(self, ledger: Ledger, word: str) -> None:
        ledger.send(outcome=word)
        assert ledger.broken() == {"false delivered"}

    def test_delivered_before_anybody_had_read_it(self, ledger: Ledger) -> None:
        ledger.read(ledger.send(), 11)
        assert ledger.broken() == {"false delivered"}

    def test_acked_though_nobody_acknowledged(self, ledger: Ledger) -> None:
        ledger.read(ledger.send(outcome="acked", durable=True), offset="5-0")
        ledger.ack(10.06, offset="4-9")
        assert ledger.broken() == {"false delivered"}

    @pytest.mark.parametrize("fields", [{"offset": "5-0"}, {"offset": "10-0"}, {"id": "m1"}])
    def test_acked_is_true_after_an_acknowledgement(
        self, ledger: Ledger, fields: dict[str, Any]
    ) -> None:
        ledger.read(ledger.send(outcome="acked", durable=True), offset="5-0")
        ledger.ack(10.06, **fields)
        assert ledger.broken() == set()

    def test_offline_though_a_session_was_live_throughout(self, ledger: Ledger) -> None:
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_queued_though_a_session_was_live_throughout(self, ledger: Ledger) -> None:
        ledger.read(ledger.send(outcome="queued", durable=True), 15, offset="1-0")
        assert ledger.broken() == {"false offline"}

    def test_offline_is_true_of_who_left_meanwhile(self, ledger: Ledger) -> None:
        ledger.close(1, 10.05)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    def test_offline_is_true_of_who_did_not_read(self, ledger: Ledger) -> None:
        ledger.deaf(9, 12)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    @pytest.mark.parametrize("word", ["offline", "dropped", "expired", "busy", "unavailable"])
    def test_a_no_though_it_was_read(self, ledger: Ledger, word: str) -> None:
        ledger.hurt("redis-hang", "store", 9, 11)
        ledger.close(1, 10.08)
        ledger.read(ledger.send(outcome=word))
        assert ledger.broken() == {"received after a no"}

    @pytest.mark.parametrize("word", ["unknown", "unavailable", "broken"])
    def test_doubt_where_nothing_was_broken(self, ledger: Ledger, word: str) -> None:
        ledger.send(outcome=word)
        assert ledger.broken() == {"unexplained"}

    def test_doubt_where_nobody_acknowledges_is_explained(self, ledger: Ledger) -> None:
        ledger.send(outcome="unknown", confirm="acked")
        assert ledger.broken() == set()


class TestPauses:
    """A node that could not renew its lease may be taken for dead; one that could may not."""

    def test_a_short_pause_excuses_no_offline(self, ledger: Ledger) -> None:
        ledger.hurt("pause", "n1", 5, 11)
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_a_pause_longer_than_a_lease_does(self, ledger: Ledger) -> None:
        ledger.hurt("pause", "n1", 1, 14)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    def test_but_not_before_the_lease_can_have_ended(self, ledger: Ledger) -> None:
        ledger.hurt("pause", "n1", 9, 22)
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_and_not_that_of_another_node(self, ledger: Ledger) -> None:
        ledger.hurt("pause", "n2", 1, 14)
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_two_that_follow_each_other_count_as_one(self, ledger: Ledger) -> None:
        ledger.hurt("pause", "n1", 1, 5)
        ledger.hurt("cut", "n1", 6, 10)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()


class TestBrokenLinks:
    """Messages are sent at 10 s; clients give a node up after 6 s, and it is back 7 s after."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        ledger = Ledger()
        ledger.run = msgspec.structs.replace(ledger.run, silence_s=6, return_s=7)
        return ledger

    @pytest.mark.parametrize("fault", ["part", "one-way"])
    @pytest.mark.parametrize("side", ["store", "all"])
    def test_a_lease_may_end_where_the_way_to_the_store_was_broken(
        self, ledger: Ledger, fault: str, side: str
    ) -> None:
        ledger.hurt(fault, "n1", 1, 14, side)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    def test_and_the_node_has_time_to_connect_again_and_to_register(self, ledger: Ledger) -> None:
        ledger.hurt("part", "n1", 1, 14, "store")
        ledger.send(when=30, outcome="offline")
        assert ledger.broken() == set()

    def test_but_no_more_than_that(self, ledger: Ledger) -> None:
        ledger.hurt("part", "n1", 1, 14, "store")
        ledger.send(when=32, outcome="offline")
        assert ledger.broken() == {"false offline"}

    @pytest.mark.parametrize("side", ["clients", "all"])
    def test_a_node_may_give_up_sessions_that_it_cannot_hear(
        self, ledger: Ledger, side: str
    ) -> None:
        ledger.hurt("one-way", "n1", 8, 10, side)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    def test_whose_clients_find_that_out_when_they_have_heard_nothing(self, ledger: Ledger) -> None:
        ledger.hurt("part", "n1", 5, 7, "clients")
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    def test_and_not_later(self, ledger: Ledger) -> None:
        ledger.hurt("part", "n1", 1, 4, "clients")
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    @pytest.mark.parametrize(
        ("fault", "node", "side"),
        [
            ("part", "n1", "clients"),  # begins too late
            ("late", "n1", "all"),
            ("part", "n2", "all"),
        ],
    )
    def test_nothing_else_makes_a_live_session_offline(
        self, ledger: Ledger, fault: str, node: str, side: str
    ) -> None:
        ledger.hurt(fault, node, 11.5 if (fault, node) == ("part", "n1") else 1, 16, side)
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}


class TestMastersThatWereReplaced:
    """Messages are sent at 10 s, if nothing else is said; the lease of n1 is 10 s long."""

    def replace(self, ledger: Ledger, start: float = 9, served: float = 12, **fields: Any) -> None:
        fields = {"nodes": ["n1"], "unsafe": True, **fields}
        ledger.hurt("master-kill", "store", start, 20, served=at(served), **fields)

    @pytest.mark.parametrize("word", ["queued", "delivered", "acked", "accepted", "written"])
    def test_a_durable_message_of_which_its_sender_heard_for_certain_is_not_lost(
        self, ledger: Ledger, word: str
    ) -> None:
        self.replace(ledger)
        ledger.open(ALICE, device="phone")
        sent = ledger.send(outcome=word, durable=True)
        if word != "queued":
            ledger.read(sent, offset="5-0")
            ledger.ack(10.06, offset="5-0")
        assert "lost" in ledger.broken()

    def test_one_of_unknown_fate_may_be_though_a_device_has_it(self, ledger: Ledger) -> None:
        self.replace(ledger)
        ledger.open(ALICE, device="phone")
        ledger.read(ledger.send(outcome="unknown", durable=True), offset="5-0")
        assert ledger.broken() == set()

    @pytest.mark.parametrize(
        ("fault", "start", "unsafe"),
        [
            ("master-kill", 12, True),  # it was sent, and its fate told, long before
            ("master-hang", 9, False),  # nobody took its place
            ("slot-move", 9, False),
        ],
    )
    def test_but_not_where_no_master_was_replaced(
        self, ledger: Ledger, fault: str, start: float, unsafe: bool
    ) -> None:
        ledger.hurt("pause", "n1", 9, 11)
        ledger.hurt(fault, "store", start, 20, unsafe=unsafe)
        ledger.open(ALICE, device="phone")
        ledger.read(ledger.send(outcome="unknown", durable=True), offset="5-0")
        assert ledger.broken() == {"lost"}

    @pytest.mark.parametrize(
        ("stored_s", "broken"), [(7, {"false resumed"}), (9.5, set()), (21, {"false resumed"})]
    )
    def test_a_device_cannot_go_on_behind_what_was_lost_and_only_there(
        self, ledger: Ledger, stored_s: float, broken: set[str]
    ) -> None:
        self.replace(ledger)
        ledger.open(ALICE, 22, "phone", since=f"{stored_s * 1000:.0f}-0", resumed=False)
        assert ledger.broken() == broken

    def test_nobody_is_called_offline_for_it(self, ledger: Ledger) -> None:
        self.replace(ledger)
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_but_by_a_node_whose_lease_could_not_be_renewed_until_it_ended(
        self, ledger: Ledger
    ) -> None:
        self.replace(ledger, start=1, served=10)
        ledger.send(outcome="offline")
        assert ledger.broken() == set()

    def test_and_that_is_so_only_where_the_lease_was_on_that_master(self, ledger: Ledger) -> None:
        self.replace(ledger, start=1, served=10, nodes=["n2"])
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_and_until_its_keys_are_served_again(self, ledger: Ledger) -> None:
        self.replace(ledger, start=1, served=5)
        ledger.send(outcome="offline")
        assert ledger.broken() == {"false offline"}

    def test_how_long_it_took_until_all_had_messages_again_is_a_figure(
        self, ledger: Ledger
    ) -> None:
        self.replace(ledger)
        other = ledger.open(BOB)
        ledger.read(ledger.send(1, 9.5), 13)
        ledger.read(ledger.send(2, 14), 14.5)
        ledger.read(ledger.send(3, 12, user=BOB), 15, other)
        ledger.read(ledger.send(4, 8, user=BOB), 12, other)
        assert balance(ledger.book(), [])["reached_after_master_kill_s"] == 6.0


class TestConnections:
    def test_a_device_cannot_go_on_where_it_was(self, ledger: Ledger) -> None:
        ledger.open(ALICE, 20, "phone", since="1-0", resumed=False)
        assert ledger.broken() == {"false resumed"}

    def test_one_that_another_connection_had_overtaken_need_not(self, ledger: Ledger) -> None:
        ledger.read(ledger.send(durable=True), offset="2-0")
        ledger.open(ALICE, 20, since="1-0", resumed=False)
        assert ledger.broken() == set()

    def test_the_filter_hands_a_repeat_on(self, ledger: Ledger) -> None:
        sent = ledger.send()
        ledger.read(sent)
        ledger.read(sent, 12)
        assert ledger.broken() == {"doubled"}

    @pytest.mark.parametrize("second", ["9-5", "10-0", "10-1"])
    def test_offsets_that_do_not_rise(self, ledger: Ledger, second: str) -> None:
        ledger.read(ledger.send(1, durable=True), offset="10-1")
        ledger.read(ledger.send(2, durable=True), offset=second)
        assert ledger.broken() == {"offsets fell"}

    def test_offsets_are_compared_as_numbers(self, ledger: Ledger) -> None:
        ledger.read(ledger.send(1, durable=True), offset="9-9")
        ledger.read(ledger.send(2, durable=True), offset="10-0")
        assert ledger.broken() == set()


class TestSdk:
    """The application writes the ledger, and keeps one client through all connections."""

    def test_offsets_rise_over_all_connections(self) -> None:
        for clients, broken in (("plain", set()), ("sdk", {"offsets fell"})):
            ledger = Ledger(clients)
            ledger.read(ledger.send(1, durable=True), offset="10-1")
            ledger.close(1, 20, "lost")
            c = ledger.open(ALICE, 21)
            ledger.read(ledger.send(2, 22, durable=True), 22.05, c, offset="10-0")
            assert ledger.broken() == broken

    def test_an_application_may_read_a_little_later_than_its_client(self) -> None:
        for late_s, broken in ((4.0, set()), (6.0, {"false delivered"})):
            ledger = Ledger("sdk")
            ledger.read(ledger.send(), 10.1 + late_s)
            assert ledger.broken() == broken


class TestRest:
    def test_a_route_belongs_to_no_live_session(self, ledger: Ledger) -> None:
        ledger.routes[BOB] = [f"{N1}/gone"]
        assert ledger.broken() == {"registry"}

    def test_a_session_that_has_ended_still_has_its_route(self, ledger: Ledger) -> None:
        c = ledger.open(BOB)
        ledger.entries.append(Closed(at(5), c, "left"))
        assert ledger.broken() == {"registry"}

    def test_a_live_session_has_no_route(self, ledger: Ledger) -> None:
        ledger.open(BOB, routed=False)
        assert ledger.broken() == {"registry"}

    def test_a_route_names_a_dead_endpoint(self, ledger: Ledger) -> None:
        ledger.final = {"living": [], "endpoints": []}
        assert "registry" in ledger.broken()

    def test_the_registry_was_right_too_late(self, ledger: Ledger) -> None:
        ledger.final = {"took_s": -1.0}
        assert ledger.broken() == {"registry"}

    def test_the_run_did_not_come_to_its_end(self, ledger: Ledger) -> None:
        book = ledger.book()
        book.final = None
        assert {finding.kind for finding in audit(book, [])} == {"registry"}

    @pytest.mark.parametrize(
        "final",
        [
            {"endpoints": [N1, "n9.ff"]},
            {"remains": ["chaos:{n9.ff}:rescued"]},
            {"inboxes": {N1: 3}},
        ],
    )
    def test_something_is_left_behind(self, ledger: Ledger, final: dict[str, object]) -> None:
        ledger.final = final
        assert ledger.broken() == {"remains"}

    @pytest.mark.parametrize(("inbox", "mail"), [(101, 0), (0, 51)])
    def test_something_is_too_full(self, ledger: Ledger, inbox: int, mail: int) -> None:
        ledger.fill(100, 50)
        assert ledger.broken() == set()
        ledger.fill(inbox, mail)
        assert ledger.broken() == {"over its limit"}


class TestProcesses:
    @pytest.mark.parametrize(("status", "meant"), [(1, False), (-11, False), (0, False), (1, True)])
    def test_a_node_ends_as_it_must_not(self, ledger: Ledger, status: int, meant: bool) -> None:
        ledger.end_node(status, meant=meant)
        assert ledger.broken() == {"died"}

    @pytest.mark.parametrize("status", [0, -9])
    def test_a_node_may_be_drained_and_killed(self, ledger: Ledger, status: int) -> None:
        ledger.end_node(status, meant=True)
        assert ledger.broken() == set()

    @pytest.mark.parametrize(
        "text",
        [
            "Traceback (most recent call last):",
            "Task exception was never retrieved",
            '{"event": "sweep failed", "level": "error", "timestamp": "2026-01-01T00:00:00Z"}',
        ],
    )
    def test_a_log_has_a_line_that_must_not_be(self, ledger: Ledger, text: str) -> None:
        ledger.lines = [parse_line("n1-1", text, 0)]
        assert ledger.broken() == {LOG}

    def test_a_warning_may_be_and_a_line_that_a_kill_cut_off_too(self, ledger: Ledger) -> None:
        warning = {"event": "endpoint is dead", "level": "warning", "timestamp": "2026-01-01"}
        ledger.lines = [
            parse_line("n1-1", json.dumps(warning), 0),
            parse_line("n1-1", '{"event": "session ope', 0),
        ]
        assert ledger.broken() == set()


def test_every_promise_has_a_ledger_that_breaks_it() -> None:
    tried = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{kind}"' in tried for kind in CHECKS)


def test_the_account_tells_each_step_with_its_time_and_place(ledger: Ledger) -> None:
    ledger.hurt("pause", "n1", 9, 10.5)
    ledger.close(1, 10.01)
    ledger.send(7)
    log = '{"event": "odd", "level": "warning", "timestamp": "1970-01-01T00:00:09.900Z"}'
    lines = [parse_line("n1-1", log, 0)]
    book = ledger.book()
    head, *steps = worst_account(book, audit(book, lines), lines)
    assert head == "message 7: 'delivered', but no client had read it"
    assert [step.split()[2] for step in steps] == [
        "alice/web",
        "n1",
        "n1-1",
        "router",
        "alice/web",
        "router",
    ]
    assert "pause" in steps[1]
    assert "told 'delivered'" in steps[-1]


def test_a_folder_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=str(tmp_path)):
        Book.read(tmp_path)


def test_a_line_that_is_no_entry_is_named(tmp_path: Path) -> None:
    run = Ledger().book().run
    (tmp_path / RUN_FILE).write_bytes(msgspec.json.encode(run))
    (tmp_path / "sends.jsonl").write_text('{"what": "sent"}\n')
    with pytest.raises(Unreadable, match=r"sends\.jsonl, line 1"):
        Book.read(tmp_path)
