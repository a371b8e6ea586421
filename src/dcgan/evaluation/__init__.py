"""Everything that is measured of a trained model: its samples, what they are good for, and its discriminator."""
