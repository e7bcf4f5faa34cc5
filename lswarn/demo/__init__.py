"""The demo world: real terrain under made rain, with a hidden truth that decides where the ground gives way."""
