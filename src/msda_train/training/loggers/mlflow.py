"""logger=mlflow: MLflow's runs, in a folder here or on a tracking server."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from PIL import Image

from msda_train.core.paths import typed_path
from msda_train.training.logger import About, Epoch, Picture, needs_package, row_text, titled

OURS = "msda_train.run"  # the tag that finds a run again


@dataclass
class MLflow:
    """uri: a folder, or what MLflow takes for a tracking URI: sqlite:///mlflow.db, http://...; experiment:
    where its runs are gathered.

    A run that goes on continues the MLflow run of before, with the epochs that it lacks.
    """

    uri: str = "mlruns"
    experiment: str = "msda-train"

    def __post_init__(self) -> None:
        needs_package("mlflow", "mlflow", "the package mlflow-skinny, or mlflow")
        self._client: Any = None

    def begin(self, about: About, done: Sequence[Epoch]) -> None:
        """See `Logger`."""
        # Plain files are in MLflow's maintenance mode: it wants to be told that they are meant. And it sends
        # reports of its use unless it is told not to.
        wanted = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
        for name, value in {"MAX_RETRIES": "2", "TIMEOUT": "20"}.items():  # MLflow's own take minutes
            os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
        with mock.patch.dict(os.environ, wanted):
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self._place())
        found = self._client.get_experiment_by_name(self.experiment)
        where = found.experiment_id if found else self._client.create_experiment(self.experiment)
        self._run, self._state = self._earlier(where, about) if done else None, "KILLED"
        self._known = self._last_epoch() if self._run else 0
        if self._run is None:
            tags = {OURS: about.name}
            self._run = self._client.create_run(where, tags=tags, run_name=about.name).info.run_id
            for name, value in about.options.items():
                self._client.log_param(self._run, name, value)
        self._client.update_run(self._run, "RUNNING")
        for numbers in done:
            self.epoch(numbers)

    def _place(self) -> str:
        """A folder as an absolute path: MLflow keeps an open store by its name, wherever it stands."""
        if "://" in self.uri or self.uri == "databricks":
            return self.uri
        return str(typed_path("logger.uri", self.uri).absolute())

    def _earlier(self, where: str, about: About) -> str | None:
        found = self._client.search_runs([where], f"tags.`{OURS}` = '{about.name}'", max_results=1)
        return found[0].info.run_id if found else None

    def _last_epoch(self) -> int:
        return max((m.step for m in self._client.get_metric_history(self._run, "train/lr")), default=0)

    def epoch(self, numbers: Epoch) -> None:
        """See `Logger`. An epoch that was lost and comes again is the same to the last bit."""
        if numbers["epoch"] <= self._known:
            return
        for name, value in titled(numbers).items():
            self._client.log_metric(self._run, name, value, step=int(numbers["epoch"]))

    def end(self, row: Mapping[str, Any], pictures: Sequence[Picture]) -> None:
        """See `Logger`."""
        for name, value in row["metrics"].items():
            self._client.log_metric(self._run, name, value)
        self._client.log_text(self._run, row_text(row), "row.json")
        for number, picture in enumerate(pictures):
            image = Image.open(io.BytesIO(picture.png))
            self._client.log_image(self._run, image, f"mixed/{number}.png")
        labels = "\n".join(f"{n}: {picture.label}" for n, picture in enumerate(pictures))
        self._client.log_text(self._run, labels, "mixed/labels.txt")
        self._state = "FINISHED"

    def close(self) -> None:
        """See `Logger`."""
        if self._client is not None and self._run is not None:
            self._client.set_terminated(self._run, self._state)
