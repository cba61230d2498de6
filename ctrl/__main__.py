"""``python -m ctrl`` is the command line."""

import sys

from ctrl.cli import main

sys.exit(main())
