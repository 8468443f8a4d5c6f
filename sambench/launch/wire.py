"""What a worker tells its pool, as JSON lines: nothing that could run code when it is read."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sambench.config.run_config import RunConfig
from sambench.training.events import Epoch, Event, Started, Tick

_KINDS = {kind.__name__: kind for kind in (Started, Tick, Epoch)}


def encode(kind: str, **content: Any) -> bytes:
    """Return a message as one line."""
    return (json.dumps({"kind": kind, **content}) + "\n").encode()


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return a run's event as plain values."""
    plain: dict[str, Any] = {"event": type(event).__name__, **asdict(event)}
    if isinstance(event, Started):
        plain["config"] = event.config.to_dict()
    return plain


def event_from_dict(given: dict[str, Any]) -> Event:
    """Return the event of what `event_to_dict` returned."""
    values = {key: value for key, value in given.items() if key != "event"}
    if "config" in values:
        values["config"] = RunConfig.from_dict(values["config"])
    event: Event = _KINDS[given["event"]](**values)
    return event
