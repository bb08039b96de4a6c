"""What every test starts from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # modules that tests share: stacks, oracle
