"""docs/transfer.md: what it says of torchvision's networks is so."""

import re
from pathlib import Path
from types import SimpleNamespace

import torch
import torchvision

import msda_train
from msda_train.models.resnet50 import resnet50

PAGE = Path(__file__).resolve().parents[2] / "docs" / "transfer.md"


def test_the_page_s_lines_carry_a_network_over(monkeypatch):
    torch.manual_seed(0)
    network = resnet50([3, 4, 6, 3], 64, classes=5, channels=3).eval()
    run = SimpleNamespace(network=network, classes=list("abcde"))
    monkeypatch.setattr(msda_train, "load_run", lambda place: run, raising=False)
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    names = {"RUN": "runs"}
    exec(first, names)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(names["theirs"](x), network(x))
    exec(second, names)
    body = names["detector"].backbone.body
    assert torch.equal(body.layer4[2].conv3.weight, network.stages[3][2].conv3.weight)
    assert isinstance(names["detector"], torchvision.models.detection.FasterRCNN)
