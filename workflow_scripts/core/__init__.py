"""What every package may use: errors, files, names and seeds."""
