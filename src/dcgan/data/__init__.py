"""The data set: files, specifications, expectations, batches."""
