"""params.yaml, parsed once and strictly."""
