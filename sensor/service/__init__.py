"""The processes of a sensor that runs for months."""
