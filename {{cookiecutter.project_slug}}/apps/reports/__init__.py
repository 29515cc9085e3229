"""An example: long work, cut into pieces that survive whatever happens between two of them."""
