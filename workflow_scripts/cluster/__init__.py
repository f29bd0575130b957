"""What jobs need: GPU memory, hardware, tokens of work, Slurm partitions; plan and preflight."""
