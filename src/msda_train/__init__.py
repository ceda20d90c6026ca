"""msda-train: rebuild the published tables of mixed sample data augmentation."""

import sys

# `python -m msda_train.cli` puts the current folder in front of the path, where its files would hide modules
# of ours and of the libraries. Now, while Python still looks for what to run, no other has been imported.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]

__version__ = "0.1.0"
