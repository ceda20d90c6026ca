"""What finished runs measured, without how long it took: equal for runs that did the same."""

import json


def history(row):
    """Of a row as it was read, or of its file: the epochs."""
    row = row if isinstance(row, dict) else json.loads(row.read_text())
    return [{key: value for key, value in epoch.items() if "seconds" not in key} for epoch in row["history"]]


def measured(place):
    """Of a row's file, or of all rows below a folder: which run, its metrics and its epochs."""
    paths = [place] if place.is_file() else place.rglob("row.json")
    rows = [json.loads(path.read_text()) for path in paths]
    rows.sort(key=lambda row: (row["fingerprint"], row["seed"]))
    return [(row["fingerprint"], row["seed"], row["metrics"], history(row)) for row in rows]
