"""``python -m sensor`` is ``port25``."""

from sensor.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
