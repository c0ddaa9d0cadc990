"""Which kind of store the setting means."""

import pytest

from router.counts import Counts
from router.service import Services
from router.settings import RedisSettings
from router.store.cluster import Cluster, ClusterConnector
from router.store.connect import Connector
from router.store.modes import make_connector, make_store
from router.store.sentinel import SentinelConnector
from router.store.single import Single

URL = "redis://user:secret@a:1,b"


@pytest.mark.parametrize(
    ("mode", "connects", "is_a"),
    [
        ("single", Connector, Single),
        ("cluster", ClusterConnector, Cluster),
        ("sentinel", SentinelConnector, Single),
    ],
)
def test_each_mode_has_its_own_kind(mode: str, connects: type, is_a: type) -> None:
    settings = RedisSettings.model_validate({"mode": mode})
    services, counts = Services(), Counts()
    connector = make_connector(URL, settings, services, counts)
    store = make_store(connector, "test")
    assert type(connector) is connects
    assert type(store) is is_a
    assert connector.services is services
    assert store.counts is counts
    assert store.address == connector.address
    assert "secret" not in store.address
    assert not store.up


def test_sentinels_are_named_with_the_name_of_the_master_and_their_own_port() -> None:
    settings = RedisSettings(mode="sentinel", sentinel_master="chat")
    for url in ("redis://a:1,b/3", URL, "redis://:secret@a:1,b/3"):
        address = make_connector(url, settings).address
        assert address == "chat of the Sentinels a:1, b:26379"
