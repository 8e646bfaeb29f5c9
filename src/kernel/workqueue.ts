/**
 * Work that a call leaves for later: the cleanup of a namespace, the last unlink of a pin. When it
 * runs is the scheduler's to say, so that a test can put another call between any two steps.
 */

/** Runs jobs some time after the call that scheduled them, in any order it likes. */
export interface Scheduler {
  /** @param job - to be called once. @param name - what it is, for a person who watches. */
  schedule(job: () => void, name: string): void;
}

/** Work in steps: between two of them other calls may come in. */
export type Steps = Generator<string, void, void>;

/** Deferred work on an injected scheduler. */
export class Workqueue {
  readonly #scheduler: Scheduler;
  #pending: number = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  /** Pieces of work that are queued or under way. */
  get pending(): number {
    return this.#pending;
  }

  /** Queues a piece of work. Each step is a job of its own; a `yield` names the step to come. */
  queue(name: string, work: () => Steps): void {
    this.#pending++;
    const steps = work();
    const step = (): void => {
      const { done, value } = steps.next();
      if (done === true) this.#pending--;
      else this.#scheduler.schedule(step, value);
    };
    this.#scheduler.schedule(step, name);
  }
}

/** The default: a job runs as soon as the code that called the kernel has come to its end. */
export const microtaskScheduler: Scheduler = {
  schedule: (job) => queueMicrotask(job),
};

/** Runs nothing by itself: whoever holds it chooses what runs next. */
export class ManualScheduler implements Scheduler {
  readonly #jobs: { readonly name: string; readonly job: () => void }[] = [];

  schedule(job: () => void, name: string): void {
    this.#jobs.push({ name, job });
  }

  /** Names of the jobs that wait, oldest first. */
  get waiting(): readonly string[] {
    return this.#jobs.map(({ name }) => name);
  }

  /** Runs one waiting job, by default the oldest; false when there is none at that place. */
  step(index: number = 0): boolean {
    const [entry] = this.#jobs.splice(index, 1);
    entry?.job();
    return entry !== undefined;
  }

  /**
   * Runs jobs, and those that they schedule, until none waits.
   *
   * @throws {RangeError} when that takes more than `maxSteps` jobs.
   */
  drain(maxSteps: number = 1_000_000): void {
    for (let steps = 0; this.step(); steps++) {
      if (steps === maxSteps)
        throw new RangeError(`work goes on after maxSteps = ${maxSteps} jobs`);
    }
  }
}
