"""What travels between hosts in VXLAN (RFC 7348), seen in the namespace that this is started in: test/support/mesh.ts runs it.

Prints `listening`; at the end of standard input {"lost": n, "flows": [[outer destination, VNI, inner destination MAC, count]]}.
Frames that leave are not counted, so what passes a bridge counts once.
"""
import collections
import ctypes
import json
import select
import socket
import struct
import sys

PORTS = (4789, 4790)
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
ETH_P_ALL = 3
HEAD = 14 + 20 + 8 + 8 + 6  # Ethernet, IPv4 without options, UDP, VXLAN, the inner destination

LD_B, LD_H, LD_W = 0x30, 0x28, 0x20
JEQ, RET = 0x15, 0x06
PKTTYPE, OUTGOING = 0xFFFFF000 + 4, 4  # SKF_AD_OFF + SKF_AD_PKTTYPE


def program():
    """Takes IPv4 with UDP to one of the ports that does not leave, and no more of it than its head."""
    return [
        (LD_W, 0, 0, PKTTYPE), (JEQ, 8, 0, OUTGOING),
        (LD_H, 0, 0, 12), (JEQ, 0, 6, 0x0800),
        (LD_B, 0, 0, 23), (JEQ, 0, 4, 17),
        (LD_H, 0, 0, 36), (JEQ, 1, 0, PORTS[0]), (JEQ, 0, 1, PORTS[1]),
        (RET, 0, 0, HEAD), (RET, 0, 0, 0),
    ]


def attach(sock):
    """struct sock_fprog: a length and a pointer."""
    code = b''.join(struct.pack('=HBBI', *step) for step in program())
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack('HL', len(code) // 8, ctypes.addressof(buffer)))


def main():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 27)
    attach(sock)
    while select.select([sock], [], [], 0)[0]:
        sock.recv(HEAD)  # what came before the filter
    print('listening', flush=True)
    flows = collections.Counter()
    while True:
        ready = select.select([sock, sys.stdin], [], [])[0]
        if sock in ready:
            head = sock.recv(HEAD)
            flows[head[30:34] + head[46:49] + head[50:56]] += 1
        elif not sys.stdin.read(1):
            break
    _, lost = struct.unpack('=II', sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    shown = [
        [socket.inet_ntoa(key[:4]), int.from_bytes(key[4:7], 'big'), key[7:].hex(':'), count]
        for key, count in flows.items()
    ]
    json.dump({'lost': lost, 'flows': shown}, sys.stdout)


main()
