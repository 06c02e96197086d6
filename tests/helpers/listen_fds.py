#!/usr/bin/python3 -IS
"""Runs a command with inherited descriptors, as a service manager does for socket activation.

    listen_fds.py NAME=FD[,NAME=FD...] COMMAND [ARGUMENT...]

The descriptors become 3, 4, ... of the command, and LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say so."""
import fcntl
import os
import sys

pairs = [p.rsplit("=", 1) for p in sys.argv[1].split(",")]
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 200) for _, fd in pairs]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(pairs)),
                  LISTEN_FDNAMES=":".join(name for name, _ in pairs))
os.execvp(sys.argv[2], sys.argv[2:])
