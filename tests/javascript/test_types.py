"""switchboard.d.ts is what switchboard.js does; a real compiler reads both."""

import json

from tests.javascript.conftest import MODULES, run
from tests.support.documents import ROOT

STATIC = ROOT / "node" / "web" / "static"
STRICT = ("--noEmit", "--strict", "--noUnusedLocals", "--target", "es2022", "--module", "nodenext")
LIBRARIES = ("--lib", "es2022,dom,dom.iterable")

# What a module exports, and what its classes offer; the same from a module and from declarations.
_MEMBERS = """
const all = await import("./node/web/static/switchboard.js");
const members = (thing) => Object.getOwnPropertyNames(thing.prototype ?? {});
console.log(JSON.stringify(Object.entries(all).flatMap(([name, thing]) => [
    name,
    ...(name === "Client" ? members(thing).map((member) => `Client.${member}`) : []),
])));
"""
_DECLARED = """
import ts from "./tests/node_modules/typescript/lib/typescript.js";
import { readFileSync } from "node:fs";
const path = "node/web/static/switchboard.d.ts";
const source = ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.ES2022);
const told = new Set();
for (const each of source.statements) {
    if (ts.isFunctionDeclaration(each) || ts.isClassDeclaration(each)) told.add(each.name.text);
    if (each.name?.text !== "Client") continue;
    for (const member of each.members) told.add(`Client.${member.name?.text ?? "constructor"}`);
}
console.log(JSON.stringify([...told]));
"""


def tsc(*arguments: str) -> None:
    run(str(MODULES / ".bin" / "tsc"), *STRICT, *LIBRARIES, *arguments)


def test_an_application_can_use_it_and_its_mistakes_are_found(node: str) -> None:
    tsc("tests/javascript/usage.ts")


def test_the_modules_themselves_have_no_type_errors(node: str) -> None:
    modules = [STATIC / "switchboard.js", *sorted((STATIC / "switchboard").glob("*.js"))]
    assert len(modules) > 5
    tsc("--allowJs", "--checkJs", *map(str, modules))


def test_nor_have_those_of_the_dashboard(node: str) -> None:
    modules = sorted((STATIC / "dashboard").glob("*.js"))
    assert len(modules) > 5
    tsc("--allowJs", "--checkJs", *map(str, modules))


def test_everything_is_declared_and_nothing_else(node: str) -> None:
    real, told = (
        set(json.loads(run(node, "--input-type=module", "--eval", script)))
        for script in (_MEMBERS, _DECLARED)
    )
    assert real == told
    assert "Client.send" in real
