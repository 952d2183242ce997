"""What the people who run the site ask it: is everything well, what is it set to, what work waits."""
