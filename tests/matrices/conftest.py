"""Tables of bad input: what comes in, what is wanted. One file for each kind of input, one row for each input."""
