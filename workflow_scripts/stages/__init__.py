"""The commands of the workflow: each reads its inputs, calls the library and writes."""
