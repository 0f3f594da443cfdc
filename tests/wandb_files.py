"""Reading back what an offline run of wandb wrote: a LevelDB log of protocol buffers."""

import json
import struct
from pathlib import Path

import wandb
from wandb.proto.wandb_internal_pb2 import Record

_BLOCK, _HEADER = 32768, 7


def records(folder):
    """All records of the one run below `folder`."""
    (path,) = Path(folder).rglob("*.wandb")
    data, place, whole = path.read_bytes(), _HEADER, b""
    while place + _HEADER <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + _HEADER])
        whole += data[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in (1, 4):  # a full record, or the last part of one
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def end_runs():
    """Have everything on disk; wandb's own process, which keeps files open, ends too."""
    wandb.finish()
    wandb.teardown()


def logged(folder):
    """The run record, {key: [values]} of its history, its config and its summary."""
    run, history, config, summary = None, {}, {}, {}
    for record in records(folder):
        if record.HasField("run"):
            run = record.run
            config |= _items(run.config.update)
        elif record.HasField("history"):
            for key, value in _items(record.history.item).items():
                history.setdefault(key, []).append(value)
        elif record.HasField("config"):
            config |= _items(record.config.update)
        elif record.HasField("summary"):
            summary |= _items(record.summary.update)
    return run, history, config, summary


def _items(items):
    """What several records of keys, or of paths of keys, say together."""
    found = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        place = found
        for key in path:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return found
