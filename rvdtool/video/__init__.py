"""Videos: where they lie, what they are, their frames as display R'G'B', and writing them."""
