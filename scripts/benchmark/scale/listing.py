"""How long a page of the online users takes, from the first, and from anywhere."""

import time
from random import Random

from router.directory import MAX_PAGE, Directory
from router.store.mailbox import Mailbox
from scripts.benchmark.scale.crowd import Crowd
from scripts.benchmark.scale.people import user_of
from scripts.benchmark.scale.rows import Faulty, Row
from scripts.benchmark.scale.stage import Stage
from scripts.measuring.stats import Spread, percentile

AIM_MS = 50
_PAGES_PER_REPEAT = 6


async def measure(stage: Stage) -> list[Row]:
    """Ask for pages as `GET /api/v1/users` does, behind users drawn by chance."""
    crowd = stage.large
    mailbox = Mailbox(crowd.store, crowd.keys, crowd.settings.mailbox)
    directory = Directory(crowd.registry, crowd.leases, mailbox)
    dice = Random(1)
    took_ms, spent_ms = [], []
    pages = stage.options.repeats * _PAGES_PER_REPEAT
    for page in range(pages):
        after = dice.randrange(crowd.users) if page else -1
        before = crowd.cpu_ns()
        took_ms.append(await _page_ms(directory, crowd, after))
        spent_ms.append((crowd.cpu_ns() - before) / 1e6)
        stage.tell(f"page {page + 1}", (page + 1) / pages)
    size = f"{MAX_PAGE:,} users of {crowd.users:,}, {len(crowd.endpoints)} endpoints"
    note = f"{pages} pages; 95 of 100 within {percentile(took_ms, 95):.1f} ms"
    return [
        Row("time to list a page", Spread.of(took_ms), "ms", AIM_MS, size, note),
        Row("store CPU per page", Spread.of(spent_ms), "ms", size=size),
    ]


async def _page_ms(directory: Directory, crowd: Crowd, after: int) -> float:
    """Return how long one page takes; it is looked at whether it is the right one.

    Args:
        after: number of the user before the first; -1 for the first page.
    """
    cursor = user_of(after) if after >= 0 else ""
    begin = time.perf_counter_ns()
    page, _ = await directory.page(limit=MAX_PAGE, cursor=cursor)
    took_ms = (time.perf_counter_ns() - begin) / 1e6
    last = min(after + MAX_PAGE, crowd.users - 1)
    if [user.user for user in page] != [user_of(number) for number in range(after + 1, last + 1)]:
        raise Faulty(f"the page behind {cursor!r} is not the right one")
    return took_ms
