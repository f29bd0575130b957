"""Starts Snakemake without the seconds that its imports take: forks of a process that has it.

Each line of standard input asks for one run; when that has ended, its exit status is a line of
standard output.
"""

import gc
import json
import os
import sys

import snakemake.cli


def become_snakemake(
    arguments: list[str], folder: str, stdout: str, stderr: str, environment: dict[str, str]
) -> None:
    """Be what ``snakemake`` typed in ``folder`` is, and write where it is told to."""
    os.chdir(folder)
    os.environ.update(environment)
    for path, number in (("/dev/null", 0), (stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_RDWR), number)
    sys.argv = ["snakemake", *arguments]
    snakemake.cli.main()
    sys.exit()


def serve() -> None:
    """Fork for every request until standard input is closed."""
    gc.freeze()
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            become_snakemake(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
