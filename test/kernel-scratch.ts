import { linuxKernel } from '../drivers/kernel/kernel.ts';
import { execSync } from 'node:child_process';
import type { KernelObject, Tag } from '../drivers/objects.ts';
const k = await linuxKernel({ realm: 'r1', host: 'h-1', runDir: '/run/cnmtest' });
const tag = (entity: Tag['entity'], id: string): Tag => ({ realm: 'r1', host: 'h-1', entity, id });
const c = (object: KernelObject) => ({ op: 'create' as const, object });
const d = (object: KernelObject) => ({ op: 'delete' as const, object });
const br: KernelObject = { kind: 'bridge', name: 'br-a', mac: '02:42:0a:c8:00:01', mtu: 1500, addresses: ['10.200.0.1/24', 'fd00::1/64'], tag: tag('network', 'n1') };
const els: KernelObject[] = [{ kind: 'element', set: 'bridges', key: ['br-a'], tag: tag('network', 'n1') }, { kind: 'element', set: 'own', key: ['br-a', 'br-a'], tag: tag('network', 'n1') }];
const ns = '/run/cnmtest/r1/s1';
const box: KernelObject[] = [
  { kind: 'netns', path: ns, owned: true, tag: tag('sandbox', 's1') },
  { kind: 'veth', name: 'cvabc', bridge: 'br-a', mtu: 1500, netns: ns, peer: { name: 'eth0', mac: '02:42:0a:c8:00:02', addresses: ['10.200.0.2/24', 'fd00::2/64'] }, tag: tag('endpoint', 'e1') },
  { kind: 'route', netns: ns, destination: '0.0.0.0/0', gateway: '10.200.0.1', device: 'eth0', tag: tag('endpoint', 'e1') },
  { kind: 'route', netns: ns, destination: '::/0', gateway: 'fd00::1', device: 'eth0', tag: tag('endpoint', 'e1') },
];
const sh = (s: string) => console.log(`$ ${s}\n` + execSync(s + ' 2>&1 || true').toString());
console.log(JSON.stringify(await k.apply([{ id: 'net', operations: [br, ...els].map(c) }]), null, 1));
console.log(JSON.stringify(await k.apply([{ id: 'box', operations: box.map(c) }]), null, 1));
const { deepStrictEqual } = await import('node:assert');const sorted = (x: readonly KernelObject[]) => [...x].sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
const cen = await k.census(); console.log(cen.unknown); deepStrictEqual(sorted(cen.objects), sorted([br, ...els, ...box])); console.log(await k.facts());
sh('ip -d addr; nft list ruleset; ls -laR /run/cnmtest'); sh(`nsenter --net=${ns} sh -c "ip addr; ip route; ip -6 route; ping -c1 -W1 10.200.0.1; ping -c1 -W1 fd00::1"`);
console.log(JSON.stringify(await k.apply([{ id: 'again', operations: [...box, br, ...els].map(c) }]), null, 1));
console.log(JSON.stringify(await k.apply([{ id: 'unbox', operations: box.toReversed().map(d) }, { id: 'unnet', operations: [br, ...els].map(d) }]), null, 1));
const t = performance.now(); await k.settled(); console.log('settled', performance.now() - t);
sh('ip -br addr; ls -laR /run/cnmtest; nft list ruleset | head -20');
console.log(await k.census()); await k.close();
