"""Bulk generation: digits by the billion in shards, each a pure function of model, options, seed and index."""
