"""What flows: events in, messages out, topics, limits, and the codec between bytes and structs."""
