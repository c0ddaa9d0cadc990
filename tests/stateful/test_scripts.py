"""The scripts do what the model's store does, whatever order they are called in."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from router.store.embedded import EmbeddedServer
from tests.model import store as model_store
from tests.model.draft import Draft
from tests.model.machine import beginning
from tests.model.rules import Configuration, Rules
from tests.model.state import Copy, Endpoint
from tests.stateful.real_store import RealStore, contents_of
from tests.support.valkey import plain_client

ENDPOINTS = ("A0", "A1", "B0")
CLUSTER = Configuration("M N O P Q:u m:v", devices=2, absent="u v")
COPIES = st.lists(st.builds(Copy, *[st.integers(0, 5)] * 4), min_size=1, max_size=3).map(tuple)
endpoint = st.sampled_from(ENDPOINTS)
token = st.sampled_from(("one", "other"))
session = st.integers(0, 5)
astray = st.sampled_from((0, 0, 0, 1, -1))  # mostly the right position


class Scripts(RuleBasedStateMachine):
    """Tells the real store and the model the same, and compares what they answer and keep."""

    redis: Redis

    @initialize()
    def begin(self) -> None:
        self.cluster = Rules(CLUSTER)
        self.model = Draft(beginning(self.cluster))
        self.model.owners = tuple(number % 3 for number in range(6))
        self.model.endpoints = {
            name: Endpoint(name, open=False, lease=False, listed=False) for name in ENDPOINTS
        }
        self.real = RealStore(self.redis, self.cluster)

    def teardown(self) -> None:
        if hasattr(self, "real"):
            self.real.forget_everything()

    def both(self, name: str, *arguments: object) -> None:
        real = self.real.run(name, self.model, *arguments)
        said = getattr(model_store, name)(self.model, self.cluster, *arguments)
        assert real == said, name

    @invariant()
    def the_same_lies_in_both(self) -> None:
        if hasattr(self, "real"):
            assert self.real.contents(ENDPOINTS) == contents_of(self.model)

    # ---- endpoints --------------------------------------------------------------------------

    @rule(endpoint=endpoint)
    def opens(self, endpoint: str) -> None:
        self.both("open_endpoint", endpoint)

    @rule(endpoint=endpoint)
    def beats(self, endpoint: str) -> None:
        self.both("heartbeat", endpoint)

    @rule(endpoint=endpoint)
    def closes(self, endpoint: str) -> None:
        self.both("close", endpoint)

    @rule(endpoint=endpoint, copies=COPIES)
    def pushes(self, endpoint: str, copies: tuple[Copy, ...]) -> None:
        self.both("push", endpoint, copies)

    @rule(endpoint=endpoint, count=st.integers(1, 3), astray=astray)
    def trims(self, endpoint: str, count: int, astray: int) -> None:
        self.both("trim", endpoint, self.model.endpoints[endpoint].done + astray, count)

    @rule(endpoint=endpoint, token=token)
    def fences(self, endpoint: str, token: str) -> None:
        self.both("fence", endpoint, token)

    @rule(endpoint=endpoint, token=token, count=st.integers(0, 3), astray=astray)
    def salvages(self, endpoint: str, token: str, count: int, astray: int) -> None:
        self.both("salvage", endpoint, token, self.model.endpoints[endpoint].done + astray, count)

    @rule(endpoint=endpoint, token=token)
    def buries(self, endpoint: str, token: str) -> None:
        self.both("bury", endpoint, token)

    @rule(endpoint=endpoint)
    def unlists(self, endpoint: str) -> None:
        self.both("unlist", endpoint)

    @rule(endpoint=endpoint)
    def lease_ends(self, endpoint: str) -> None:
        self.real.lease_ends(endpoint)
        self.model.endpoint(endpoint, lease=False)

    @rule(endpoint=endpoint)
    def token_ends(self, endpoint: str) -> None:
        self.real.token_ends(endpoint)
        self.model.endpoint(endpoint, rescuer="")

    # ---- users ------------------------------------------------------------------------------

    def user_of(self, session: int) -> str:
        return self.cluster.people[self.model.owners[session]][0]

    @rule(endpoint=endpoint, session=session)
    def registers(self, endpoint: str, session: int) -> None:
        user = self.user_of(session)
        self.both("index", endpoint, user)
        self.both("register", user, endpoint, session)

    @rule(endpoint=endpoint, session=session)
    def unregisters(self, endpoint: str, session: int) -> None:
        self.both("unregister", self.user_of(session), endpoint, session)

    @rule(endpoint=endpoint, session=session)
    def unlists_user(self, endpoint: str, session: int) -> None:
        self.both("unlist_user", endpoint, self.user_of(session))

    @rule(endpoint=endpoint, session=session, keep=st.sets(session, max_size=2))
    def forgets(self, endpoint: str, session: int, keep: set[int]) -> None:
        self.both("forget", self.user_of(session), endpoint, tuple(sorted(keep)))

    # ---- the mailbox ------------------------------------------------------------------------

    @rule(message=st.integers(0, 4))
    def stores(self, message: int) -> None:
        self.both("look_up_durable", message, "u")

    @rule(client=st.integers(0, 1), since=st.none() | st.integers(0, 9))
    def resumes(self, client: int, since: int | None) -> None:
        known = len(self.model.log)
        self.both("resume", client, None if since is None else min(since, known))

    @precondition(lambda self: self.model.log)
    @rule(client=st.integers(0, 1), back=st.integers(0, 3))
    def acknowledges(self, client: int, back: int) -> None:
        self.both("acknowledge", client, max(1, len(self.model.log) - back))


def _play(server: EmbeddedServer, examples: int) -> None:
    with plain_client(server.address.url) as client:
        machine = type("Connected", (Scripts,), {"redis": client})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_the_scripts_and_the_model_never_differ(store: EmbeddedServer) -> None:
    _play(store, 100)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_the_scripts_and_the_model_never_differ_in_a_long_game(store: EmbeddedServer) -> None:
    _play(store, 1_000)
