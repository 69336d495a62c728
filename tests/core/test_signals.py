"""Signals end waits."""

from __future__ import annotations

import subprocess
import sys


def test_a_signal_just_before_a_wait_ends_the_wait() -> None:
    code = (
        "import os, signal, time; from genrepipe.core import errors, signals\n"
        "signals.install()\n"
        "with signals.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    for after in (False, True):\n"
        "        try: signals.call_interruptibly(lambda: time.sleep(60), 0.5, after_signal=after)\n"
        "        except (errors.Terminated, TimeoutError) as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == ["Terminated", "TimeoutError"]
