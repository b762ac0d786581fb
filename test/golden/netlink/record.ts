/**
 * Records what `ip` and `bridge` send, byte for byte: `node test/golden/netlink/record.ts`, as root, with strace. The commands run in a network
 * namespace that is thrown away; where its kernel refuses what they ask for, they have sent it all the same.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const mac = '02:42:0a:01:00:02';

/** What is there before the commands run: a parent at index 10, a tunnel at index 30 on a bridge. */
const scene = `
  ip link add name up0 index 10 type veth peer name up1
  ip link set up0 up
  ip link add name br0 index 20 type bridge
  ip link add name cx0 index 30 type vxlan id 1 dstport 4789
  ip link set dev cx0 master br0`;

const key = Array.from({ length: 36 }, (_, at) => at.toString(16).padStart(2, '0')).join('');
const guarded = 'src 0.0.0.0/0 dst 0.0.0.0/0 proto udp dport 4790';
const template = 'tmpl src 0.0.0.0 dst 0.0.0.0 proto esp reqid 201326593 mode transport';

const commands: Readonly<Record<string, string>> = {
  vxlan: `ip link add name cx1 index 40 mtu 1450 type vxlan id 4097 local 10.99.0.1 ttl 64 nolearning proxy dstport 4789`,
  macvlan: `ip link add name cm1 index 41 link up0 address ${mac} mtu 1400 type macvlan mode bridge`,
  'macvlan private': `ip link add name cm1 index 42 link up0 type macvlan mode private`,
  'macvlan vepa': `ip link add name cm1 index 43 link up0 type macvlan mode vepa`,
  'macvlan passthru': `ip link add name cm1 index 44 link up0 type macvlan mode passthru`,
  ipvlan: `ip link add name ci1 index 45 link up0 mtu 1400 type ipvlan mode l2 bridge`,
  'ipvlan l3 private': `ip link add name ci1 index 46 link up0 type ipvlan mode l3 private`,
  'ipvlan l3s vepa': `ip link add name ci1 index 47 link up0 type ipvlan mode l3s vepa`,
  vlan: `ip link add name up0.50 index 48 link up0 type vlan id 50`,
  'put way': `bridge fdb replace ${mac} dev cx0 self dst 10.99.0.2`,
  'drop way': `bridge fdb del ${mac} dev cx0 self`,
  'put station': `bridge fdb replace ${mac} dev cx0 master static extern_learn`,
  'drop station': `bridge fdb del ${mac} dev cx0 master`,
  'put neighbour': `ip neigh replace 10.1.0.2 dev cx0 lladdr ${mac} nud permanent`,
  'put neighbour 6': `ip neigh replace fd00:1::2 dev cx0 lladdr ${mac} nud permanent`,
  'drop neighbour': `ip neigh del 10.1.0.2 dev cx0`,
  'dump neighbours': `ip neigh show dev cx0 nud all`,
  'add state': `ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x80000100 reqid 201326593 mode transport replay-window 1024 flag esn aead rfc4106(gcm(aes)) 0x${key} 128`,
  'delete state': `ip xfrm state delete src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x80000100`,
  'list states': `ip xfrm state list`,
  'add policy in': `ip xfrm policy add ${guarded} dir in ${template}`,
  'add policy out': `ip xfrm policy add ${guarded} dir out ${template}`,
  'delete policy': `ip xfrm policy delete ${guarded} dir out`,
  'list policies': `ip xfrm policy list`,
};

/** The last message that was sent, as long as its header says. */
const bytesOf = (trace: string): string => {
  const last = trace.split(/^\d+ send/m).at(-1) ?? '';
  const lines = last.split('\n').flatMap((line) => / \| [0-9a-f]+ {2}([0-9a-f ]{49})/.exec(line)?.[1] ?? []);
  const bytes = Buffer.from(lines.join('').replaceAll(/\s/g, ''), 'hex');
  return bytes.subarray(0, bytes.readUInt32LE(0)).toString('hex');
};

if (process.argv[2] === undefined) {
  const recorded = execFileSync('unshare', ['--net', process.execPath, import.meta.filename, 'inside']);
  writeFileSync(join(import.meta.dirname, 'messages.json'), recorded);
} else {
  execFileSync('sh', ['-ec', scene]);
  const file = execFileSync('mktemp', { encoding: 'utf8' }).trim();
  const messages = Object.entries(commands).map(([name, command]) => {
    spawnSync('strace', ['-f', '-e', 'trace=sendto,sendmsg', '-e', 'write=3,4', '-o', file, ...command.split(' ')]);
    return [name, { command, bytes: bytesOf(readFileSync(file, 'utf8')) }];
  });
  console.log(JSON.stringify(Object.fromEntries(messages), null, 2));
}
