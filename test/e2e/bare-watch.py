"""A watcher of cnmbus with nothing but Python's standard library and docs/protocol.md ("Watching").

    python3 bare-watch.py HOST PORT USER PASSWORD ordered FILE  COMMITS SUBJECT...
    python3 bare-watch.py HOST PORT USER PASSWORD durable NAME  COMMITS SUBJECT...

Prints a line of JSON for every event. It dies in the middle of its work after COMMITS commits, as if it were killed; with 0 it ends once it
has read all that is stored. `ordered` keeps its position in FILE; of `durable` the server keeps it, for the consumer NAME.
"""
import json
import os
import sys

sys.dont_write_bytecode = True
from bare import Nats, Reader  # noqa: E402

DIED = 9


def tell(position, commit):
    for index, event in enumerate(commit):
        print(json.dumps({"position": f"{position}.{index}", "type": event["type"], "id": event["id"]}), flush=True)


def die():
    """As a kill would: nothing is said to the server, nothing is written any more."""
    os._exit(DIED)


def ordered(nats, path, most, subjects):
    """What was read is in FILE once it is told: a death between the two tells one commit twice."""
    position = 0
    if os.path.exists(path):
        with open(path) as file:
            position = int(file.read())
    reader = Reader(nats, position + 1, subjects)
    done = 0
    while reader.pending:
        message = reader.next()
        tell(message.position, message.json())
        done += 1
        if done == most:
            die()
        with open(path + ".new", "w") as file:
            file.write(str(message.position))
        os.rename(path + ".new", path)


def durable(nats, name, most, subjects):
    """One commit at a time: the next one comes when this one is acknowledged."""
    config = {"name": name, "durable_name": name, "deliver_policy": "by_start_sequence", "opt_start_seq": 1,
              "ack_policy": "explicit", "ack_wait": 10**9, "max_ack_pending": 1, "filter_subjects": subjects}
    body = json.dumps({"stream_name": "CNM_LOG", "config": config, "action": "create"}).encode()
    made = nats.request(f"$JS.API.CONSUMER.CREATE.CNM_LOG.{name}", body).json()
    if "error" in made:
        raise ConnectionError(f"no consumer: {made['error']}")
    pending = made["num_pending"] + made["num_ack_pending"]
    inbox = "_INBOX." + os.urandom(8).hex()
    sid = nats.subscribe(inbox)
    done = left = 0
    while pending:
        if left == 0:
            left = 100
            pull = json.dumps({"batch": left, "expires": 10 * 10**9}).encode()
            nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.CNM_LOG.{name}", pull, inbox)
        message = nats.next(sid)
        if message.status:
            left = 0
            continue
        left -= 1
        *_, position, _, _, pending = message.reply.split(".")
        pending = int(pending)
        tell(int(position), message.json())
        done += 1
        if done == most:
            die()
        nats.publish(message.reply, b"+ACK")
    # The last acknowledgement is on its way: wait until the server has it.
    nats.request(f"$JS.API.CONSUMER.INFO.CNM_LOG.{name}")


def main():
    address, port, user, password, mode, place, most, *subjects = sys.argv[1:]
    nats = Nats(address, int(port), (user, password))
    {"ordered": ordered, "durable": durable}[mode](nats, place, int(most), subjects)


if __name__ == "__main__":
    main()
