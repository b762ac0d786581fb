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
