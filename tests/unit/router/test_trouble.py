"""What each error reply means, by its first word and by nothing else."""

import pytest

from router.store.trouble import OTHER, TROUBLES, Meaning, known_kind, trouble_of


@pytest.mark.parametrize("word", TROUBLES)
def test_an_error_is_known_by_its_first_word(word: str) -> None:
    assert trouble_of(f"{word} whatever the store says of it") is TROUBLES[word]
    assert trouble_of(word) is TROUBLES[word]


@pytest.mark.parametrize("error", ["", "ERR OOM", "OOMS", "oom command", "WRONGNUMBER of things"])
def test_any_other_error_is_refused(error: str) -> None:
    assert trouble_of(error) is OTHER
    assert OTHER.meaning is Meaning.REFUSED


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ("MOVED 3999 127.0.0.1:6381", Meaning.MOVED),
        ("ASK 3999 127.0.0.1:6381", Meaning.ASK),
        ("ASKING", Meaning.REFUSED),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Meaning.REPEAT),
        ("CLUSTERDOWN Hash slot not served", Meaning.UNAVAILABLE),
        ("CROSSSLOT Keys in request don't hash to the same slot", Meaning.REFUSED),
    ],
)
def test_a_cluster_says_where_a_key_is_and_no_connection_is_given_up_for_that(
    error: str, meaning: Meaning
) -> None:
    assert trouble_of(error).meaning is meaning
    assert not trouble_of(error).elsewhere


def test_every_word_is_counted_by_its_own_name_and_any_other_as_one() -> None:
    assert [known_kind(f"{word} x") for word in TROUBLES] == list(TROUBLES)
    assert known_kind("ERR MOVED") == known_kind("") == "other"


def test_every_meaning_is_somebodys() -> None:
    assert {trouble.meaning for trouble in TROUBLES.values()} == set(Meaning)
