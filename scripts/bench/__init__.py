"""How fast the parts are, as ratios to something simple and to other libraries: `python -m bench`.

Every pair is measured in one process, in turns; docs/performance.md says how and holds the tables.
"""
