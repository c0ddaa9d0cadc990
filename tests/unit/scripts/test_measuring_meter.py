import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from router.store.embedded import EmbeddedServer
from scripts.measuring.meter import (
    NANOSECONDS,
    Reading,
    StoreCount,
    StoreMeter,
    cpu_ns,
    parse_ps_time,
    process_clock,
)

BUSY = """
import time
while time.process_time() < 0.2: pass
print(time.process_time_ns(), flush=True)
input()
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:00.05", 0.05),
        ("  1:02.50\n", 62.5),
        ("00:00:07", 7),
        ("12:34:56", 45_296),
        ("2-00:00:01", 172_801),
        ("123:45.67", 7_425.67),
    ],
)
def test_the_times_of_ps_are_read(text: str, seconds: float) -> None:
    assert parse_ps_time(text) == round(seconds * NANOSECONDS)


@pytest.mark.parametrize("text", ["", "7", "a:b", "1:2:3:4"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ps_time(text)


def test_another_process_is_charged_for_what_it_burned() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        own = int(child.stdout.readline())
        time.sleep(0.05)  # it waits for us now, and waiting costs nothing
        seen = cpu_ns([child.pid])
        assert own <= seen < own + 0.02 * NANOSECONDS
        assert cpu_ns([child.pid, child.pid]) >= 2 * own
        child.communicate(b"\n")


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux only")
def test_the_cpu_clock_agrees_with_the_scheduler() -> None:
    scheduler = int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[0])
    clock = time.clock_gettime_ns(process_clock(os.getpid()))
    threads = sum(
        int((task / "schedstat").read_text(encoding="ascii").split()[0])
        for task in Path("/proc/self/task").iterdir()
    )
    assert scheduler <= clock + 0.02 * NANOSECONDS
    assert threads <= clock + 0.05 * NANOSECONDS


def test_a_process_that_has_ended_has_no_account() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(OSError):
        cpu_ns([child.pid])


def test_readings_subtract_field_by_field() -> None:
    before = Reading(1, 2, 3, 4, StoreCount(5, 6, 7))
    after = Reading(11, 22, 33, 44, StoreCount(55, 66, 77))
    assert after - before == Reading(10, 20, 30, 40, StoreCount(50, 60, 70))


def test_the_store_meter_takes_off_its_own_readings(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "store") as server:
        meter = StoreMeter(server.address.tcp_url)
        before = meter.read()
        for _ in range(20):
            meter.read()
        spent = meter.read() - before
        meter.close()
    assert spent.commands == 0
    assert abs(spent.bytes_in) == 0
    assert abs(spent.bytes_out) < 20 * 16  # its counters grow by a digit now and then
