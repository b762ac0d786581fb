"""Holds network namespaces of others, in the ways that keep them: test/support/holders.ts runs this.

Standard input, a line each: {"id": n, "path": file of a namespace, "how": "file" | "socket" | "process" | "mounts", "seconds": s}.
  file     a descriptor of the file
  socket   a UDP socket inside
  process  a process inside, and a descriptor of its /proc/PID/ns/net
  mounts   a process in a mount namespace of its own, which has a copy of every mount
Standard output, a line each: {"id": n, "inode": of the namespace} once it is held, {"id": n, "over": true} when it is about to be let go.
The end of the input ends it, when all is let go.
"""
import ctypes
import heapq
import json
import os
import resource
import select
import signal
import socket
import sys
import time

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def enter(descriptor):
    check(libc.setns(descriptor, CLONE_NEWNET), 'setns')


def forked(work):
    """A child that has done `work` and then waits to be killed; answers what ends it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(writer, b'1')
            # nothing of the parent's may be held as well
            os.closerange(0, 1 << 16)
            while True:
                signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    if os.read(reader, 1) != b'1':
        raise OSError('a holder could not be started')
    os.close(reader)

    def end():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    return pid, end


def own_mounts():
    check(libc.unshare(CLONE_NEWNS), 'unshare')
    check(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None), 'mount')


def hold(path, how):
    """Answers the inode, and what lets it go."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    inode = os.fstat(descriptor).st_ino
    if how == 'file':
        return inode, lambda: os.close(descriptor)
    try:
        if how == 'socket':
            enter(descriptor)
            held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            enter(home)
            return inode, held.close
        if how == 'mounts':
            return inode, forked(own_mounts)[1]
        pid, end = forked(lambda: enter(descriptor))
        inside = os.open(f'/proc/{pid}/ns/net', os.O_RDONLY | os.O_CLOEXEC)
        assert os.fstat(inside).st_ino == inode
        return inode, lambda: (end(), os.close(inside))
    finally:
        os.close(descriptor)


def say(**what):
    sys.stdout.write(json.dumps(what) + '\n')
    sys.stdout.flush()


limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
home = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
held = []
pending = b''
isOpen = True
while isOpen or held:
    wait = max(0, held[0][0] - time.monotonic()) if held else None
    if isOpen and select.select([0], [], [], wait)[0]:
        read = os.read(0, 1 << 16)
        isOpen = read != b''
        *lines, pending = (pending + read).split(b'\n')
        for line in lines:
            wish = json.loads(line)
            inode, release = hold(wish['path'], wish['how'])
            heapq.heappush(held, (time.monotonic() + wish['seconds'], wish['id'], release))
            say(id=wish['id'], inode=inode)
    elif not isOpen:
        time.sleep(wait)
    while held and held[0][0] <= time.monotonic():
        _, number, release = heapq.heappop(held)
        # before it is: numbers of inodes are given again at once
        say(id=number, over=True)
        release()
