"""Which modules of Covector stand for which of JAX's, and the finder that hands them to `import`.

A module of ours is handed out as it is, under another name: `jax.numpy is covector.numpy`.  Only where JAX has names
that mean nothing in Covector proper is there a module of its own, a `View`: the version, and what libraries reach for
behind JAX's public names.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple

from covector._engine.base.absent import NOT_YET, absence
from covector._engine.base.jax_names import JAX_VERSION, NAMES
from covector._engine.base.locks import import_late

ROOTS = ("jax", "jaxlib")
_NUMBERS = tuple([int(part) for part in JAX_VERSION.split(".")])


class Inside(NamedTuple):
    """A name that is not public in JAX, and who cannot do without it."""

    module: str
    name: str
    ours: str  # "module:name"; "" for a module that only has to be there
    needed_by: str

    @property
    def path(self) -> str:
        """The module in full: of `jax._src`, but in a public package where it is one of those."""
        public = self.module.startswith(("experimental.", "extend.", "interpreters."))
        return f"jax.{self.module}" if public else f"jax._src.{self.module}"


# The whole of what is served of `jax._src`, and of the inside of `jax.experimental`, and why.  A name that nobody
# needs is not here.
INSIDE: tuple[Inside, ...] = (
    Inside("ad_util", "stop_gradient_p", "covector.as_jax.names:stop_gradient_p", "lineax"),
    Inside("checkify", "Error", "covector.experimental.checkify:Error", "flax"),
    Inside("checkify", "JaxException", "covector.experimental.checkify:JaxRuntimeError", "flax"),
    Inside("checkify", "checkify", "covector.experimental.checkify:checkify", "flax"),
    Inside("checkify", "user_checks", "covector.experimental.checkify:user_checks", "flax"),
    Inside(
        "compiler",
        "backend_compile_and_load",
        "covector.as_jax.names:backend_compile_and_load",
        "chex (restrict_backends)",
    ),
    Inside("core", "AbstractValue", "covector.core:AbstractValue", "quax"),
    Inside("core", "ShapedArray", "covector.core:ShapedArray", "flax"),
    Inside("core", "Trace", "covector.core:Trace", "quax"),
    Inside("core", "TraceTag", "covector.extend.core:TraceTag", "quax"),
    Inside("core", "Tracer", "covector.core:Tracer", "quax"),
    Inside("core", "full_lower", "covector.as_jax.names:full_lower", "quax"),
    Inside("core", "jaxpr_as_fun", "covector.core:jaxpr_as_fun", "quax"),
    Inside("core", "set_current_trace", "covector.extend.core:set_current_trace", "quax"),
    Inside("core", "take_current_trace", "covector.extend.core:take_current_trace", "quax"),
    Inside("core", "trace_state_clean", "covector.as_jax.names:trace_state_clean", "numpyro"),
    Inside("dispatch", "wait_for_tokens", "covector:effects_barrier", "equinox"),
    Inside("distributed", "global_state", "covector.as_jax.names:global_state", "orbax"),
    Inside("dtypes", "DType", "numpy:dtype", "flax"),
    Inside("dtypes", "ExtendedDType", "covector.as_jax.names:ExtendedDType", "flax"),
    Inside("dtypes", "TypePromotionError", "covector.dtypes:TypePromotionError", "equinox"),
    Inside("dtypes", "extended", "covector.dtypes:extended", "flax"),
    Inside("dtypes", "finfo", "covector.dtypes:finfo", "flax"),
    Inside("experimental.colocated_python.func", "", "", "orbax"),
    Inside("experimental.colocated_python.serialization", "DeviceList", "builtins:tuple", "orbax"),
    Inside("extend.ifrt_programs", "ifrt_programs", "covector.as_jax.names:NOTHING", "orbax"),
    Inside("interpreters.pxla", "", "", "orbax"),
    Inside("flattree", "nones", "covector.as_jax.names:nones", "quax"),
    Inside("flattree", "pack", "covector.as_jax.names:pack", "quax"),
    Inside("literals", "TypedComplex", "covector.as_jax.names:TypedComplex", "quax"),
    Inside("literals", "TypedFloat", "covector.as_jax.names:TypedFloat", "quax"),
    Inside("literals", "TypedInt", "covector.as_jax.names:TypedInt", "quax"),
    Inside("pjit", "jit_p", "covector.extend.core.primitives:jit_p", "quax"),
    Inside("flatten_util", "ravel_pytree", "covector.flatten_util:ravel_pytree", "blackjax"),
    Inside("state", "", "", "flax"),
    Inside("state.types", "AbstractRef", "covector.ref:AbstractRef", "flax"),
    Inside("traceback_util", "api_boundary", "covector._engine.base.public:boundary", "flax"),
    Inside("traceback_util", "include_frame", "covector.as_jax.names:include_frame", "equinox"),
    Inside(
        "traceback_util",
        "register_exclusion",
        "covector.extend.source_info_util:register_exclusion",
        "equinox, flax, jaxtyping",
    ),
    Inside("tree_util", "_registry", "covector.as_jax.names:containers", "flax, jaxlie"),
    Inside("tree_util", "flatten_one_level", "covector.tree_util:flatten_one_level", "orbax"),
    Inside("util", "safe_map", "covector.api_util:safe_map", "interpreters of Jaxprs"),
)


class View(ModuleType):
    """A module of JAX's with names of its own, and for all others those of a module of ours, if there is one."""

    def __init__(self, name: str, own: Mapping[str, Any], late: Mapping[str, str], ours: str = ""):
        super().__init__(name, f"{name}, served by Covector.")
        self.__dict__.update(own)
        self.__path__ = []  # what is below it is found by the finder alone
        self._late, self._ours = late, ours

    def __getattr__(self, key: str) -> Any:
        below = f"{self.__name__}.{key}"
        if below in VIEWS:
            return import_late(below)
        if key in self._late:
            module, _, name = self._late[key].partition(":")
            found = getattr(import_late(module), name)
        elif self._ours and not key.startswith("__"):
            found = getattr(import_late(self._ours), key)
        else:
            raise AttributeError(_unknown(f"{self.__name__}.{key}"), name=key, obj=self)
        setattr(self, key, found)
        return found

    def __dir__(self) -> list[str]:
        ours = dir(import_late(self._ours)) if self._ours else []
        return sorted({*self.__dict__, *self._late, *ours})


