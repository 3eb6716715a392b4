"""Configuration from files: read, check, plan, apply, export.

`reading`, `fields`, `checking`, `relatives`, `rows`, `targets`, `standing`, `planning`, `exporting` and `words` are
functions from values to values; only `state` and `applying` touch the database.
"""
