"""What is run again: slices of the configuration, digests of the code, provenance."""
