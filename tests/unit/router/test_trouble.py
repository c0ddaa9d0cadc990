"""What each error reply means, by its first word and by nothing else."""

import pytest

from router.store.trouble import OTHER, TROUBLES, Meaning, trouble_of


@pytest.mark.parametrize("word", TROUBLES)
def test_an_error_is_known_by_its_first_word(word: str) -> None:
    assert trouble_of(f"{word} whatever the store says of it") is TROUBLES[word]
    assert trouble_of(word) is TROUBLES[word]


@pytest.mark.parametrize("error", ["", "ERR OOM", "OOMS", "oom command", "WRONGNUMBER of things"])
def test_any_other_error_is_refused(error: str) -> None:
    assert trouble_of(error) is OTHER
    assert OTHER.meaning is Meaning.REFUSED


def test_every_meaning_is_somebodys() -> None:
    assert {trouble.meaning for trouble in TROUBLES.values()} == set(Meaning)
