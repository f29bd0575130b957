"""A real Slurm of three nodes on this machine: daemons from Debian's packages, in one folder.

munge, MariaDB, slurmdbd, slurmctld and three slurmd run in the foreground as children of the
calling process, on loopback, on free ports. Nothing of the system's own services is read, written
or stopped. The nodes' sizes and GPUs are what `slurm.conf` says they are; GPUs are plain files.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.slurm.sites import (
    ACCOUNT,
    ACCOUNTING,
    NODE,
    PARTITION,
    SLURM_CONF,
    SLURMDBD_CONF,
    TYPED,
    Site,
)

PROGRAMS = (
    *("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd"),
    *("sbatch", "srun", "sacct", "sacctmgr", "scontrol", "setpriv", "unshare"),
)
PACKAGES = "munge mariadb-server slurmdbd slurmctld slurmd slurm-client"


def missing() -> str | None:
    """Return why no Slurm can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root, as Slurm's daemons do"
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if lacking:
        return f"needs {', '.join(lacking)}: apt-get install --no-install-recommends {PACKAGES}"
    probe = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        return "needs process namespaces, which this container may not make"
    return None


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands talk to this cluster."""
        path = os.pathsep.join([str(self.folder / "bin"), _path()])
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str) -> str:
        """Run a command of Slurm and return what it printed."""
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command)}: {ran.stderr or ran.stdout}")
        return ran.stdout

    def among_nodes(self, *command: str) -> list[str]:
        """Return a command that finds the nodes by their names, as any host of a cluster does."""
        bind = f'mount --bind {self.folder}/hosts /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", bind, "sh", *command]

    def accounts(self, *fields: str, duplicates: bool = False) -> list[dict[str, str]]:
        """Return what accounting knows of every job, one entry an allocation.

        Args:
            fields: names of sacct's fields.
            duplicates: whether each run of a requeued job is an entry of its own.
        """
        names = ",".join(fields)
        options = ["--duplicates"] if duplicates else []
        said = self.run("sacct", "--allocations", "-nP", "-S", "now-1days", "-o", names, *options)
        return [dict(zip(fields, line.split("|"), strict=True)) for line in said.splitlines()]

    @contextmanager
    def controller_away(self) -> Iterator[None]:
        """Freeze the controller: whoever asks it something waits, and is told that it is away."""
        controller = int((self.folder / "slurmctld.pid").read_text())
        os.kill(controller, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(controller, signal.SIGCONT)

    def log(self) -> str:
        """Return the ends of the daemons' logs."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text()[-2000:]}" for log in logs)


