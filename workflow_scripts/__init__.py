"""The experiment behind the rules: ``python -m workflow_scripts STAGE``."""
