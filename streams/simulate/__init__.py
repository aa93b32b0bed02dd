"""`headrace simulate`: the shop with known truth, in one process for speed or through Kafka for truth."""
