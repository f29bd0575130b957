"""The configuration: the classes that check config.yaml, and the cells it asks for."""
