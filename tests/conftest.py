"""What every test needs before anything else is imported."""

import os

os.environ["SDL_VIDEODRIVER"] = "dummy"  # pygame draws without a display
