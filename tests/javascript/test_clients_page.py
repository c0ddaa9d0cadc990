"""What docs/clients.md tells of the JavaScript client, and its program in Node.js."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.javascript.conftest import MODULES
from tests.support.documents import ROOT, code_in, read
from tests.support.processes import Switchboard, free_port_range, wait_until

PAGE = read("docs/clients.md")
STATIC = ROOT / "node" / "web" / "static"
TYPES = (STATIC / "switchboard.d.ts").read_text()


def fields_of(interface: str) -> list[str]:
    body = re.search(rf"interface {interface} {{\n(.*?)\n}}", TYPES, re.DOTALL)
    assert body is not None
    return re.findall(r"^  (\w+)\??:", body[1], re.MULTILINE)


def test_every_option_is_told_with_its_default() -> None:
    rows = PAGE.table("option of `connect`", "default", "what it is").rows
    assert sorted(code_in(row[0])[0] for row in rows) == sorted(fields_of("Options"))
    source = (STATIC / "switchboard.js").read_text()
    block = re.search(r"const DEFAULTS = {\n(.*?)\n};", source, re.DOTALL)
    assert block is not None
    real = dict(re.findall(r"(\w+): ([\d_]+),", block[1]))
    assert {
        code_in(row[0])[0]: row[1].replace(",", "_") for row in rows if row[1][:1].isdigit()
    } == real


def test_every_event_is_told() -> None:
    rows = PAGE.table("event", "told").rows
    assert [code_in(row[0])[0] for row in rows] == fields_of("Events")


def test_every_code_of_its_own_is_told() -> None:
    rows = PAGE.table("code of `SwitchboardError`", "means").rows
    told = {code_in(row[0])[0] for row in rows}
    documented = (STATIC / "switchboard" / "errors.js").read_text()
    assert told == set(re.findall(r"^ \* - `(\w+)`", documented, re.MULTILINE))
    sources = "".join(path.read_text() for path in STATIC.glob("switchboard*/*.js"))
    sources += (STATIC / "switchboard.js").read_text()
    used = re.findall(r'(?:SwitchboardError\(|#reject\(send, )"(\w+)"', sources)
    assert told == set(used)


@contextmanager
def program(node: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    done = subprocess.Popen(
        [node, "desk.js"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield done
    finally:
        done.kill()
        done.communicate()


def test_the_program_for_node_does_what_is_told(node: str, tmp_path: Path) -> None:
    (fence,) = [each for each in PAGE.fences if each.lines[0] == "// desk.js"]
    port = free_port_range(2)
    with Switchboard(tmp_path, "up", "--nodes", "2", "--port", str(port), "--json") as cluster:
        cluster.document()
        text = fence.text.replace(":8001/", f":{port}/").replace(":8002/", f":{port + 1}/")
        (tmp_path / "desk.js").write_text(text)
        (tmp_path / "package.json").write_text('{"type": "module"}')
        (tmp_path / "node_modules").symlink_to(MODULES)
        shutil.copy(STATIC / "switchboard.js", tmp_path)
        shutil.copytree(STATIC / "switchboard", tmp_path / "switchboard")
        with program(node, tmp_path) as desk:
            assert desk.stdout is not None
            assert desk.stdout.readline() == "connected to n1\n"
            for data in ('{"order":42}', "enough"):  # it leaves before it can prove the last one
                with Switchboard(tmp_path, "send", "alice", data, "--confirm", "written") as send:
                    assert send.wait() == 0
            assert desk.stdout.read() == "somebody says { order: 42 }\nsomebody says enough\n"
            wait_until(lambda: desk.poll() is not None, "it ends by itself")
            assert desk.returncode == 0
