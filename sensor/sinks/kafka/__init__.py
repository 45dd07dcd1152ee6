"""Kafka: alerts, the block list, persons' words, and how the sensor is."""
