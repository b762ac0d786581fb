/**
 * Who waits behind whom: a line for each thing that is changed or stood on, in which those who only stand on it go together. Whoever is
 * in front of all its lines waits for nobody. Joining and leaving cost the lines that one is in, never all who wait.
 */

/** Of those who may be in front together: one who changes a thing, or any number that stand on it. */
interface Group {
  readonly isShared: boolean;
  readonly members: Set<Member>;
}

/** One who waits. Made by `newMember`, changed by its lines alone. */
export interface Member {
  /** Its place in the order of all. */
  readonly order: number;
  readonly groups: Map<string, Group>;
  /** In how many lines it is not in front. */
  waits: number;
}

export const newMember = (order: number): Member => ({ order, groups: new Map(), waits: 0 });

export class Lines<M extends Member> {
  readonly #lines = new Map<string, Group[]>();

  /** Goes to the end of the line of a thing; once is enough, so what one also changes comes first. */
  join(member: M, thing: string, how: 'changes' | 'standsOn'): void {
    if (member.groups.has(thing)) return;
    const line = this.#lineOf(thing);
    const last = line.at(-1);
    const isShared = how === 'standsOn';
    const group = isShared && last?.isShared ? last : { isShared, members: new Set<Member>() };
    if (group !== last) line.push(group);
    group.members.add(member);
    member.groups.set(thing, group);
    if (line[0] !== group) member.waits += 1;
  }

  /**
   * Goes to its place in the line of a thing that is only ever changed, by the order of all; not before whoever is at work.
   * Complexity: the length of the line.
   */
  squeeze(member: M, thing: string, isAtWork: (other: M) => boolean): void {
    if (member.groups.has(thing)) return;
    const line = this.#lineOf(thing);
    const found = line.findIndex(({ members }) =>
      [...members].every((other) => other.order > member.order && !isAtWork(other as M)),
    );
    const at = found < 0 ? line.length : found;
    if (at === 0) for (const other of line[0]?.members ?? []) other.waits += 1;
    else member.waits += 1;
    const group = { isShared: false, members: new Set<Member>([member]) };
    line.splice(at, 0, group);
    member.groups.set(thing, group);
  }

  /** @returns those who wait for nobody any more */
  leave(member: M, thing: string): readonly M[] {
    const group = member.groups.get(thing);
    const line = this.#lines.get(thing);
    if (!group || !line) return [];
    if (line[0] !== group) member.waits -= 1;
    member.groups.delete(thing);
    group.members.delete(member);
    if (group.members.size > 0) return [];
    const at = line.indexOf(group);
    line.splice(at, 1);
    if (line.length === 0) this.#lines.delete(thing);
    if (at === 0) return this.#front(line[0]?.members ?? []);
    const [before, behind] = [line[at - 1], line[at]];
    if (!before?.isShared || !behind?.isShared) return [];
    line.splice(at, 1);
    for (const other of behind.members) {
      before.members.add(other);
      other.groups.set(thing, before);
    }
    return at === 1 ? this.#front(behind.members) : [];
  }

  #front(members: Iterable<Member>): readonly M[] {
    const free: M[] = [];
    for (const member of members) {
      member.waits -= 1;
      if (member.waits === 0) free.push(member as M);
    }
    return free;
  }

  #lineOf(thing: string): Group[] {
    const line = this.#lines.get(thing) ?? [];
    this.#lines.set(thing, line);
    return line;
  }
}
