/**
 * Every refusal and failure code: stable once released, one remedy each. docs/errors.md is generated from this table.
 * `status` is the HTTP class that the Docker Engine answers with for the same condition, for gateways.
 */
import type { Culprit } from './events.ts';

export const codes = {
  // The command itself
  COMMAND_MALFORMED: {
    status: 400,
    remedy: 'The detail names the field; docs/commands.md says what fits there.',
  },
  COMMAND_UNKNOWN: { status: 400, remedy: 'Use a command type and version of docs/protocol.md.' },
  COMMAND_TOO_LARGE: {
    status: 400,
    remedy: 'Send at most 64 KiB; what is too much at once in parts: endpoints one by one, fewer hosts and options.',
  },
  COMMAND_TOO_OLD: {
    status: 400,
    remedy: 'Mint a new command id; ids are remembered for 30 days, or for CNM_ID_DAYS.',
  },
  COMMAND_FROM_FUTURE: {
    status: 400,
    remedy: 'Set the clock of the sender; an id may be minted at most 5 minutes ahead.',
  },
  COMMAND_ID_REUSED: {
    status: 409,
    remedy: 'Mint a new id for each command; repeat an id only with the same content.',
  },
  COMMAND_NOT_STARTED: {
    status: 409,
    remedy: 'Its startBy had passed when it was read; send it again if it is still wanted.',
  },
  COMMAND_FAULTY: { status: 500, remedy: 'A defect in cnmbus: report it with the event, which holds the command id.' },
  COMMAND_ENDED: { status: 409, remedy: 'Nothing: the command has ended already.' },
  COMMAND_NOT_FOUND: { status: 404, remedy: 'See `cnm history command`: only who sent a command can cancel it.' },
  COMMAND_REMOVES: { status: 409, remedy: 'Wait for its outcome, and make again what is wanted after all.' },
  DEADLINE_NOT_PASSED: { status: 409, remedy: 'Nothing: the command still has time.' },
  BOUNDARY_PARKED: {
    status: 503,
    remedy: 'See `cnm parked ls`: retry the event with a version that reads it, or discard it.',
  },
  // Who may have how much
  RATE_LIMITED: {
    status: 429,
    remedy: 'Send fewer commands a second, then send it again, under the same id if you like: see `cnm quota ls`.',
  },
  QUOTA_EXCEEDED: {
    status: 403,
    remedy: 'Remove some of what the detail counts, or have the quota raised: `cnm quota set`.',
  },
  QUOTA_NOT_FOUND: { status: 404, remedy: 'See `cnm quota ls`.' },
  OPERATOR_ONLY: { status: 403, remedy: 'Ask one of the actors that CNM_OPERATORS of the controllers names.' },
  HOST_FULL: {
    status: 503,
    remedy:
      'See `cnm capacity ls`: remove something from the host, raise the limit of its kernel, or use another host.',
  },
  // What is kept and what is shredded
  LEGAL_HOLD: { status: 409, remedy: 'See `cnm audit hold ls`: lift the holds that are listed first.' },
  HOLD_EXISTS: { status: 409, remedy: 'Choose another name, or lift the hold that has it.' },
  HOLD_NOT_FOUND: { status: 404, remedy: 'See `cnm audit hold ls`.' },
  SUBJECT_SHREDDED: { status: 409, remedy: 'Nothing brings it back; seal what comes later for another subject.' },
  // Hosts
  HOST_NOT_FOUND: { status: 404, remedy: 'Start a worker on that host, or name one of `cnm status`.' },
  HOST_REQUIRED: { status: 400, remedy: 'Name the host: --host, or HOST/NETWORK.' },
  HOST_ALIVE: { status: 409, remedy: 'Nothing: what is known of the host is newer.' },
  HOST_REGRESSED: {
    status: 503,
    remedy:
      'The log is an older copy of what the worker of the host had read: see `cnm host inspect`, then say `cnm host resume HOST --keep` or `--remove`.',
  },
  HOST_NOT_STOPPED: { status: 409, remedy: 'Nothing: the worker of the host is not held up by an older log.' },
  CAPABILITY_MISSING: {
    status: 501,
    remedy: 'Run `cnm doctor` on the host: it lists what its kernel and privileges lack.',
  },
  // Drivers
  DRIVER_NOT_FOUND: {
    status: 404,
    remedy: 'Use a driver of `cnm driver ls`; of a plugin, `cnm doctor` on its host says what the directories hold.',
  },
  DRIVER_FORBIDS: { status: 403, remedy: 'The detail says which rule of the driver is in the way (docs/drivers/).' },
  OPTION_UNSUPPORTED: { status: 400, remedy: 'Leave the option out: this version would not act on it.' },
  OPTION_IMMUTABLE: { status: 403, remedy: 'Create another network with that option, and move its sandboxes there.' },
  OPTION_INVALID: { status: 400, remedy: 'Give the option a value that docs/drivers/ allows.' },
  VNI_IN_USE: { status: 403, remedy: 'Choose another VXLAN identifier, or leave it out.' },
  MTU_UNFIT: {
    status: 409,
    remedy:
      "Raise the MTU of the host's underlay to that of the network and 50 more (87 where it is encrypted), or make the network with a smaller MTU.",
  },
  // Networks
  NETWORK_NOT_FOUND: { status: 404, remedy: 'Create it first, or see `cnm network ls`.' },
  NETWORK_AMBIGUOUS: { status: 400, remedy: 'Write HOST/NAME.' },
  NETWORK_EXISTS: { status: 409, remedy: 'Choose another name, or delete the network that holds it.' },
  NETWORK_HAS_ENDPOINTS: { status: 403, remedy: 'Delete the endpoints that are listed first.' },
  NETWORK_DELETING: { status: 409, remedy: 'Wait for its outcome.' },
  NETWORK_STUCK: { status: 409, remedy: 'Delete it again: `cnm network inspect` says why it could not be removed.' },
  NETWORK_CONFIG_ONLY: { status: 403, remedy: 'Create a network with `configFrom` of that name, and use that one.' },
  NETWORK_OUTLET: { status: 403, remedy: 'Use another network; what is in this one comes and goes by itself.' },
  NETWORK_IN_USE: { status: 403, remedy: 'Delete the networks that are listed first.' },
  CONFIG_CONFLICT: {
    status: 403,
    remedy: 'Leave the field out: it is taken from the other network, or means nothing here.',
  },
  NOTHING_TO_PRUNE: { status: 404, remedy: 'Nothing: no network without endpoints matches.' },
  IPAM_DRIVER_NOT_FOUND: { status: 400, remedy: 'Use the IPAM driver `default`, or one that the detail names.' },
  IPAM_INVALID: {
    status: 400,
    remedy:
      'Give at most one subnet per family, only of families that the network has, and gateway, range and auxiliary addresses with the subnet that they lie in.',
  },
  // Addresses
  SUBNET_INVALID: { status: 400, remedy: 'Write the subnet in canonical form, such as 10.1.2.0/24.' },
  SUBNET_OVERLAPS: {
    status: 403,
    remedy: 'Choose a free subnet, or allow the overlap: `--overlap`, in a command `ipam.overlap`.',
  },
  SUBNET_POOL_EXHAUSTED: { status: 400, remedy: 'Delete networks, or configure larger pools (docs/operations.md).' },
  RANGE_INVALID: { status: 400, remedy: 'The range must be a canonical subnet inside the subnet.' },
  ADDRESS_INVALID: { status: 400, remedy: 'Write a unicast address of the right family.' },
  ADDRESS_OUTSIDE_SUBNET: { status: 400, remedy: 'Choose an address inside the subnet.' },
  ADDRESS_RESERVED: {
    status: 400,
    remedy: 'Choose another: the first and the last address of an IPv4 subnet stand for it and its broadcast.',
  },
  ADDRESS_IN_USE: { status: 403, remedy: 'Choose another, or delete the endpoint that holds it.' },
  ADDRESS_POOL_EXHAUSTED: { status: 503, remedy: 'Delete endpoints, or create a network with a larger subnet.' },
  MAC_INVALID: { status: 400, remedy: 'Write a unicast MAC address such as 02:42:0a:c8:00:02.' },
  MAC_IN_USE: { status: 403, remedy: 'Choose another, or delete the endpoint that holds it.' },
  PORT_IN_USE: { status: 403, remedy: 'Choose another host port, or stop whoever is named from using it.' },
  PORT_INVALID: {
    status: 400,
    remedy: 'Give one port, a range to a range of the same length, or a range of host ports to one port.',
  },
  PORT_ADDRESS_INVALID: {
    status: 400,
    remedy:
      'Give an address of the host, of a family that the network has: 0.0.0.0, ::, any, 127.0.0.1 or one of its own.',
  },
  LEASE_INVALID: {
    status: 409,
    remedy: 'Nothing: workers send LeasePorts, for ports that an intent of theirs waits for.',
  },
  SETTLE_INVALID: {
    status: 409,
    remedy: 'Nothing: workers send SettleIntent, for intents of theirs that are open and in time.',
  },
  LINK_LOCAL_INVALID: { status: 400, remedy: 'Give addresses of 169.254.0.0/16 or fe80::/10, without prefix length.' },
  ROUTE_INVALID: {
    status: 400,
    remedy: 'Write the destination in canonical form, such as 10.9.0.0/16, and a gateway of its family.',
  },
  SYSCTL_INVALID: {
    status: 400,
    remedy:
      'Write net.ipv4.conf.IFNAME.KEY, likewise for ipv6 and mpls and for neigh, with IFNAME as it stands here; the detail has what the kernel says.',
  },
  // Endpoints
  ENDPOINT_NOT_FOUND: { status: 404, remedy: 'Create it first, or see `cnm endpoint ls`.' },
  ENDPOINT_EXISTS: { status: 403, remedy: 'Choose another name, or delete the endpoint that holds it.' },
  ENDPOINT_JOINED: { status: 403, remedy: 'Leave the sandbox that is named first.' },
  ENDPOINT_NOT_JOINED: {
    status: 403,
    remedy: 'Nothing, if it was to be out; `cnm sandbox inspect` says where a sandbox is.',
  },
  ENDPOINT_DELETING: { status: 409, remedy: 'Wait for its outcome.' },
  ENDPOINT_STUCK: {
    status: 409,
    remedy: 'Delete it (again): `cnm endpoint inspect` says why it could not be taken out or removed.',
  },
  INTERFACE_IN_USE: { status: 409, remedy: 'Choose another name for the interface, or leave it out.' },
  UPDATE_DISRUPTS: { status: 409, remedy: 'Set `disrupt` if connections through the gateway may be reset.' },
  NETWORK_FULL: { status: 503, remedy: 'A bridge takes 1023 endpoints: use a second network.' },
  NOT_GARBAGE: { status: 409, remedy: 'Nothing: the endpoint is in use, or something newer happened to it.' },
  // Leases of sandboxes and networks
  LEASE_NOT_FOUND: {
    status: 404,
    remedy: 'Nothing: it lasts. A lease is asked for when a sandbox or a network is made.',
  },
  LEASE_NOT_YOURS: {
    status: 403,
    remedy: 'See `cnm lease ls`: who made it renews it, for the owner that is named there.',
  },
  LEASE_RUNNING: { status: 409, remedy: 'Nothing: collectors ask again when it has run out.' },
  // Sandboxes
  SANDBOX_NOT_FOUND: { status: 404, remedy: 'Attach it first, or see `cnm sandbox ls`.' },
  SANDBOX_CONFLICT: {
    status: 409,
    remedy: 'Use the settings that the sandbox has, or detach it first; name each of its networks once.',
  },
  SANDBOX_FITS: { status: 409, remedy: 'Nothing: it has the way out that it needs, or something is under way in it.' },
  SANDBOX_LOST: {
    status: 409,
    remedy:
      'Its host was booted since it was made: `cnm sandbox restore` makes it again, `cnm sandbox detach` ends it.',
  },
  SANDBOX_NOT_LOST: { status: 409, remedy: 'Nothing: the sandbox is there, or about to be.' },
  SANDBOX_HELD: { status: 409, remedy: 'Nothing: the time for which it is held is not over.' },
  SANDBOX_MOVING: { status: 409, remedy: 'Wait for the outcome of the command that changes it.' },
  NAME_INVALID: { status: 400, remedy: 'Use letters, digits, "-", "_" and ".", beginning with a letter or digit.' },
  DNS_INVALID: { status: 400, remedy: 'Give servers as IP addresses, and options as words of resolv.conf.' },
  SANDBOX_EXCLUSIVE: { status: 400, remedy: 'A sandbox on a `host` or `null` network can be on no other.' },
  NETNS_INVALID: {
    status: 400,
    remedy: 'Give an absolute path under a root that the worker allows (/run, /var/run, /proc).',
  },
  // How accepted commands fail
  DEPENDENCY_FAILED: { status: 409, remedy: 'Look at the command it depended on: `cnm history`.' },
  CANCELLED: { status: 409, remedy: 'Nothing: what was made for it is taken back.' },
  HOST_LOST: { status: 503, remedy: 'Send it again, for another host.' },
  TIMED_OUT: { status: 504, remedy: 'See whether the worker of the host runs; what it did too late is undone.' },
  KERNEL_ERROR: {
    status: 500,
    remedy: "The detail has the step that the host could not do, and the kernel's words: look there for what it names.",
  },
  INTERFERED: {
    status: 409,
    remedy:
      'The detail names what was changed, and how: have whoever does that leave links called cb* and cv* alone, then send it again.',
  },
  FOREIGN_OBJECT: {
    status: 409,
    remedy:
      'Something that is not ours has that name, or that VXLAN identifier: remove or rename it, or choose another identifier.',
  },
  BRIDGE_FULL: { status: 503, remedy: 'Wait until removed endpoints are gone, or use a second network.' },
  PLUGIN_ERROR: { status: 500, remedy: 'The detail has what the plugin said: look at the plugin.' },
  PLUGIN_UNREACHABLE: {
    status: 503,
    remedy: 'Start the plugin, or mend its file: `cnm doctor` on the host says what the plugin directories hold.',
  },
  PLUGIN_INVALID: { status: 500, remedy: 'The plugin answered what cannot be used: the detail names it.' },
  NETNS_UNUSABLE: {
    status: 409,
    remedy: 'The path must be a network namespace that exists on the host, and that the worker may open.',
  },
} as const satisfies Record<string, { status: number; remedy: string }>;

export type Code = keyof typeof codes;

/** The domain said no. A value, never thrown. */
export interface Refusal {
  readonly ok: false;
  readonly code: Code;
  readonly detail: string;
  readonly culprits: readonly Culprit[];
}

export const refuse = (code: Code, detail: string, culprits: readonly Culprit[] = []): Refusal => ({
  ok: false,
  code,
  detail,
  culprits,
});
