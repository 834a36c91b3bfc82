"""`python -m limen` is `limen`; with torchrun, `torchrun -m limen train ...`."""

import sys

from limen.cli import main

sys.exit(main())
