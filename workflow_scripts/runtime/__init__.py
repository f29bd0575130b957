"""The running process: ranks, GPUs, devices, and one-line messages of failures."""
