"""Makes the models: data, mixing, networks, losses, loops, evaluation and export."""
