"""The report and the model card: what is known of a generator, on one page and in one text."""
