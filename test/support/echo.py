"""Echo requests (RFC 792) out of namespaces: what mesh.py and steady.py share."""
import ctypes
import os
import socket
import struct

CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
SOL_RAW, ICMP_FILTER, ECHO_REPLY = 255, 1, 0  # linux/icmp.h: types whose bit is set do not get through

libc = ctypes.CDLL(None, use_errno=True)


def enter(key):
    """Takes the process into the namespace of a file."""
    descriptor = os.open(key, os.O_RDONLY)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f'setns {key}')
    os.close(descriptor)


def checksum(data):
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(ident, sequence, body=b''):
    plain = struct.pack('!BBHHH', 8, 0, 0, ident, sequence) + body
    return struct.pack('!BBHHH', 8, 0, checksum(plain), ident, sequence) + body


def echo_socket(buffer_bytes):
    """Hears of answers alone, and waits for nothing."""
    made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
    made.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack('=I', 0xFFFFFFFF & ~(1 << ECHO_REPLY)))
    return made
