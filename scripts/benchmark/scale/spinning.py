"""Program: does nothing but read the clock, and tells how often it was held up.

What holds it up is the machine: other programs, interrupts, and the host of a virtual one. It is
what `redis-cli --intrinsic-latency` measures
(https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/latency/).
"""

import asyncio
import time

from scripts.measuring.peer import Request, serve


async def spin(request: Request) -> Request:
    """Read the clock for `seconds`; answer `times` and `longest_ms` of gaps over `over_us`."""
    over_ns, times, longest_ns = request["over_us"] * 1_000, 0, 0
    last = time.monotonic_ns()
    until = last + round(request["seconds"] * 1e9)
    while last < until:
        now = time.monotonic_ns()
        if now - last > over_ns:
            times += 1
        longest_ns = max(longest_ns, now - last)
        last = now
    return {"times": times, "longest_ms": longest_ns / 1e6}


if __name__ == "__main__":
    asyncio.run(serve({"spin": spin}, {"ready": True}))
