/** What came in, in order, and promises for what is still to come: the signal that a test waits for. */
export class Arrivals<Value> {
  readonly all: Value[] = [];
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  readonly add = (value: Value): void => {
    this.all.push(value);
    for (const check of [...this.#waiting]) check();
  };

  /** The next one that nobody has taken yet. */
  async next(): Promise<Value> {
    const at = this.#taken++;
    await this.count(at + 1);
    return this.all[at] as Value;
  }

  /** Resolves when there are at least this many. */
  count(wanted: number): Promise<void> {
    return this.when(() => this.all.length >= wanted);
  }

  when(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}
