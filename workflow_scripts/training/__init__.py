"""Training: objectives and losses, the order of the data, the trainer, resuming."""
