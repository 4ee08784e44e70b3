"""What CUDA does otherwise than a CPU with the same model: where autocast keeps fp32, and which attention it takes.

Fake tensors can't be on a GPU that is not there (the backward pass looks for its driver), so the dry run is made on
fake CPU tensors, and this mode gives it the operations that a GPU would run.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

# torch's documentation of torch.amp, "CUDA Ops that can autocast to float32", as far as backbones use them;
# tests/training/test_memory_cuda.py compares the result with torch's own casts
_FLOAT32 = {
    *("layer_norm", "group_norm", "rms_norm", "normalize", "softmax", "log_softmax", "softplus", "cosine_similarity"),
    *(
        "pow",
        "__pow__",
        "__rpow__",
        "exp",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "logsumexp",
        "reciprocal",
        "rsqrt",
    ),
    *("cumsum", "cumprod", "interpolate", "upsample"),
}
_FLOAT32_RESULT = {"norm", "vector_norm", "sum", "prod"}  # the kernel reads half precision and adds in fp32
_WIDEST = {"addcmul", "addcdiv", "cross", "bilinear", "grid_sample"}  # all as the widest of them
_KERNEL_DIMENSIONS = 4  # batch, heads, tokens, channels; with others torch computes the matrices themselves
_ALIGNED = 16  # elements that the efficient kernel pads the rows of its bias to


class AsOnCuda(TorchFunctionMode):
    """Casts and kernels as CUDA chooses them."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function of torch as it runs on a GPU."""
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if func is Tensor.backward:
            with self:  # checkpointing runs forward passes inside it, which are to see this mode too
                return _run_backward(args[0])
        if torch.is_autocast_enabled("cpu"):
            args, kwargs = _autocast(getattr(func, "__name__", ""), args, kwargs)
        return func(*args, **kwargs)


def _run_backward(loss: Tensor) -> Any:
    """What ``loss.backward()`` ends in; its public entries would leave the mode again."""
    return _engine_run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


def _autocast(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that CUDA's autocast would pass on."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    wide = any(tensor.dtype == torch.float32 for tensor in tensors)
    if name in _FLOAT32 or (name in _WIDEST and wide):
        return tree_map_only(Tensor, _to_float32, (args, kwargs))  # type: ignore[no-any-return]
    if name in _FLOAT32_RESULT and all(tensor.is_floating_point() for tensor in tensors):
        return args, {"dtype": torch.float32} | kwargs
    return args, kwargs


def _to_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: ARG001 - torch's signature; it changes no size
) -> Tensor:
    """Flash attention for half precision without a bias, else the efficient kernel, as torch chooses on a GPU."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if query.dim() != _KERNEL_DIMENSIONS:
        mask = attn_mask
        if mask is not None and mask.is_floating_point():
            mask = mask.to(query.dtype)
        return functional.scaled_dot_product_attention(query, key, value, mask, dropout_p, is_causal, scale=scale)
    if attn_mask is None and query.dtype != torch.float32:
        flash: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, scale=scale
        )[0]
        return flash
    bias = None if attn_mask is None else _bias(attn_mask, query, key)
    efficient: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, query.requires_grad, dropout_p, is_causal, scale=scale
    )[0]
    return efficient


def _bias(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """The additive bias of every head, with rows padded as the kernel wants them."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), -torch.inf)
    mask, length = mask.to(query.dtype), key.shape[-2]
    if length % _ALIGNED:
        mask = functional.pad(mask, (0, -length % _ALIGNED))[..., :length]
    return mask.expand(*query.shape[:-1], length)
