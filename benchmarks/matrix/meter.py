"""The CPU time of a process and all that it starts, whoever reaps them."""

import threading
import time

import psutil


class Meter(threading.Thread):
    """Add up the CPU time of all descendants of this process, looking ten times a second.

    What the system adds up for a parent leaves out children that nobody waits for, such as the
    forks of `workflow_scripts.warm`. What a process does in its last tenth of a second is missed.
    """

    def __init__(self) -> None:
        """Prepare; ``with`` starts it and stops it."""
        super().__init__(daemon=True)
        self._seen: dict[tuple[int, float], float] = {}
        self._halt = threading.Event()
        self.wall_seconds = 0.0

    @property
    def cpu_seconds(self) -> float:
        """The CPU time so far, user's and system's."""
        return sum(self._seen.values())

    @property
    def processes(self) -> int:
        """How many processes were seen."""
        return len(self._seen)

    def __enter__(self) -> "Meter":
        """Start."""
        self._began = time.perf_counter()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.wall_seconds = time.perf_counter() - self._began
        self._halt.set()
        self.join()

    def run(self) -> None:
        """Look, until stopped."""
        own = psutil.Process()
        while not self._halt.wait(0.1):
            for process in own.children(recursive=True):
                try:
                    times = process.cpu_times()
                    key = (process.pid, process.create_time())
                except psutil.Error:
                    continue
                self._seen[key] = times.user + times.system
