"""What the model does to its store, the real scripts do to theirs: same answers, same contents."""

import pytest
from redis import Redis

from router.store.embedded import EmbeddedServer
from tests.model.configurations import CONFIGURATIONS
from tests.model.draft import Draft
from tests.model.machine import beginning, rules_of
from tests.model.rules import Rules
from tests.model.state import State
from tests.stateful.real_store import RealStore, contents_of
from tests.stateful.traces import Moment, Recorder, walk
from tests.support.valkey import plain_client

# A real store cannot be rolled back under a test's prefix alone.
WALKED = [name for name, each in CONFIGURATIONS.items() if not each.budget.rollback]
LENGTH = 80


def furnish(real: RealStore, state: State) -> None:
    """Put into the real store what the model begins with."""
    d = Draft(state)
    for endpoint in state.endpoints:
        real.run("open_endpoint", d, endpoint.name)
        for user in sorted(endpoint.users):
            real.run("index", d, endpoint.name, user)
    for user, endpoint_name, session in sorted(state.routes):
        real.run("register", d, user, endpoint_name, session)


def repeat(real: RealStore, moment: Moment, before: State) -> None:
    """Let the real store do what one step of the model did to its own."""
    d = Draft(moment.after)
    for call in moment.calls:
        assert real.run(call.name, d, *call.arguments) == call.answer, (moment.step, call)
    name, *about = moment.step
    if name == "lease ends":
        real.lease_ends(about[0])
    elif name == "hand over":
        left = next(node for node in before.nodes if node.name == about[0])
        real.lease_ends(left.endpoint)
    elif name == "token ends":
        real.token_ends(about[0])
    elif name == "routes end":
        for user in {route[0] for route in before.routes - moment.after.routes}:
            real.routes_end(user)


def follow(redis: "Redis", patch: pytest.MonkeyPatch, name: str, seed: int) -> int:
    """Walk once; return how many calls were compared."""
    rules: Rules = rules_of(CONFIGURATIONS[name])[0]
    state = beginning(rules)
    real = RealStore(redis, rules)
    furnish(real, state)
    compared = 0
    with patch.context() as within:
        recorder = Recorder(within)
        for moment in walk(recorder, CONFIGURATIONS[name], seed, LENGTH):
            repeat(real, moment, state)
            state = moment.after
            endpoints = [endpoint.name for endpoint in state.endpoints]
            assert real.contents(endpoints) == contents_of(Draft(state)), moment.step
            compared += len(moment.calls)
    real.forget_everything()
    return compared


@pytest.mark.parametrize("name", WALKED)
def test_the_real_scripts_follow_the_model(
    name: str, store: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plain_client(store.address.url) as client:
        assert sum(follow(client, monkeypatch, name, seed) for seed in range(5)) >= 10


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", WALKED)
def test_the_real_scripts_follow_the_model_on_many_ways(
    name: str, store: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plain_client(store.address.url) as client:
        for seed in range(5, 200):
            follow(client, monkeypatch, name, seed)
