"""Pictures for people and tables for `dvc plots`."""
