"""What a probe stores of its numbers is what their names said before; and it reaches the row."""

import json
from pathlib import Path

import pytest
from torch import nn

from msda_train.evaluation.probes.adversarial import Adversarial
from msda_train.evaluation.probes.calibration import Calibration
from msda_train.evaluation.probes.deformations import Deformations
from msda_train.evaluation.probes.gradients import Gradients
from msda_train.evaluation.probes.in_between import InBetween
from msda_train.evaluation.probes.memorisation import Memorisation
from msda_train.evaluation.probes.ood import Ood
from msda_train.evaluation.probes.representation import Representation
from msda_train.records.probe_records import columns_of, probe_records
from msda_train.records.rows import add_probe, read_row

PGD = {
    "kind": "pgd",
    "eps": 0.5,
    "norm": "l2",
    "space": "normalised",
    "steps": 2,
    "restarts": 2,
    "loss": "bce_softmax",
}
PROBES = {
    "adversarial": [
        Adversarial([{"kind": "fgsm", "eps": "8/255"}, PGD], images=None),
        Adversarial([{"kind": "ifgsm", "eps": 0.03, "steps": 2, "step_size": "2/255"}], images=20),
    ],
    "calibration": [Calibration(mc_dropout=0.3, samples=2), Calibration(bins=(5,), validation=0.25)],
    "deformations": [
        Deformations(rotation=[20], interpolation="nearest", fill="edge"),
        Deformations(zoom=[80], shear=[]),
    ],
    "gradients": [Gradients(), Gradients(split="train", images=9)],
    "in_between": [InBetween(points=3, pairs=9), InBetween(points=3, pairs=9, box="centre")],
    "memorisation": [Memorisation()],
    "ood": [Ood(), Ood(images=20)],
    "representation": [Representation(k=(1, 3), distance="euclidean")],
}
ASKED = [(name, probe) for name, probes in PROBES.items() for probe in probes]


class Stages(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.stages = nn.ModuleList([network[:3], network[3:]])

    def forward(self, x):
        return self.stages[1](self.stages[0](x))


@pytest.fixture
def staged(toy_network):
    """The small network with stages, as the suite's own networks have them."""
    return Stages(toy_network(dropout=0.3)).eval()


@pytest.mark.parametrize(("name", "probe"), ASKED, ids=lambda each: each if isinstance(each, str) else "")
def test_a_probes_records_say_what_its_names_say(toy_subject, staged, name, probe):
    found = probe(toy_subject(staged))
    assert [record["name"] for record in found.records] == list(found.numbers)
    for record in found.records:
        columns = {key: value for key, value in record.items() if key != "name"}
        assert columns == pytest.approx(columns_of(name, record["name"]))
    json.dumps(found.records)


def test_records_reach_the_row_and_stay_there(tmp_path, toy_subject, staged):
    path = tmp_path / "row.json"
    source = sorted((Path(__file__).parents[2] / "stored/rows").glob("*smoke/*"))[0]
    path.write_text(source.read_text())
    for probe in PROBES["deformations"]:
        found = probe(toy_subject(staged))
        told = {"numbers": found.numbers, "records": found.records}
        add_probe(path, "deformations", told | {"options": {}, "remarks": [], "environment": {}})
    stored = json.loads(path.read_text())["probes"]["deformations"]
    records = {each["name"]: each for each in probe_records(read_row(path))}
    assert records.keys() == stored["numbers"].keys()
    assert records["rotation_20_nearest_edge/error"]["fill"] == "edge"
    assert records["zoom_80/error"]["strength"] == 80
