"""What a party is like as a process, written as JSON to the folder TOLD once its service runs: parties import this."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys

from jmpc.service.service import Service

_start = Service.start


def _told(service: Service) -> None:
    _start(service)
    said = {
        "environment": dict(os.environ),
        "path": sys.path,
        "folder": os.getcwd(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
        "no_new_privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),  # PR_GET_NO_NEW_PRIVS
        "umask": os.umask(0o077),
        "writes_code": not sys.dont_write_bytecode,
        "modules": {name: getattr(module, "__file__", None) or "" for name, module in dict(sys.modules).items()},
    }
    path = os.path.join(os.environ["TOLD"], f"{service.party}.json")
    with open(f"{path}.part", "w") as file:
        json.dump(said, file)
    os.rename(f"{path}.part", path)


Service.start = _told
