"""What fixed point makes necessary: fraction bits, ranges, and ways of computing that keep both."""
