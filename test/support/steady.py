"""Streams and echoes that go on, and a watch for what the kernel deletes meanwhile, over many namespaces in one process: test/support/steady.ts runs this.

Standard input, first line: {"members": [{"key": path of a namespace, "address": IPv4}], "outside": [{"address": IPv4, "port": n}]}.
Members are taken in pairs: the second of a pair holds a TCP stream to the first, and both ask each other for echoes (RFC 792), ten times a second.
Each of `outside` is a stream from the namespace of this process to what is published of the first member. A second line, or its end, ends it.
Standard output: {"ready": true} once every stream is open and everybody has answered once, then the report (see `report`).
"""
import json
import os
import selectors
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
from echo import SO_RCVBUFFORCE, echo, echo_socket, enter  # noqa: E402

SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NETLINK_NETFILTER, NFNLGRP_NFTABLES, NFNL_SUBSYS_NFTABLES = 12, 7, 10
# RTMGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR, _IPV6_ROUTE
GROUPS = 0x1 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400
ROUTE_DELETES = {17: 'link', 21: 'address', 25: 'route', 33: 'rule'}
RTM_DELNEIGH, AF_BRIDGE, NUD_PERMANENT = 29, 7, 0x80
NFT_DELETES = {2: 'table', 5: 'chain', 8: 'rule', 11: 'set', 14: 'element'}  # linux/netfilter/nf_tables.h
PORT = 7007
EVERY_S = 0.1
LAST_S = 5.0


class Asking:
    """Numbers that were sent, and those that have not come back."""

    def __init__(self, name):
        self.name = name
        self.next = 0
        self.open = {}
        self.slowest = 0.0
        self.dropped = None

    def take(self, now):
        number = self.next
        self.next += 1
        self.open[number] = now
        return number

    def answered(self, number, now):
        sent = self.open.pop(number, None)
        if sent is not None:
            self.slowest = max(self.slowest, now - sent)


class Echoes(Asking):
    def __init__(self, name, address, ident):
        super().__init__(name)
        self.address = address
        self.ident = ident
        self.socket = echo_socket(1 << 20)

    def ask(self, now):
        number = self.take(now)
        packet = echo(self.ident, number & 0xFFFF, struct.pack('!I', number))
        try:
            self.socket.sendto(packet, (self.address, 0))
        except OSError as error:
            self.dropped = self.dropped or str(error)

    def read(self, now):
        while True:
            try:
                packet = self.socket.recv(2048)
            except BlockingIOError:
                return
            offset = (packet[0] & 15) * 4
            if len(packet) >= offset + 12 and struct.unpack_from('!H', packet, offset + 4)[0] == self.ident:
                self.answered(struct.unpack_from('!I', packet, offset + 8)[0], now)


class Stream(Asking):
    """A TCP connection that sends a number and gets it back."""

    def __init__(self, name, address, port):
        super().__init__(name)
        self.socket = socket.create_connection((address, port), timeout=10)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b''

    def ask(self, now):
        if self.dropped is None:
            try:
                self.socket.send(struct.pack('!I', self.take(now)))
            except OSError as error:
                self.dropped = str(error)

    def read(self, now):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            data, self.dropped = b'', str(error)
        if data == b'' and self.dropped is None:
            self.dropped = 'closed by the other side'
        if self.dropped is not None:
            selector.unregister(self.socket)
            return
        self.rest += data
        while len(self.rest) >= 4:
            self.answered(struct.unpack_from('!I', self.rest)[0], now)
            self.rest = self.rest[4:]


class Listening:
    """Sends back whatever comes."""

    def __init__(self):
        self.socket = socket.create_server(('0.0.0.0', PORT), backlog=64)
        self.socket.setblocking(False)

    def read(self, _now):
        accepted, _ = self.socket.accept()
        accepted.setblocking(False)
        selector.register(accepted, selectors.EVENT_READ, Echoing(accepted))


