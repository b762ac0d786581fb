/** For tests of IPAM: what was chosen, or the refusal. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Cidr, parseSubnet } from '../../events/ip.ts';
import { type Choice, ipamCodes } from '../../events/ipam.ts';
import type { Refusal } from '../../events/refusals.ts';

export const at = (nowMs: number, quarantineMs = 1000) => ({ nowMs, quarantineMs });

export const got = <T>(choice: Choice<T>): T =>
  choice.ok ? choice.value : assert.fail(`${choice.code}: ${choice.detail}`);

export const refused = <T>(choice: Choice<T> | null, code: string): Refusal => {
  if (choice === null || choice.ok) return assert.fail(`expected ${code}, got ${JSON.stringify(choice)}`);
  assert.equal(choice.code, code, choice.detail);
  assert.ok((ipamCodes as readonly string[]).includes(choice.code));
  return choice;
};

export const cidr = (text: string): Cidr => parseSubnet(text) ?? assert.fail(text);

// ---------------------------------------------------------------- for models that keep everything in lists

export interface Release<T> {
  readonly of: T;
  readonly atMs: number;
}

export const journalOp = fc.constantFrom('begin', 'commit', 'rollback').map((op) => ({ op }));
