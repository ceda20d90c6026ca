"""Every example of docs/library.md runs, where its libraries are installed."""

import ast
import importlib.util
import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
EXAMPLES = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", PAGE.read_text(), re.M | re.S)


def test_all_of_them_are_found():
    assert len(EXAMPLES) == PAGE.read_text().count("```python") == 9


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_example(title, code, tmp_path, monkeypatch):
    for node in ast.walk(ast.parse(code)):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if importlib.util.find_spec(name.partition(".")[0]) is None:
                pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.Flatten(), nn.Linear(64, 10))
    before = [p.clone() for p in network.parameters()]
    data = TensorDataset(torch.randn(16, 3, 32, 32), torch.arange(16) % 10)
    there = {"network": network, "loader": DataLoader(data, batch_size=8)}
    with warnings.catch_warnings():
        if "trainer" in title.lower() or title == "Lightning":
            warnings.simplefilter("ignore")  # of another library, about its own options
        exec(compile(code, str(PAGE), "exec"), there)
    if ("optimizer.step()" in code and "model = " not in code) or title == "Lightning":
        assert all(not torch.equal(p, q) for p, q in zip(before, network.parameters(), strict=True))
    if "target" in there and torch.is_tensor(there["target"]):
        torch.testing.assert_close(there["target"].sum(1), torch.ones(8))
