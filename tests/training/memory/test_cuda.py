"""CUDA's casts as the dry run imitates them, against torch's own, which choose by fake tensors' device."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from fracture.training.memory.cuda import AsOnCuda
from tests.forked import Command

PROGRAM = """
import contextlib, json, sys, warnings
import torch
from timm.layers import set_fused_attn
from torch._subclasses.fake_tensor import FakeTensorMode
from fracture.models import backbones
from fracture.training.memory import dry_run
from fracture.training.memory.cuda import AsOnCuda
from fracture.training.memory.ledger import Ledger

warnings.simplefilter("ignore")
set_fused_attn(False)  # which kernel a GPU takes depends on the GPU

def kept(name, device):
    with torch.device("meta"):
        model = backbones.build(backbones.find(name), 3)
    dry_run._like = lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
    ledger = Ledger()
    with FakeTensorMode(), ledger, AsOnCuda() if device == "cpu" else contextlib.nullcontext():
        dry_run._materialise(model)
        inputs, before = torch.empty(2, 3, 160, 160, device=device), sum(ledger.sizes)
        torch.set_autocast_enabled(device, True)
        torch.set_autocast_dtype(device, torch.bfloat16)
        logits = model(inputs)
        alive = sum(ledger.sizes[number] for number, _ in ledger._alive.values())
        torch.set_autocast_enabled(device, False)
        torch.clear_autocast_cache()
    return alive - before

print(json.dumps({name: [kept(name, device) for device in ("cpu", "cuda")] for name in sys.argv[1:]}))
"""


def test_attention_over_windows_is_left_to_torch() -> None:
    """Fused kernels take four dimensions; Hiera has five."""
    query, key = torch.rand(2, 1, 4, 3, 8), torch.rand(2, 1, 4, 6, 8)
    mask = torch.rand(3, 6)
    expected = functional.scaled_dot_product_attention(query, key, key, mask)
    with AsOnCuda():
        assert torch.equal(functional.scaled_dot_product_attention(query, key, key, mask), expected)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU, its own measurements say more")
def test_the_forward_pass_keeps_what_it_would_keep_on_cuda(forked: Callable[..., Command], tmp_path: Path) -> None:
    names = ["test_convnext", "test_efficientnet", "test_vit"]
    done = forked(("python", PROGRAM, *names), tmp_path)
    assert done.wait() == 0, done.said
    for name, (imitated, real) in json.loads(done.said.splitlines()[-1]).items():
        assert imitated == pytest.approx(real, rel=0.01), name
