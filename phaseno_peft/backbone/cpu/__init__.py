"""The network's heavy loops for a CPU: spectral products, messages between stations, and how threads share them."""
