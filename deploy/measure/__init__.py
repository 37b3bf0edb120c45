"""How long a network takes, on this machine beside its peers and on devices."""