class Echoing:
    def __init__(self, accepted):
        self.socket = accepted

    def read(self, _now):
        try:
            data = self.socket.recv(65536)
            if data:
                self.socket.send(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        selector.unregister(self.socket)
        self.socket.close()


deletes = []
lost_notices = 0


class Monitor:
    """What rtnetlink tells of one namespace."""

    def __init__(self, where):
        self.where = where
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.bind((0, GROUPS))
        self.socket.setblocking(False)

    def read(self, _now):
        global lost_notices
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                lost_notices += 1
                continue
            offset = 0
            while offset + 16 <= len(data):
                length, kind = struct.unpack_from('=IH', data, offset)
                self.message(kind, data[offset + 16:offset + length])
                offset += (length + 3) & ~3

    def message(self, kind, body):
        if kind in ROUTE_DELETES:
            deletes.append(f'{self.where}: {ROUTE_DELETES[kind]}')
        elif kind == RTM_DELNEIGH and body[0] == AF_BRIDGE and struct.unpack_from('=H', body, 8)[0] & NUD_PERMANENT:
            deletes.append(f'{self.where}: permanent forwarding entry')


class TableMonitor(Monitor):
    """What nf_tables tells of it."""

    def __init__(self, where):
        self.where = where
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self.socket.setblocking(False)

    def message(self, kind, _body):
        if kind >> 8 == NFNL_SUBSYS_NFTABLES and kind & 0xFF in NFT_DELETES:
            deletes.append(f'{self.where}: nf_tables {NFT_DELETES[kind & 0xFF]}')


selector = selectors.EpollSelector()


def watch(thing):
    selector.register(thing.socket, selectors.EVENT_READ, thing)
    return thing


def poll(until):
    while True:
        # also when it is late: what has come is read before more is asked
        for key, _ in selector.select(max(0, until - time.monotonic())):
            key.data.read(time.monotonic())
        if time.monotonic() >= until:
            return


def report(askings):
    streams = [one for one in askings if isinstance(one, Stream)]
    echoes = [one for one in askings if isinstance(one, Echoes)]
    return {
        'streams': len(streams),
        'said': sum(one.next for one in streams),
        'dropped': [f'{one.name}: {one.dropped}' for one in streams if one.dropped],
        'unanswered': [f'{one.name}: {len(one.open)}' for one in streams if one.open],
        'pings': sum(one.next for one in echoes),
        'lost': [f'{one.name}: {len(one.open)}' for one in echoes if one.open or one.dropped],
        'slowestMs': round(max(one.slowest for one in askings) * 1000),
        'monitors': monitors,
        'lostNotices': lost_notices,
        'deletes': deletes,
    }


asked = json.loads(sys.stdin.readline())
HOME = f'/proc/{os.getpid()}/fd/{os.open("/proc/self/ns/net", os.O_RDONLY)}'
members = asked['members']
askings = []
monitors = 0
for where, key in [('host', '/proc/self/ns/net')] + [(member['address'], member['key']) for member in members]:
    enter(key)
    watch(Monitor(where))
    watch(TableMonitor(where))
    monitors += 2
for at, member in enumerate(members):
    enter(member['key'])
    other = members[at ^ 1] if at ^ 1 < len(members) else members[at - 1]
    name = f"{member['address']} -> {other['address']}"
    askings.append(watch(Echoes(name, other['address'], 1 + at)))
    if at % 2 == 0:
        watch(Listening())
    else:
        askings.append(watch(Stream(name, other['address'], PORT)))
enter(HOME)
for goal in asked.get('outside', []):
    askings.append(watch(Stream(f"outside -> {goal['address']}:{goal['port']}", goal['address'], goal['port'])))

ending = []


class Input:
    socket = sys.stdin

    @staticmethod
    def read(_now):
        sys.stdin.readline()
        ending.append(True)
        selector.unregister(sys.stdin)


watch(Input)
told = False
tick = time.monotonic()
while not ending:
    for one in askings:
        one.ask(time.monotonic())
    tick += EVERY_S
    poll(tick)
    # a tick that came too late is not made up for
    tick = max(tick, time.monotonic() - EVERY_S)
    if not told and all(len(one.open) < one.next for one in askings):
        told = True
        # whatever was deleted while this began is not of interest
        deletes.clear()
        print(json.dumps({'ready': True}), flush=True)
until = time.monotonic() + LAST_S
while time.monotonic() < until and any(one.open for one in askings):
    poll(min(until, time.monotonic() + EVERY_S))
print(json.dumps(report(askings)), flush=True)
