/** Checks of driver options: known ones have a rule, everything else is refused, never ignored. */
import { type Refusal, refuse } from '../events/refusals.ts';

/** Answers null when the value is fine, else what it must be. */
export type OptionRule = (value: string) => string | null;

export const checkOptions = (
  owner: string,
  options: Readonly<Record<string, string>>,
  rules: Readonly<Record<string, OptionRule>>,
): Refusal | null => {
  for (const [key, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
    const culprits = [{ kind: 'option', id: key, detail: value }];
    if (!rule) {
      const known = Object.keys(rules).join(', ') || 'none';
      return refuse('OPTION_UNSUPPORTED', `${owner} does not act on option ${key}; it knows: ${known}`, culprits);
    }
    const problem = rule(value);
    if (problem !== null)
      return refuse('OPTION_INVALID', `option ${key} of ${owner} must be ${problem}, not "${value}"`, culprits);
  }
  return null;
};

/** A whole number within bounds. */
export const wholeNumber =
  (min: number, max: number): OptionRule =>
  (value) =>
    /^[0-9]{1,9}$/.test(value) && Number(value) >= min && Number(value) <= max
      ? null
      : `a number from ${min} to ${max}`;

export const oneOf =
  (values: readonly string[]): OptionRule =>
  (value) =>
    values.includes(value) ? null : `one of ${values.map((one) => (one === '' ? 'nothing' : one)).join(', ')}`;

export const flag: OptionRule = oneOf(['true', 'false']);

/** One or more items with a character between them. */
export const listOf =
  (separator: string, what: string, fits: (item: string) => boolean): OptionRule =>
  (value) =>
    value.split(separator).every(fits) ? null : `${what}, "${separator}" between them`;

/** A name for an interface of ours: IFNAMSIZ - 1 (include/uapi/linux/if.h), and nothing that the kernel's dev_valid_name refuses. */
export const interfaceName: OptionRule = (value) =>
  /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(value) ? null : 'an interface name of at most 15 characters';
