"""The six stages, in the order of the picture: interest, catalog, recommend, content, feedback, privacy.

A stage is an async function over a batch: facts, the state read before, `now` and the settings come in; effects go out.
It reads neither the clock nor a global random source, and talks to no server.
"""
