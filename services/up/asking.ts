/** One question at a time: whoever asks while it is under way gets its answer, so that nothing heaps up while nobody answers. */
export class Asking<Answer> {
  readonly #send: () => void;
  #underWay: PromiseWithResolvers<Answer> | null = null;

  /** @param send sends the question */
  constructor(send: () => void) {
    this.#send = send;
  }

  ask(): Promise<Answer> {
    if (this.#underWay === null) {
      this.#underWay = Promise.withResolvers();
      this.#send();
    }
    return this.#underWay.promise;
  }

  /** What is answered though nobody has asked is for nobody. */
  answer(answer: Answer): void {
    this.#underWay?.resolve(answer);
    this.#underWay = null;
  }
}
