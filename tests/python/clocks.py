"""Server clocks that a test can set while the server runs, with a small library preloaded into
it."""

import os
import struct
import subprocess
from pathlib import Path

import harness
from harness import check_equal

SHIM = Path(__file__).resolve().parent / "clock_shim.c"


class Clocks:
    """The offsets that are added to the clocks of the servers that it starts."""

    def __init__(self, run):
        self.run = run
        self.file = run.root / "clocks"
        self.library = run.root / "clock_shim.so"
        self.wall = self.boot = 0
        subprocess.run([*os.environ.get("CC", "cc").split(), "-O1", "-shared", "-fPIC", "-o",
                        str(self.library), str(SHIM)], check=True)
        self.write()

    def write(self):
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("<qq", self.wall, self.boot))

    def jump(self, us):
        """Sets the wall clock."""
        self.wall += us
        self.write()

    def pass_time(self, us):
        """The machine was suspended for this long: both clocks advance."""
        self.boot += us
        self.jump(us)

    def environment(self):
        return ("env", f"LD_PRELOAD={self.library}", f"TILL_TEST_CLOCK={self.file}",
                "ASAN_OPTIONS=verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""))

    def serve(self, folder=None, *options):
        return self.run.serve(folder, options, self.environment())

    def refused(self, folder, *options):
        """The message of a server that does not start."""
        command = [*self.environment(), *harness.serve_command(self.run.binary, folder), *options]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60,
                                stdin=subprocess.DEVNULL)
        check_equal(result.returncode, 1, f"the exit code: {result.stdout}")
        return result.stderr


def another_boot(folder):
    """Removes the proof of how much time has passed, as after the machine was switched off."""
    (folder / "clock-note.till").unlink(missing_ok=True)
