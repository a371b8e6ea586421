"""Beyond one process: sweeps and bulk generation on Ray."""
