"""The wire, with nothing but Python's standard library: the NATS protocol over one socket, names and ids, the hash of the chain.

For the programs beside it, which have nothing of cnmbus but docs/protocol.md.
"""
import base64
import hashlib
import json
import os
import socket
import time

SERVER_HEADERS = {
    "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence", "Nats-Num-Pending",
    "Nats-UpTo-Sequence", "Nats-Stream-Source", "Nats-Msg-Size", "Nats-Pin-Id",
}
TIMEOUT_S = 15.0


def token(name):
    """A name as one token of a subject (Names in subjects)."""
    if name == "_":
        return "=5F"
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return "".join(chr(byte) if byte in plain else "=%02X" % byte for byte in name.encode())


def base36(number):
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


def mint():
    """A command id (Command ids)."""
    return base36(int(time.time() * 1000)) + "-" + os.urandom(6).hex()


class Message:
    def __init__(self, subject, reply, status, headers, body):
        self.subject, self.reply, self.status, self.headers, self.body = subject, reply, status, headers, body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)


class Nats:
    """One connection. Messages are kept per subscription until somebody asks for them."""

    def __init__(self, host, port, login=None):
        self.socket = socket.create_connection((host, port), timeout=TIMEOUT_S)
        self.buffer = b""
        self.waiting = {}
        self.subscriptions = 0
        self.info = json.loads(self.line().split(b" ", 1)[1])
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "name": "bare",
                   "lang": "python", "version": "1", "protocol": 1}
        if login:
            options["user"], options["pass"] = login
        self.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        while self.line() != b"PONG":
            pass

    def write(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def payload(self, size):
        while len(self.buffer) < size + 2:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        return data

    def subscribe(self, subject):
        self.subscriptions += 1
        sid = str(self.subscriptions)
        self.waiting[sid] = []
        self.write(f"SUB {subject} {sid}\r\n".encode())
        return sid

    def unsubscribe(self, sid):
        self.write(f"UNSUB {sid}\r\n".encode())
        del self.waiting[sid]

    def publish(self, subject, body, reply="", headers=()):
        if headers:
            head = b"NATS/1.0\r\n" + b"".join(f"{key}: {value}\r\n".encode() for key, value in headers) + b"\r\n"
            sizes = f"{len(head)} {len(head) + len(body)}"
            self.write(f"HPUB {subject} {reply} {sizes}\r\n".encode() + head + body + b"\r\n")
        else:
            self.write(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def receive(self):
        """Takes one thing from the wire."""
        line = self.line()
        verb, *rest = line.decode().split()
        if verb == "PING":
            self.write(b"PONG\r\n")
        elif verb == "-ERR":
            raise ConnectionError(line.decode())
        elif verb in ("MSG", "HMSG"):
            sizes = 1 if verb == "MSG" else 2
            subject, sid, *reply = rest[:-sizes]
            whole = self.payload(int(rest[-1]))
            head = b"" if verb == "MSG" else whole[:int(rest[-2])]
            message = Message(subject, reply[0] if reply else "", *parse_head(head), whole[len(head):])
            # what comes for a subscription that has just ended is nobody's
            self.waiting.get(sid, []).append(message)

    def next(self, sid, seconds=TIMEOUT_S):
        """The next message of a subscription, or None when none comes for so long."""
        until = time.monotonic() + seconds
        try:
            while not self.waiting[sid]:
                self.socket.settimeout(max(0.001, until - time.monotonic()))
                self.receive()
        except TimeoutError:
            return None
        finally:
            self.socket.settimeout(TIMEOUT_S)
        return self.waiting[sid].pop(0)

    def request(self, subject, body=b"", headers=()):
        inbox = "_INBOX." + os.urandom(8).hex()
        sid = self.subscribe(inbox)
        self.publish(subject, body, inbox, headers)
        try:
            answer = self.next(sid)
        finally:
            self.unsubscribe(sid)
        if answer is None:
            raise ConnectionError(f"no answer to a request to {subject}")
        return answer


def parse_head(head):
    """Status and headers of what stands in front of a body."""
    if not head:
        return "", []
    first, *lines = head.decode().rstrip("\r\n").split("\r\n")
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return first[len("NATS/1.0"):].strip(), [(key, value.strip()) for key, value in pairs]


def chain_hash(subject, headers, body):
    """The hash that the next commit on the same subject carries (The chain)."""
    stored = sorted((pair for pair in headers if pair[0] not in SERVER_HEADERS), key=lambda pair: pair[0])
    head = subject + "\r\n" + "".join(f"{key}: {value}\r\n" for key, value in stored) + "\r\n"
    return base64.urlsafe_b64encode(hashlib.sha256(head.encode() + body).digest()).decode().rstrip("=")


class Reader:
    """The log in order, from a position on, by a consumer of our own (Watching)."""

    BATCH = 100
    EXPIRES_S = 10

    def __init__(self, nats, position, subjects):
        self.nats, self.subjects = nats, subjects
        self.position = position - 1
        self.sid = None
        self.open()

    def open(self):
        """Makes the consumer, behind the last commit that was handed out. @raises ConnectionError"""
        if self.sid is not None:
            self.nats.unsubscribe(self.sid)
        self.name = "bare_" + os.urandom(6).hex()
        config = {"name": self.name, "deliver_policy": "by_start_sequence", "opt_start_seq": self.position + 1,
                  "ack_policy": "none", "mem_storage": True, "num_replicas": 1, "inactive_threshold": 60 * 10**9,
                  "filter_subjects": self.subjects}
        body = json.dumps({"stream_name": "CNM_LOG", "config": config, "action": "create"}).encode()
        made = self.nats.request(f"$JS.API.CONSUMER.CREATE.CNM_LOG.{self.name}", body).json()
        if "error" in made:
            raise ConnectionError(f"no consumer: {made['error']}")
        self.pending = made["num_pending"]
        self.count = 0
        self.inbox = "_INBOX." + os.urandom(8).hex()
        self.sid = self.nats.subscribe(self.inbox)
        self.pull()

    def pull(self):
        self.left = self.BATCH
        body = json.dumps({"batch": self.BATCH, "expires": self.EXPIRES_S * 10**9}).encode()
        self.nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.{self.name}", body, self.inbox)

    def next(self, seconds=TIMEOUT_S):
        """The next commit, as a message with `position`; None when none comes for so long."""
        until = time.monotonic() + seconds
        while True:
            message = self.nats.next(self.sid, until - time.monotonic())
            if message is None:
                return None
            if message.status:
                # 408: the time of the pull is over; anything else: the consumer may be gone
                self.pull() if message.status.startswith("408") else self.open()
                continue
            *_, position, count, _, pending = message.reply.split(".")
            if int(count) != self.count + 1:
                self.open()
                continue
            self.count, self.pending, self.position = int(count), int(pending), int(position)
            message.position = self.position
            self.left -= 1
            if self.left == 0:
                self.pull()
            return message
