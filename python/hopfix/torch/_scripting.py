"""What a layer answers to `torch.jit.script`."""

from __future__ import annotations

from typing import NoReturn

from torch import nn

__all__ = ["TracedModule"]


class TracedModule(nn.Module):
    """A module that can be traced, compiled and exported, but not scripted.

    `torch.jit.trace`, `torch.export` and `torch.compile` see an association as one operator of
    torch and everything else as torch's own. `torch.jit.script`, which compiles the Python source
    (and is deprecated in torch), is refused with a message that says so, also for a model that only
    contains such a module.
    """

    def __prepare_scriptable__(self) -> NoReturn:
        raise RuntimeError(
            f"hopfix.torch.{type(self).__name__} cannot be compiled by torch.jit.script; need "
            "torch.jit.trace, torch.export.export or torch.compile, which take it as it is"
        )
