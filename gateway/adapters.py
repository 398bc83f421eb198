"""The carriers' adapters, found by their names: what lies in `carriers` and has a port's class is an adapter.

So a new carrier is one file there, and no list is extended here. Which one a carrier uses says the configuration.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

import carriers

Port = Literal["Bearer", "Biller", "UssdChannel", "SimSwap"]


class Kind(NamedTuple):
    """An adapter: how its settings look and how it is made."""

    settings: type[msgspec.Struct]
    make: Callable[..., Any]  # Any: whoever makes it puts it behind its port.


@cache
def kinds(port: Port) -> Mapping[str, Kind]:
    """Every adapter that has the class *port*, by its name: that of its file, or of its folder with an `adapter.py`."""
    found = {}
    for module in pkgutil.iter_modules(carriers.__path__):
        if module.name == "base":
            continue
        name = f"carriers.{module.name}.adapter" if module.ispkg else f"carriers.{module.name}"
        adapter = importlib.import_module(name)
        if hasattr(adapter, port):
            found[module.name] = Kind(adapter.Settings, getattr(adapter, port))
    return found


def chosen(section: Mapping[str, Any], port: Port) -> tuple[Kind, dict[str, Any]]:  # Any: TOML.
    """The adapter that `type` in *section* names, and the rest of the section. Raise ValueError that says what is."""
    rest = dict(section)
    name = rest.pop("type", None)
    known = kinds(port)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"type: expected one of {', '.join(sorted(known))}, got {name!r}")
    return known[name], rest
