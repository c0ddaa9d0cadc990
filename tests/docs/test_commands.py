"""Every command of the documents works and shows what the documents say it shows."""

import pytest

from tests.docs.playing import NOT_RUN, Stage
from tests.support.documents import Document, documents

PLAYED = [doc for doc in documents() if any(f.language == "console" for f in doc.fences)]


@pytest.mark.parametrize("document", PLAYED, ids=lambda doc: doc.name)
def test_what_it_shows_is_what_happens(document: Document, stage: Stage) -> None:
    stage.play(document)


def test_nothing_is_excused_that_no_document_says() -> None:
    told = "\n".join(fence.text for doc in PLAYED for fence in doc.fences)
    for command in NOT_RUN:
        assert f"$ {command}\n" in told, command
