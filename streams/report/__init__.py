"""`headrace report`: what the messages earned, against those held out, in words, JSON and a page."""
