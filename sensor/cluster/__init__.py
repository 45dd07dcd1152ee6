"""Many sensors, one verdict: their segments come together on Kafka, and are followed there."""
