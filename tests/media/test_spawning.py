"""Only the sandbox starts decoders; backups start PostgreSQL's own programs, from the console. `strvsocial.local` starts
servers and installers, and is no part of a running site."""

from __future__ import annotations

import ast

from strvsocial.settings import ROOT

STARTERS = {"Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}
ALLOWED = {"media/sandbox.py", "media/walls.py", "media/children/launch.py", "backups/dumps.py", "backups/programs.py"}


def test_nothing_but_the_sandbox_starts_programs() -> None:
    source = ROOT / "src" / "strvsocial"
    starting = set()
    for path in source.rglob("*.py"):
        name = str(path.relative_to(source))
        if name.startswith("local/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in STARTERS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("subprocess", "asyncio", "os")
                and (node.func.value.id != "asyncio" or node.func.attr != "run")
            ):
                starting.add(name)
    assert "media/sandbox.py" in starting
    assert starting <= ALLOWED
