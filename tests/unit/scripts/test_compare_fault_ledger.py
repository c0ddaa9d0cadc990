from scripts.comparison.fault_ledger import tally

SECOND = 1_000_000_000


def test_every_fate_is_counted_once() -> None:
    row = tally(
        "routed",
        "node killed",
        4,
        sent_ns=[SECOND] * 5,
        at_ns=[2 * SECOND, 0, 0, 3 * SECOND, SECOND + 1_000_000],
        words=["delivered", "accepted", "unknown", "unknown", "written"],
        twice=[4],
    )
    assert (row.messages, row.arrived) == (5, 3)
    assert (row.lost_silently, row.told, row.unsure, row.late, row.twice) == (1, 1, 1, 1, 1)
    assert row.slowest_ms == 2000.0
    assert row.outcomes == {"delivered": 1, "accepted": 1, "unknown": 2, "written": 1}


def test_a_second_is_not_late() -> None:
    row = tally("channel", "node stopped", 4, [0], [SECOND], ["accepted"], [])
    assert row.late == 0


def test_a_send_without_an_answer_was_not_told_that_all_is_well() -> None:
    row = tally("channel", "store restarted", 4, [1], [0], [""], [])
    assert (row.lost_silently, row.told, row.slowest_ms) == (0, 1, None)
    assert row.outcomes == {"nothing": 1}
