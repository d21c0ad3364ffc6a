"""A socket unit and its service: keeps a listener on 127.0.0.1, and runs a command on it whenever none is running."""

import os
import socket
import sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    child = os.fork()
    if child == 0:
        os.dup2(server.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
        os.execvp(sys.argv[2], [*sys.argv[2:], "--parent-pid", str(os.getppid())])
    os.waitpid(child, 0)
