"""Every link of the documents leads somewhere, and every file they name is there."""

import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import pytest

from router.settings import Settings
from tests.support.documents import ROOT, Document, documents, read

ALL: Final = documents()
EACH: Final = pytest.mark.parametrize("document", ALL, ids=lambda document: document.name)
LANGUAGES: Final = {"console", "js", "python", "toml"}
_FOLDERS: Final = "|".join(
    sorted(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and path.name[0] != ".")
)
_FILE: Final = re.compile(rf"^(?:(?:{_FOLDERS}|\.ci)/[\w./-]+|[\w-]+\.(?:md|toml|txt))$")
_SETTING: Final = re.compile(r"`([a-z]+\.[a-z_]+)` \(([\w.]+)\)")


@EACH
def test_every_link_leads_somewhere(document: Document) -> None:
    for target in document.links:
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        assert path.exists(), f"{document.name}: {target}"
        if anchor:
            other = read(path.relative_to(ROOT).as_posix())
            assert anchor in other.anchors, f"{document.name}: {target}"


@EACH
def test_every_file_that_is_named_is_there(document: Document) -> None:
    for word in document.words_in_code:
        name = word.split()[0] if word.strip() else ""
        if _FILE.match(name) and "..." not in name:
            places = (ROOT / name, document.path.parent / name)
            assert any(place.exists() for place in places), f"{document.name}: {name}"


@EACH
def test_fences_are_of_a_kind_that_is_tried(document: Document) -> None:
    kinds = {fence.language for fence in document.fences}
    assert kinds <= LANGUAGES, f"{document.name}: {kinds}"


@EACH
def test_settings_are_told_with_their_defaults(document: Document) -> None:
    defaults = Settings().model_dump()
    for name, value in _SETTING.findall(document.prose):
        section, _, key = name.partition(".")
        assert key in defaults.get(section, {}), f"{document.name}: {name}"
        default = defaults[section][key]
        assert value == str(default).removesuffix(".0"), f"{document.name}: {name}"


@EACH
def test_configurations_that_are_shown_are_valid(document: Document) -> None:
    for fence in document.fences:
        if fence.language == "toml":
            Settings.model_validate(tomllib.loads(fence.text))


def test_images_stand_alone_and_suit_light_and_dark() -> None:
    images = [
        document.path.parent / target
        for document in ALL
        for target in document.links
        if Path(target).suffix == ".svg"
    ]
    assert images
    for image in images:
        text = image.read_text(encoding="utf-8")
        picture = ET.fromstring(text)
        names = {child.tag.rpartition("}")[2] for child in picture}
        assert {"title", "desc"} <= names
        assert "prefers-color-scheme: dark" in text
        assert "href" not in text
        assert text.count("http") == 1  # the name of its own language


def test_every_document_can_be_found_from_the_readme() -> None:
    found: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in found or path.suffix != ".md":
            continue
        found.add(path)
        links = read(path.relative_to(ROOT).as_posix()).links
        here = [target.partition("#")[0] for target in links if not target.startswith("https://")]
        waiting += [(path.parent / name).resolve() for name in here]
    assert {document.path for document in ALL} <= found
