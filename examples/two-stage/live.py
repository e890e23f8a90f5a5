"""Proposals from a running service, a picture at a time."""

import json
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import torch
from torch import Tensor


@contextmanager
def service(proposer: str, log: Path) -> Iterator[str]:
    """Starts a service on a free port, tells its URL, and ends it."""
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [proposer, "serve", "--addr", "127.0.0.1:0", "--admin-addr", "", "--log-format", "json"], stderr=out,
        )
        try:
            yield "http://" + address(process, log)
        finally:
            process.terminate()
            process.wait()


def address(process: subprocess.Popen, log: Path) -> str:
    """Where it listens, as its log tells."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and (told := json.loads(line))["msg"] == "listening":
                return told["addr"]
        time.sleep(0.05)
    raise RuntimeError(f"the service does not listen: see {log}")


def propose(url: str, picture: bytes, options: str) -> Tensor:
    """The boxes of a picture, best first. examples/client-python also waits when the service is busy,
    and sends a token."""
    request = urllib.request.Request(f"{url}/v1/proposals?{options}", picture, {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        return torch.tensor(json.load(answer)["boxes"], dtype=torch.float32).reshape(-1, 4)
