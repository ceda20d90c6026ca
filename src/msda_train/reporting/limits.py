"""How much a page shows, so that thousands of runs make a page that opens at once."""

from pandas import DataFrame

COLUMNS = 24  # sections of columns without a published table
LINES = 100  # of one column: those with the lowest mean error
PICTURED = 16  # of these in one picture: as many as can be told apart
RUNS = 200  # with configuration, environment and epochs
EPOCHS = 4_000  # listed, all runs together
MOST_EPOCHS = 40  # listed of one run
EXAMPLES = 40  # methods with mixed images
PANELS = 6  # of error against cost
PICTURES = 90
PICTURE_BYTES = 3_000_000
COMPLAINTS = 200


def best(block: DataFrame, most: int) -> DataFrame:
    """The lines of a block in their order; of more than `most` those with the lowest mean error."""
    errors = block.assign(error=[stat.mean for stat in block["error/last"]])
    kept = errors.sort_values(["error", "method"]).index[:most]
    return block[block.index.isin(kept)]
