"""``python -m chatrpc`` is the command-line program ``chatrpc``."""

import sys

from .cli import main

sys.exit(main())
