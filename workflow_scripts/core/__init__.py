"""What every package may use: errors, files, names, seeds and progress."""
