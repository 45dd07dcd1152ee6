"""What is looked at, a file each; see :mod:`sensor.doctor`."""
