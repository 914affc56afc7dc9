"""How the shipped codebook is made."""
