"""What libraries reach for behind JAX's public names, where Covector proper has no name for it."""

from __future__ import annotations

from types import FrameType

from covector._engine import primitives as prims
from covector._engine.base.public import is_left_out, leave_out
from covector._engine.control.open import BATCHERS, JVPS, OpenPrimitive
from covector._engine.core.primitive import Zero
from covector._engine.core.trace import typeof

# Libraries give it a transpose: that of Covector's own, which is what lineax writes.  So it has tables of its own.
stop_gradient_p = OpenPrimitive("stop_gradient")
stop_gradient_p.def_abstract_eval(lambda x: x)
stop_gradient_p.def_lowering(lambda context, x: [prims.stop_gradient(x)])
JVPS[stop_gradient_p] = lambda primals, tangents: (
    stop_gradient_p.bind(*primals),
    Zero(typeof(*primals)),
)
BATCHERS[stop_gradient_p] = lambda args, dims: (stop_gradient_p.bind(*args), *dims)


def register_exclusion(path: str) -> None:
    """Leave a library's file out of tracebacks, as our own are."""
    leave_out(path)


def include_frame(frame: FrameType) -> bool:
    """Whether a frame is shown in tracebacks."""
    return not is_left_out(frame.f_code.co_filename)
