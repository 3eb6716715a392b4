"""Configuration from files: read, check, plan, apply, export.

`reading`, `fields`, `checking`, `relatives`, `planning`, `exporting` and `words` are functions from values to values;
only `state` and `applying` touch the database.
"""
