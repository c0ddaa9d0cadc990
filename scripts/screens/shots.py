"""The pictures: what is done on each page before, and how it is looked at."""

import math
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, FloatRect, Page, ViewportSize, expect

_DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 900}
_PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_SCALE: Final = 1.5  # readable on a fine screen, and still a small file
_REDRAWN_MS: Final = 2_500
_HEARTBEATS_MS: Final = 6_000
_MARGIN: Final = 12
_TOP_OF_TOOLS: Final = "document.querySelector('.tools').getBoundingClientRect().top + scrollY"


async def _tab(browser: Browser, url: str) -> Page:
    context = await browser.new_context(viewport=_DESKTOP, device_scale_factor=_SCALE)
    page = await context.new_page()
    await page.goto(url)
    return page


async def _look(page: Page, look: str, size: ViewportSize) -> None:
    await page.emulate_media(color_scheme="dark" if look == "dark" else "light")
    await page.set_viewport_size(size)
    await page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(_REDRAWN_MS)


async def _height(page: Page, script: str) -> int:
    return math.ceil(float(await page.evaluate(script)))


async def open_dashboard(browser: Browser, url: str) -> Page:
    """Open the operator's page, so that its history begins."""
    page = await _tab(browser, f"{url}dashboard")
    await expect(page.locator("#state")).to_have_text("Live")
    return page


async def take_dashboard(page: Page, folder: Path) -> None:
    """Look somebody up, follow a message to them, and take the pictures."""
    await page.get_by_label("User id").fill("alice")
    await page.get_by_role("button", name="Look up").click()
    await expect(page.locator("#sessions li")).to_have_count(2)
    await page.locator("#test-data").fill("Can you hear me?")
    await page.get_by_role("button", name="Send and trace").click()
    await expect(page.locator("#steps li").last).to_contain_text("told to the sender")
    for look in ("light", "dark"):
        # All of it is in sight: what is not is not drawn anew.
        whole = await _height(page, "document.documentElement.scrollHeight")
        await _look(page, look, {**_DESKTOP, "height": whole})
        top = await _height(page, _TOP_OF_TOOLS) - _MARGIN
        below: FloatRect = {"x": 0, "y": top, "width": _DESKTOP["width"], "height": whole - top}
        await page.screenshot(path=folder / f"dashboard-user-{look}.png", clip=below)
        await _look(page, look, {**_DESKTOP, "height": top})
        await page.screenshot(path=folder / f"dashboard-{look}.png")
    await _look(page, "phone", _PHONE)
    await page.screenshot(path=folder / "dashboard-phone.png")


async def _become(page: Page, user: str, node: str) -> None:
    await page.get_by_label("User id").fill(user)
    choice = page.locator("#node option", has_text=node)
    await page.locator("#node").select_option(await choice.get_attribute("value"))
    await page.get_by_role("button", name="Connect", exact=True).click()
    await expect(page.locator("#state")).to_contain_text(f"Connected to {node}")


async def _say(page: Page, to: str, text: str, outcome: str) -> None:
    await page.get_by_label("To user").fill(to)
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("#outcome")).to_have_text(outcome)


async def take_page(browser: Browser, url: str, folder: Path) -> None:
    """Let two people write to each other over two nodes, and take what one of them sees."""
    bob, carol = await _tab(browser, url), await _tab(browser, url)
    await _become(bob, "bob", "n1")
    await _become(carol, "carol", "n2")
    await _say(bob, "carol", "Hello from n1!", "delivered")
    await _say(carol, "bob", "Hello bob, this is carol on n2.", "delivered")
    await _say(bob, "dave", "Are you there?", "offline")
    await _say(carol, "bob", '{"order": 42, "state": "shipped"}', "delivered")
    await expect(bob.locator("#received li")).to_have_count(2)
    number = bob.locator("#nodes [data-node=n2] .number")
    await expect(number).to_have_text("1")  # so that the next one moves it alone
    await bob.wait_for_timeout(_HEARTBEATS_MS)
    await _say(bob, "carol", "Thank you.", "delivered")
    await expect(number).to_have_text("2")
    for look, size in (("light", _DESKTOP), ("dark", _DESKTOP), ("phone", _PHONE)):
        await _look(bob, look, size)
        if look != "phone":
            whole = await _height(bob, "document.documentElement.scrollHeight")
            await bob.set_viewport_size({**size, "height": whole})
        await bob.screenshot(path=folder / f"page-{look}.png")
