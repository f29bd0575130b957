"""What sets one test cluster apart from another: partitions, GPUs, and accounting."""

from dataclasses import dataclass

ACCOUNT = "research"

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.messages.log
SlurmdLogFile={folder}/slurmd-%n.messages.log
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# Nodes have what is written below, whatever the machine has.
SlurmdParameters=config_overrides
GresTypes=gpu
# A node that was set down stays down.
ReturnToService=1
MpiDefault=none
# The memory limit is enforced by polling: there may be no cgroups here.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
# Quick, and patient with a job that saves its state.
SchedulerParameters=batch_sched_delay=0,bf_interval=5
KillWait=20
InactiveLimit=0
SlurmdTimeout=300
"""
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu,gres/gpu:a40,gres/gpu:a800
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
"""
NODE = """
NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} \\
  CPUs=64 RealMemory=200000 Gres={gres}
"""
PARTITION = """
PartitionName={name} Nodes={nodes} MaxTime={minutes} State=UP{default}
"""
SLURMDBD_CONF = """
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.messages.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


@dataclass(frozen=True)
class Partition:
    """A partition of nodes that are alike.

    Attributes:
        name: its name.
        nodes: the names of its nodes.
        gpus: GPUs of each node.
        model: what Slurm calls them; empty where they have no type.
        minutes: the longest that a job may run.
    """

    name: str
    nodes: tuple[str, ...]
    gpus: int
    model: str = ""
    minutes: int = 2 * 24 * 60

    @property
    def gres(self) -> str:
        """The GPUs of a node in Slurm's words."""
        return ":".join(filter(None, ("gpu", self.model, str(self.gpus))))


@dataclass(frozen=True)
class Site:
    """A cluster; the first of its partitions is the default."""

    partitions: tuple[Partition, ...]
    accounting: bool = True

    @property
    def nodes(self) -> list[str]:
        """The names of all nodes."""
        return [node for partition in self.partitions for node in partition.nodes]


TYPED = Site(
    (Partition("a40", ("a40",), 4, "a40"), Partition("a800", ("a800", "a800-2"), 8, "a800"))
)
"""GPUs of two types, and an accounting database."""
PLAIN = Site((Partition("short", ("s1",), 4, minutes=1), Partition("long", ("l1",), 4)), False)
"""GPUs without a type, a partition for a minute, and nothing that accounts."""
