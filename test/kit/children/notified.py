"""The notify socket of a service manager (sd_notify(3)): prints each assignment it gets."""

import os
import socket
import struct
import sys

server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print("bound", flush=True)
while True:
    data, control, _, _ = server.recvmsg(4096, socket.CMSG_SPACE(64))
    for level, kind, value in control:
        # The barrier of systemd-notify: closing what it sends says that everything before was read.
        if kind == socket.SCM_RIGHTS:
            for (fd,) in struct.iter_unpack("i", value[: len(value) - len(value) % 4]):
                os.close(fd)
    for line in data.decode().splitlines():
        if line != "BARRIER=1":
            print(line, flush=True)
