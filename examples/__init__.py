"""Things to run and read: a shop made of real orders, and the demo on top of it."""
