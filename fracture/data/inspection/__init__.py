"""Files really opened, once, in a pool of processes, and what was measured of them."""
