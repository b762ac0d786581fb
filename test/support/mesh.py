"""Echo requests (RFC 792) from namespaces of a list to every address of it, in one process: test/support/mesh.ts runs this.

Standard input: {"members": [{"key": path of a namespace, "address": IPv4}], "every": n}: each n-th of them asks all others. Standard
output: {"asked": n, "missing": [[from, to]]}.
One member asks at a time, and what the kernel learnt about neighbours for it is forgotten behind it: all namespaces share one table of
neighbours, which holds 1,024 as kernels come (net.ipv4.neigh.default.gc_thresh3).
"""
import errno
import json
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from echo import ECHO_REPLY, echo, echo_socket, enter  # noqa: E402

RTM_DELNEIGH, NLM_F_REQUEST = 29, 1
INTERFACE = 'eth0'
TRIES = 4
TRY_S = 1.5

class Member:
    """One namespace: a socket for echoes, one for its neighbours."""

    def __init__(self, key, address):
        enter(key)
        self.address = address
        self.packed = socket.inet_aton(address)
        self.echoes = echo_socket(1 << 22)
        self.index = socket.if_nametoindex(INTERFACE)
        self.neighbours = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def ask(self, packet, to):
        try:
            self.echoes.sendto(packet, (to, 0))
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN, errno.EHOSTUNREACH):
                raise

    def answers(self, wait_s):
        """Identifiers and sequence numbers with the addresses that answered, as far as there are any."""
        if not select.select([self.echoes], [], [], wait_s)[0]:
            return
        while True:
            try:
                packet = self.echoes.recv(256)
            except BlockingIOError:
                return
            if packet[20] == ECHO_REPLY:
                yield struct.unpack('!HH', packet[24:28]), packet[12:16]

    def forget(self, packed):
        """struct ndmsg and one NDA_DST; a neighbour that is not there is fine, so nobody reads the refusal."""
        body = struct.pack('=BxxxiHBB', socket.AF_INET, self.index, 0, 0, 0) + struct.pack('=HH', 8, 1) + packed
        self.neighbours.send(struct.pack('=IHHII', 16 + len(body), RTM_DELNEIGH, NLM_F_REQUEST, 0, 0) + body)


def missing_from(members, asking):
    """Members that do not answer this one."""
    me = members[asking]
    waiting = {at for at in range(len(members)) if at != asking}
    for _ in range(TRIES):
        for at in waiting:
            me.ask(echo(asking, at), members[at].address)
        until = time.monotonic() + TRY_S
        while waiting and (left := until - time.monotonic()) > 0:
            for (ident, at), source in me.answers(left):
                if ident == asking and at in waiting and source == members[at].packed:
                    waiting.remove(at)
        if not waiting:
            break
    for at, member in enumerate(members):
        if at != asking:
            me.forget(member.packed)
            member.forget(me.packed)
    return sorted(waiting)


def main():
    given = json.load(sys.stdin)
    members = [Member(**member) for member in given['members']]
    askers = range(0, len(members), given['every'])
    missing = [[asking, at] for asking in askers for at in missing_from(members, asking)]
    json.dump({'asked': len(askers) * (len(members) - 1), 'missing': missing}, sys.stdout)


main()