@contextmanager
def started(folder: Path, site: Site = TYPED) -> Iterator[Cluster]:
    """Start a cluster in ``folder``; on leaving, end its jobs, then its daemons."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    cluster = Cluster(folder)
    _write_configuration(folder, site)
    with ExitStack() as daemons:

        def start(
            name: str,
            *command: str,
            ready: Callable[[], bool],
            end: signal.Signals = signal.SIGTERM,
        ) -> None:
            process = daemons.enter_context(_daemon(cluster, name, command, end))
            until = time.monotonic() + 60
            while not ready():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{name} did not start:\n{cluster.log()}")
                time.sleep(0.1)

        start(
            "munged",
            *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key"),
            *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid"),
            *(f"--log-file={folder}/munge.messages", f"--seed-file={folder}/munge.seed"),
            ready=(folder / "munge.socket").exists,
        )
        if site.accounting:
            start(
                "mariadbd",
                *("mariadbd", "--no-defaults", "--user=root", f"--datadir={folder}/database"),
                *(f"--socket={folder}/mariadb.socket", f"--port={_port(folder, 'mariadb')}"),
                *("--bind-address=127.0.0.1", f"--pid-file={folder}/mariadb.pid"),
                *(
                    "--skip-name-resolve",
                    f"--init-file={folder}/accounts.sql",
                    "--innodb-fast-shutdown=2",
                ),
                ready=lambda: _listens(_port(folder, "mariadb")),
            )
            start("slurmdbd", "slurmdbd", "-D", ready=lambda: _listens(_port(folder, "slurmdbd")))
            user = ["user", "root", f"account={ACCOUNT}"]
            for entity in (["cluster", "test"], ["account", ACCOUNT], user):
                cluster.run("sacctmgr", "-i", "add", *entity)
        start(
            "slurmctld", "slurmctld", "-D", "-i", ready=lambda: _listens(_port(folder, "slurmctld"))
        )
        for name in site.nodes:
            start(
                f"slurmd-{name}",
                # A process namespace of its own: a node takes its jobs with it, however it ends.
                *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
                *cluster.among_nodes("slurmd", "-D", "-N", name),
                end=signal.SIGKILL,
                ready=lambda name=name: "idle" in cluster.run("sinfo", "-hn", name, "-o", "%t"),
            )
        try:
            yield cluster
        finally:
            cluster.run("scancel", "--full", "--signal=KILL", "--user=root")
            cluster.run("scancel", "--user=root")
            _wait(lambda: not cluster.run("squeue", "-h"), "jobs that do not end")


def _write_configuration(folder: Path, site: Site) -> None:
    names = ("slurmctld", "slurmdbd", "mariadb", *site.nodes)
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    for name, port in ports.items():
        (folder / f"{name}.port").write_text(str(port))
    host = socket.gethostname().split(".")[0]
    conf = (SLURM_CONF + ACCOUNTING * site.accounting).format(folder=folder, host=host, **ports)
    gres = ""
    (folder / "devices").mkdir()
    for place, partition in enumerate(site.partitions):
        for name in partition.nodes:
            conf += NODE.format(name=name, host=host, port=ports[name], gres=partition.gres)
            for i in range(partition.gpus):
                (folder / f"devices/{name}-{i}").touch()
            kind = f"Type={partition.model} " if partition.model else ""
            files = f"{folder}/devices/{name}-[0-{partition.gpus - 1}]"
            gres += f"NodeName={name} Name=gpu {kind}File={files}\n"
        default = "" if place else " Default=YES"
        conf += PARTITION.format(
            name=partition.name,
            nodes=",".join(partition.nodes),
            minutes=partition.minutes,
            default=default,
        )
    (folder / "slurm.conf").write_text(conf)
    # Inside a job the plugin unsets SLURM_CONF before it calls srun: clusters have theirs in /etc.
    (folder / "bin").mkdir()
    for name in ("srun", "squeue", "scontrol"):
        (folder / "bin" / name).write_text(
            f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which(name)} "$@"\n'
        )
        (folder / "bin" / name).chmod(0o755)
    (folder / "gres.conf").write_text(gres)
    (folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(folder=folder, host=host, **ports))
    (folder / "slurmdbd.conf").chmod(0o600)
    known = Path("/etc/hosts").read_text()
    (folder / "hosts").write_text(f"{known}\n127.0.0.1 {' '.join(site.nodes)}\n")
    (folder / "munge.key").write_bytes(os.urandom(64))
    (folder / "munge.key").chmod(0o400)
    (folder / "state").mkdir()
    (folder / "accounts.sql").write_text(
        "CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'slurm';\n"
        "GRANT ALL ON slurm.* TO slurm@'127.0.0.1';\n"
    )
    if site.accounting:
        with (folder / "mariadb-install-db.log").open("w") as log:
            subprocess.run(
                [
                    *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db"),
                    *(f"--datadir={folder}/database", "--auth-root-authentication-method=normal"),
                ],
                stdout=log,
                stderr=log,
                check=True,
            )


@contextmanager
def _daemon(
    cluster: Cluster, name: str, command: tuple[str, ...], end: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon in the foreground; it is sent ``end`` on leaving, or when this process dies."""
    with (cluster.folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", end.name, *command],
            env=cluster.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is for the tests
        )
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(condition: Callable[[], bool], complaint: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(complaint)
        time.sleep(0.1)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _port(folder: Path, name: str) -> int:
    return int((folder / f"{name}.port").read_text())


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
