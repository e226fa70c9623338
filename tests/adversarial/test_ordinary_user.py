"""Where the tests run as root: all other adversarial tests once more as an ordinary user, whose sandbox is made in another way (a user namespace first)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOBODY = 65534
HERE = Path(__file__).parent


def interpreter() -> str:
    """A Python of this version that an ordinary user may start and that finds our packages."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            done = subprocess.run(
                [candidate, "-c", "import rrtf.sandbox, pytest, psutil"],
                env=environment(),
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                cwd="/",
                capture_output=True,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip(f"no {version} here that an ordinary user may start with our packages")


def environment() -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.environ.get("PATH", ""),
        "HOME": "/nonexistent",
    }


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="already an ordinary user")
def test_all_of_it_as_an_ordinary_user():
    command = [interpreter(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", str(HERE), f"--ignore={Path(__file__)}", f"--rootdir={HERE.parent.parent}"]
    done = subprocess.run(command, env=environment(), user=NOBODY, group=NOBODY, extra_groups=[], cwd=HERE.parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
