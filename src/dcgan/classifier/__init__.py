"""The digit classifier: network, training, features, and the Fréchet distance on them."""
