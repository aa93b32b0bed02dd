"""Copy: what an e-mail or a push says. Words may come from a model; facts come from the catalogue, through slots."""
