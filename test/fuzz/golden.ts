/** Good inputs, out of the golden samples: what mutations start from. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../golden');
const read = (path: string): string => readFileSync(join(folder, path), 'utf8');
const all = (kind: string): readonly unknown[] =>
  readdirSync(join(folder, kind))
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(read(`${kind}/${name}`)) as unknown);

export const goldenCommands = (): readonly Record<string, unknown>[] => all('commands') as Record<string, unknown>[];
export const goldenEvents = (): readonly Record<string, unknown>[] => all('events') as Record<string, unknown>[];

/** Messages of the kernel and for it, as bytes. */
export const goldenNetlink = (): readonly Uint8Array[] =>
  (Object.values(JSON.parse(read('netlink/messages.json')) as object) as { readonly bytes: string }[]).map(
    ({ bytes }) => Uint8Array.from(Buffer.from(bytes, 'hex')),
  );

/** What Docker's plugins answered, by method. */
export const goldenPluginAnswers = (): readonly { readonly method: string; readonly answer: unknown }[] =>
  read('plugins/docker-28.5.2.jsonl')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { readonly method: string; readonly answer: unknown });
