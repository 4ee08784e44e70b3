"""Whether it is memory that is short, told by what was raised."""

_NO_MEMORY = (  # as torch, CUDA, cuBLAS, oneDNN and Python say it
    "allocate memory", "out of memory", "ALLOC_FAILED", "could not create a primitive", "can't start new thread",
)  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a lack of memory is what failed, on the GPU or in main memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)
