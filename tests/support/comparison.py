"""A document that `scripts/compare` wrote on a 2-core machine, to try what needs no measuring."""

from pathlib import Path
from typing import Final

from scripts.comparison.document import Document, load

FILE: Final = Path(__file__).parent / "comparison-results.json"
RECORDED: Final[Document] = load(FILE.read_bytes())
