"""The shapes of answers, shared by the API and by --json."""

import msgspec

from node import views
from router.model import (
    Confirm,
    Endpoint,
    EndpointId,
    MessageId,
    OnlineUser,
    Outcome,
    SendResult,
    Session,
    SessionId,
    UserId,
    UserStatus,
)

ALICE, BOB = UserId("alice"), UserId("bob")


def as_json(view: msgspec.Struct) -> str:
    return msgspec.json.encode(view).decode()


def result(user: UserId, outcome: Outcome, reason: str = "") -> SendResult:
    return SendResult(MessageId("m1"), user, outcome, 2, reason)


def endpoint(name: str, state: str = "live", count: int = 1) -> Endpoint:
    return Endpoint(
        name=name,
        endpoint=EndpointId(f"{name}.e1"),
        role="node",
        pid=7,
        address="127.0.0.1:8001",
        state=state,
        sessions=count,
        inbox_length=2 * count,
        heartbeat_age_seconds=0.5 if state == "live" else None,
        received=3 * count,
        delivered=4 * count,
        received_per_second=0.25 * count,
        delivered_per_second=0.5 * count,
    )


def test_a_send_without_a_reason_does_not_mention_one() -> None:
    told = as_json(views.sent(result(ALICE, Outcome.DELIVERED)))
    assert told == '{"id":"m1","user":"alice","outcome":"delivered","sessions":2}'


def test_a_send_with_a_reason_gives_it() -> None:
    told = as_json(views.sent(result(ALICE, Outcome.UNKNOWN, "time ran out")))
    assert told.endswith('"outcome":"unknown","sessions":2,"reason":"time ran out"}')


def test_a_send_to_many_has_one_id_and_the_reasons_there_are() -> None:
    results = {ALICE: result(ALICE, Outcome.OFFLINE), BOB: result(BOB, Outcome.BUSY, "full")}
    assert as_json(views.sent_to_many(results)) == (
        '{"id":"m1","outcomes":{"alice":"offline","bob":"busy"},"reasons":{"bob":"full"}}'
    )


def test_a_page_of_users_keeps_its_order_and_its_cursor() -> None:
    users = [OnlineUser(ALICE, 2, ("n1", "n2"), 1.5), OnlineUser(BOB, 1, ("n1",), 2.5)]
    assert as_json(views.online_page(users, "bob")) == (
        '{"users":[{"user":"alice","sessions":2,"nodes":["n1","n2"],"since":1.5},'
        '{"user":"bob","sessions":1,"nodes":["n1"],"since":2.5}],"cursor":"bob"}'
    )


def test_a_user_is_online_by_having_sessions() -> None:
    session = Session(SessionId("s1"), EndpointId("n1.e1"), "web", "127.0.0.1", 1.5)
    assert as_json(views.user(UserStatus(ALICE, [session], 0, None))) == (
        '{"user":"alice","online":true,"sessions":[{"session":"s1","node":"n1",'
        '"endpoint":"n1.e1","device":"web","address":"127.0.0.1","since":1.5}],'
        '"mailbox":0,"last_seen":null}'
    )
    assert as_json(views.user(UserStatus(BOB, [], 3, 2.5))) == (
        '{"user":"bob","online":false,"sessions":[],"mailbox":3,"last_seen":2.5}'
    )


def test_a_node_is_shown_in_the_words_of_the_contract() -> None:
    assert as_json(views.nodes([endpoint("n1")])) == (
        '{"nodes":[{"name":"n1","endpoint":"n1.e1","pid":7,"address":"127.0.0.1:8001",'
        '"state":"live","sessions":1,"inbox":2,"heartbeat_age_s":0.5,"received":3,"delivered":4,'
        '"received_per_second":0.25,"delivered_per_second":0.5}]}'
    )


def test_stats_sum_up_and_count_what_is_lost_apart() -> None:
    endpoints = [endpoint("n1"), endpoint("n2", count=10), endpoint("n3", "lost", 0)]
    stats = views.stats(endpoints, "routed", frozenset(Confirm))
    assert stats == views.Stats(
        mode="routed",
        confirms=["accepted", "written", "delivered", "acked"],
        nodes=2,
        lost=1,
        sessions=11,
        inbox=22,
        received=33,
        delivered=44,
        received_per_second=2.75,
        delivered_per_second=5.5,
    )
    nothing = views.stats([], "broadcast", {Confirm.ACCEPTED})
    assert (nothing.nodes, nothing.confirms) == (0, ["accepted"])
