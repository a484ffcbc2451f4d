"""Does something as soon as another package is imported, without importing it."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable


def on_import(name: str, action: Callable[[], None]) -> None:
    """Calls `action` once the module is imported: now, if it is already."""
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Finder(name, action))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module as the others would, and adds the action to its loader."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self._name = name
        self._action = action

    def find_spec(self, fullname, path, target=None):
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module) -> None:
                load(module)
                self._action()

            spec.loader.exec_module = exec_module
        return spec
