"""What jobs need: GPU memory, hardware, tokens of work, Slurm partitions."""
