"""The worker without the seconds that its imports take: a fork of a server that has imported torch and computed nothing.

Started in the worker's place (launch.WORKER, by the fixture `warm`), it hands its stdin, stdout, stderr, environment and
folder to the server, and ends as the fork ends; if it is killed, so is the fork. A device `sim` is the simulated one. For tests of what a worker does with a
job. What libraries read as they are loaded (OMP_*, MALLOC_*) is not the job's here, and no import is slow or fails:
tests of how a worker starts start a real one.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from functools import partial
from pathlib import Path

ADDRESS = "BENCH_WARM"  # the variable that names the server's socket


def main() -> None:
    """In the worker's place."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ[ADDRESS])
        told = json.dumps({"env": dict(os.environ), "cwd": str(Path.cwd())}).encode() + b"\n"
        sent = socket.send_fds(server, [told], [0, 1, 2])
        server.sendall(told[sent:])
        os.close(0)
        os.close(1)  # so that the answers end where the fork ends
        status = int(server.recv(16))
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL) if os.WTERMSIG(status) != signal.SIGKILL else None
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


def serve(address: str) -> None:
    """Fork a worker for each connection, until stdin ends."""
    import torch._dynamo  # noqa: F401 (what the simulated device's batch norm imports)

    from bench.measure import worker
    from bench.run.launch import die_with_parent
    from tests import simulated

    simulated.register()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest
    with selectors.DefaultSelector() as events, socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)
        events.register(0, selectors.EVENT_READ)
        events.register(door, selectors.EVENT_READ)
        while True:
            for key, _ in events.select():
                if key.fileobj == 0:
                    return
                if events.get_map().get(key.fd) is not key:  # ended earlier in this turn: a fork and its asker at once
                    continue
                if key.fileobj is door:
                    asker, _ = door.accept()
                    told, fds, _, _ = socket.recv_fds(asker, 1 << 16, 3)
                    while not told.endswith(b"\n"):
                        told += asker.recv(1 << 16)
                    pid = os.fork()
                    if pid == 0:
                        die_with_parent()
                        signal.signal(signal.SIGINT, signal.SIG_DFL)
                        events.close()
                        door.close()
                        asker.close()
                        _work(partial(worker.main, simulated.open_device), json.loads(told), fds)
                    for fd in fds:
                        os.close(fd)
                    ended = os.pidfd_open(pid)
                    events.register(asker, selectors.EVENT_READ, (pid, None))
                    events.register(ended, selectors.EVENT_READ, (pid, asker))
                elif key.data[1] is None:  # its asker was killed
                    events.unregister(key.fileobj)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(key.data[0], signal.SIGKILL)
                else:
                    pid, asker = key.data
                    _, status = os.waitpid(pid, 0)
                    events.unregister(key.fileobj)
                    os.close(key.fd)
                    with contextlib.suppress(KeyError):
                        events.unregister(asker)
                    with contextlib.suppress(OSError):
                        asker.sendall(str(status).encode())
                    asker.close()


def _work(worker, told, fds) -> None:
    """In the fork, which never returns."""
    status = 1
    try:
        for place, fd in enumerate(fds):
            os.dup2(fd, place)
            os.close(fd)
        os.environ.clear()
        os.environ.update(told["env"])
        os.chdir(told["cwd"])
        sys.path[:0] = filter(None, told["env"].get("PYTHONPATH", "").split(os.pathsep))
        sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in told["env"]
        worker()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1]) if len(sys.argv) > 1 else main()
