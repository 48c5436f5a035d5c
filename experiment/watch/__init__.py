"""The best seat in the house: composed pictures of agents at play, and the window that shows them."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame greets on standard output otherwise
