"""Arrays in files of TensorStore, which has to be installed: `serialization` has names of JAX's module."""

from covector._engine.base.public import publish
from covector.experimental.array_serialization import serialization as serialization

publish(__name__, modules=("serialization",))
