"""PNGs of the charts, drawn by a headless Chromium, which most machines that want them have."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.comparison.chart import HEIGHT, WIDTH, Chart, svg
from scripts.comparison.page import picture_style
from scripts.measuring.browser import find_browser

_LIMIT_SECONDS = 30
_SCALE = 2


def draw(charts: Sequence[Chart], out: Path) -> list[str]:
    """Write `<name>.svg` and, where a Chromium is, `<name>.png` of each chart; return lines."""
    style = picture_style()
    for chart in charts:
        (out / f"{chart.name}.svg").write_text(svg(chart, style) + "\n", encoding="utf-8")
    browser = find_browser()
    if browser is None:
        return ["no PNGs: they need Chromium (Debian: apt install chromium); the SVGs are there"]
    failed = [chart.name for chart in charts if not _shoot(browser, out, chart.name)]
    return [f"{browser} did not draw {name}.png" for name in failed]


def _shoot(browser: str, out: Path, name: str) -> bool:
    """Return whether the browser drew one picture."""
    picture = out / f"{name}.png"
    with tempfile.TemporaryDirectory(prefix="switchboard-compare-") as profile:
        command = [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--no-first-run", "--disable-background-networking", "--disable-sync"),
            f"--user-data-dir={profile}",
            f"--force-device-scale-factor={_SCALE}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={picture.absolute()}",
            (out / f"{name}.svg").absolute().as_uri(),
        ]
        try:
            subprocess.run(command, capture_output=True, timeout=_LIMIT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return picture.exists()
