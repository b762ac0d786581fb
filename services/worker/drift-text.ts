/** What has drifted, as people read it. Pure. */
import { type KernelObject, objectKey } from '../../drivers/objects.ts';
import { describe } from '../../drivers/plan.ts';
import type { Census, Operation } from '../../drivers/port.ts';
import type { DriftChange } from '../../events/events.ts';

const textOf = (value: unknown): string => {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(' ');
  return value === '' ? 'none' : String(value);
};

/** Fields by their paths, `peer.mac`; without what is not seen and what says whose it is. */
const fieldsOf = (object: object, path = ''): ReadonlyMap<string, string> => {
  const fields = new Map<string, string>();
  for (const [name, value] of Object.entries(object)) {
    if (name === 'birth' || name === 'tag' || name === 'kind' || value === null) continue;
    if (typeof value === 'object' && !Array.isArray(value)) {
      for (const [inner, text] of fieldsOf(value, `${path}${name}.`)) fields.set(inner, text);
    } else fields.set(`${path}${name}`, name === 'content' ? `${String(value).length} bytes` : textOf(value));
  }
  return fields;
};

/** Shown worse than they are where there is a remark. */
const blurred: ReadonlySet<string> = new Set(['bridge', 'addresses', 'peer.addresses', 'isolated', 'routed']);

const differences = (wanted: KernelObject, found: KernelObject, remark: string | undefined) => {
  const [before, after] = [fieldsOf(wanted), fieldsOf(found)];
  const names = [...before.keys()].filter((name) => before.get(name) !== after.get(name));
  const clear = remark === undefined ? names : names.filter((name) => !blurred.has(name));
  const said = (fields: ReadonlyMap<string, string>) => clear.map((name) => `${name} ${fields.get(name) ?? 'none'}`);
  const right = remark?.startsWith('down') ? 'up' : 'as made';
  return {
    before: [...(remark === undefined ? [] : [right]), ...said(before)].join(', '),
    after: [...(remark === undefined ? [] : [remark]), ...said(after)].join(', '),
  };
};

/** What an operation would put right. Another incarnation of what is wanted differs in nothing else. */
export const changeOf = (
  { op, object, ...rest }: Operation,
  { remarks = {} }: Pick<Census, 'remarks'>,
): DriftChange => {
  const key = objectKey(object);
  if (op === 'create') return { object: key, before: describe(object), after: 'absent' };
  if (op === 'delete') return { object: key, before: 'absent', after: describe(object) };
  const found = 'from' in rest ? rest.from : object;
  const { before, after } = differences(object, found, remarks[key]);
  return { object: key, before: before || describe(object), after: after || `${describe(found)} of ${found.tag.id}` };
};
