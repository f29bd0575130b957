"""Stages on two real ranks, each a process of its own."""

import socket


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_on_two_ranks(warm_process, *argv):
    """Run a stage in each of two processes that know of one another.

    Where an argument has ``{rank}`` in it, each process gets its own number there.

    Returns:
        For each rank its exit status and what it said.
    """
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        warm_process.stage(
            *(str(word).replace("{rank}", str(rank)) for word in argv),
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            **common,
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=300)[1] for rank in processes]
    return [(rank.returncode, stderr) for rank, stderr in zip(processes, said, strict=True)]
