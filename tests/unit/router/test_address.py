from pathlib import Path

import pytest

from router.errors import InvalidSettings, ServerFailed
from router.settings import Settings
from router.store.address import resolve
from router.store.embedded import EmbeddedServer


def test_a_store_that_is_named_is_that_store() -> None:
    settings = Settings.model_validate({"redis": {"url": "redis://10.0.0.1:7000"}})
    assert resolve(settings) == "redis://10.0.0.1:7000"


def test_the_embedded_store_is_found_where_it_runs(tmp_path: Path) -> None:
    settings = Settings.model_validate({"redis": {"data_dir": str(tmp_path)}})
    with EmbeddedServer(tmp_path) as server:
        assert resolve(settings) == server.address.url


def test_one_that_does_not_run_is_an_error_that_says_how_to_start_it(tmp_path: Path) -> None:
    settings = Settings.model_validate({"redis": {"data_dir": str(tmp_path)}})
    with pytest.raises(ServerFailed, match="switchboard up"):
        resolve(settings)


@pytest.mark.parametrize("mode", ["cluster", "sentinel"])
def test_the_embedded_store_is_one_server(tmp_path: Path, mode: str) -> None:
    settings = Settings.model_validate({"redis": {"data_dir": str(tmp_path), "mode": mode}})
    with pytest.raises(InvalidSettings, match="is not for the embedded store: name servers in"):
        resolve(settings)
