/**
 * How many programs `cnm up` starts while it attaches and detaches: none, once it serves. Counted by strace, which with --seccomp-bpf
 * stops the traced processes at execve alone. Prints one JSON document.
 */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../services/client/index.ts';
import { printResult, startService } from './lib.ts';

const trace = join(tmpdir(), `cnm-execs-${process.pid}`);
const count = (): number => (readFileSync(trace, 'utf8').match(/execve(at)?\(/g) ?? []).length;

const service = await startService(['strace', '-f', '--seccomp-bpf', '-e', 'trace=execve,execveat', '-o', trace]);
const client = await connect({ url: service.url, actor: 'bench' });
const before = count();
await (await client.createNetwork({ name: 'counted' })).outcome;
const sandboxes = Array.from({ length: 100 }, (_, index) => `s${index}`);
const attached = sandboxes.map(
  async (sandbox) => (await client.attachSandbox({ sandbox, networks: [{ network: 'counted' }] })).outcome,
);
await Promise.all(attached);
await Promise.all(sandboxes.map(async (sandbox) => (await client.detachSandbox({ sandbox })).outcome));
await (await client.deleteNetwork({ network: 'counted' })).outcome;
const during = count() - before;
await client.close();
await service.stop();
rmSync(trace, { force: true });
printResult({ execsAtStart: before, execsWhileServing: during, execsWhileServingWanted: 0 });