def _views() -> dict[str, Callable[[], View]]:
    """What makes each module that has names of its own."""
    version = {"__version__": JAX_VERSION, "__version_info__": _NUMBERS}
    made: dict[str, Callable[[], View]] = {
        "jax": lambda: View("jax", version, {}, "covector"),
        "jax.version": lambda: View("jax.version", version, {}),
        "jax.lib": lambda: View("jax.lib", version, {}),
        "jax._src": lambda: View("jax._src", {}, {}),
        "jaxlib": lambda: View("jaxlib", version, {}),
        "jaxlib.xla_client": lambda: View("jaxlib.xla_client", {}, {"Device": "covector:Device"}),
        "jaxlib._jax": lambda: View(
            "jaxlib._jax", {}, {"PjitFunction": "covector.as_jax.names:PjitFunction"}
        ),
        "jaxlib.version": lambda: View("jaxlib.version", version, {}),
    }
    for path in {row.path for row in INSIDE}:
        late = {row.name: row.ours for row in INSIDE if row.path == path and row.name}
        made[path] = partial(View, path, {}, late)
        package = path.rpartition(".")[0]
        # Each package that it is in has a name more than ours, which `import` puts there.
        while package != "jax" and "_src" not in package:
            made[package] = partial(View, package, {}, {}, "covector" + package.removeprefix("jax"))
            package = package.rpartition(".")[0]
    return made


VIEWS = _views()


def _unknown(name: str) -> str:
    """Why a name of JAX's is not served."""
    package, _, last = name.removeprefix("jax").removeprefix(".").rpartition(".")
    found = absence(f"covector.{package}".rstrip("."), last)
    if name.startswith("jax._src"):
        return f"{name} is missing here: it shows the inside of JAX, and ours is another"
    if found is None or (found is NOT_YET and package not in NAMES):
        return f"{name} is missing here: Covector has nothing that stands for it"
    return f"{name} is missing here: {found.why}" + (
        f"; use {found.instead}" if found.instead else ""
    )


class _Served(Loader):
    """Hands out a module that exists already, or makes a view."""

    def __init__(self, ours: str):
        self._ours = ours
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name in VIEWS:
            return VIEWS[spec.name]()
        found = import_late(self._ours)
        self._spec = found.__spec__
        return found

    def exec_module(self, module: ModuleType) -> None:
        if self._spec is not None:
            module.__spec__ = self._spec  # `import` has put its own there


class Finder(MetaPathFinder):
    """Finds `jax`, `jaxlib` and all below them in Covector, or says why not."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ROOTS:
            return None
        ours = "covector" + fullname.removeprefix("jax")
        if fullname not in VIEWS and (fullname.startswith("jaxlib") or not _exists(ours)):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}. {_unknown(fullname)}", name=fullname
            )
        return ModuleSpec(fullname, _Served(ours), is_package=True)


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def genuine() -> list[str]:
    """The modules of the real JAX that are imported."""
    return sorted(
        name
        for name, module in sys.modules.items()
        if name in ROOTS and not isinstance(module, View)
    )


def forget() -> None:
    """Take all that was served out of `sys.modules`."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ROOTS:
            del sys.modules[name]
