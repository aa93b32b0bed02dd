"""A shop with known truth: shoppers whose answers to a message are drawn from traits that only the simulator sees."""
