"""Asks for an address and a name until both answer: bench/overlay.ts runs this inside of a sandbox.

A line `ADDRESS NAME` on standard input starts a search: an echo request (RFC 792) and a question for an A record each millisecond. When
the first of them are under way, `asking` is printed; when both are answered, the two times in nanoseconds of CLOCK_MONOTONIC.
"""
import os
import select
import socket
import struct
import sys
import time

RESOLVER = ('127.0.0.11', 53)
EVERY_S = 0.001
# linux/icmp.h: ICMP_FILTER lets no types through whose bit is set.
SOL_RAW, ICMP_FILTER, ECHO_REPLY = 255, 1, 0


def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(ident, sequence):
    head = struct.pack('!BBHHH', 8, 0, 0, ident, sequence)
    return struct.pack('!BBHHH', 8, 0, checksum(head), ident, sequence)


def question(ident, name):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    return struct.pack('!HHHHHH', ident, 0x0100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('!HH', 1, 1)


def is_answer(packet):
    """Whether it is a response without an error that has an answer."""
    _, flags, _, answers = struct.unpack('!HHHH', packet[:8])
    return flags & 0x800F == 0x8000 and answers > 0


def send(sock, data, to):
    try:
        sock.sendto(data, to)
    except OSError:
        pass  # nobody has that address yet


def search(icmp, dns, ident, address, name):
    reached = resolved = None
    sequence = 0
    target = socket.inet_aton(address)
    while reached is None or resolved is None:
        sequence = (sequence + 1) & 0xFFFF
        if reached is None:
            send(icmp, echo(ident, sequence), (address, 0))
        if resolved is None:
            send(dns, question(ident, name), RESOLVER)
        if sequence == 1:
            print('asking', flush=True)
        until = time.monotonic() + EVERY_S
        while (left := until - time.monotonic()) > 0:
            for sock in select.select([icmp, dns], [], [], left)[0]:
                packet = sock.recv(2048)
                now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
                if sock is dns:
                    if resolved is None and packet[:2] == struct.pack('!H', ident) and is_answer(packet):
                        resolved = now
                elif reached is None and packet[12:16] == target and packet[24:26] == struct.pack('!H', ident):
                    reached = now
    print(reached, resolved, flush=True)


def main():
    os.nice(-20)  # the instrument must not wait for a processor itself
    icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    icmp.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack('=I', 0xFFFFFFFF & ~(1 << ECHO_REPLY)))
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for ident, line in enumerate(sys.stdin, 1):
        search(icmp, dns, ident, *line.split())


main()
