"""`make test` and `make soak`: the tests with everything they need, started by themselves; nothing skipped silently.

python -m strvsocial.local.suite test|soak [pytest arguments]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from strvsocial.local.problems import LocalProblem
from strvsocial.local.sections import Sections
from strvsocial.local.steps import tell
from strvsocial.local.system_packages import FOR_TESTS, ensure_packages
from strvsocial.settings import ROOT

MARKS = {"test": "not soak", "soak": "soak"}
SIDE_BY_SIDE = ["-n", "2", "--dist", "loadfile"]
"""Each file has a database of its own, so two may run at once; half of the time is waiting for browsers and processes."""


def main(arguments: list[str]) -> int:
    suite, rest = arguments[0], arguments[1:]
    with tempfile.TemporaryDirectory(prefix="strv-suite-") as data_dir:
        env = suite_environment(Path(data_dir), ensure_packages(FOR_TESTS, ROOT / ".data" / "logs"))
        sections = Sections(ROOT)
        many = SIDE_BY_SIDE if suite == "test" and not rest else []
        command = [sys.executable, "-m", "pytest", "-m", MARKS[suite], "-rfEs", "--durations=25", *many, *rest]
        sections.run(suite, command, env)
        return sections.finish()


def suite_environment(data_dir: Path, programs: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without anything that could lead the tests to a real site."""
    private = ("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "PORT", "HOST")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in private and (not name.startswith(("STRV_", "AWS_")) or name.startswith("STRV_TEST_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "src"),
        "STRV_DATA_DIR": str(data_dir),
        **programs,
        "STRV_TEST_STRICT": "1",
    }


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except LocalProblem as problem:
        tell(problem)
        sys.exit(1)
