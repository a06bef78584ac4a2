"""How arrays are shown: NumPy's settings, which our arrays follow."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]


def get_printoptions() -> dict[str, Any]:
    """How arrays are shown: the settings that `set_printoptions` changes.

    >>> from covector import numpy as cnp
    >>> cnp.get_printoptions()['precision']
    8
    """
    return dict(np.get_printoptions())


def set_printoptions(*args: Any, **kwargs: Any) -> None:
    """Changes how arrays are shown, ours and NumPy's: precision, threshold, edgeitems, linewidth, suppress, ...

    Arguments and errors are those of `numpy.set_printoptions`.

    >>> from covector import numpy as cnp
    >>> cnp.set_printoptions(precision=8)
    """
    np.set_printoptions(*args, **kwargs)


def printoptions(*args: Any, **kwargs: Any) -> Any:
    """A context in which arrays are shown as `set_printoptions` would have it.

    >>> from covector import numpy as cnp
    >>> with cnp.printoptions(precision=2):
    ...     print(cnp.array([0.12345]))
    [0.12]
    """
    return np.printoptions(*args, **kwargs)
