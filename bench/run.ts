/**
 * All benches, or those that are named: attach, audit, dns, drift, execs, hostile, overlay, past, peers, plugin, ports, questions, rebuild,
 * recovery, replay. Each runs in a namespace of its own; results go to bench/results.json and to standard output.
 *
 *     npm run bench [-- NAME...]
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inOwnNamespace, machine } from './lib.ts';

const programs = {
  attach: [],
  audit: ['1000000', '1'],
  dns: [],
  drift: [],
  execs: [],
  hostile: [],
  overlay: [],
  past: ['100000', '1000'],
  peers: [],
  plugin: [],
  ports: [],
  questions: [],
  rebuild: ['1000000', '1'],
  recovery: [],
  replay: [],
} as const;
type Name = keyof typeof programs;

const isName = (text: string): text is Name => text in programs;
const asked = process.argv.slice(2);
const unknown = asked.filter((text) => !isName(text));
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(', ')}; there are: ${Object.keys(programs).join(', ')}`);
  process.exit(2);
}
if (process.getuid?.() !== 0) {
  console.error('benches make namespaces and bridges: run them as root');
  process.exit(1);
}

const file = join(import.meta.dirname, 'results.json');
const results: Record<string, unknown> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
for (const name of asked.length > 0 ? asked.filter(isName) : (Object.keys(programs) as Name[])) {
  console.error(`bench ${name} ...`);
  const output = inOwnNamespace(join(import.meta.dirname, `${name}.ts`), programs[name]);
  results[name] = { machine: machine(), ...JSON.parse(output.trim().split('\n').at(-1) ?? '{}') };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}
process.stdout.write(`${JSON.stringify(results, null, 2)}\n`);
