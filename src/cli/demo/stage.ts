import type { DemoWorld } from './demo-world.ts';
import type { Screen } from './screen.ts';

/** Something that the demo claims, and whether it was so. */
export interface Fact {
  readonly name: string;
  readonly held: boolean;
}

/** What each step gets. */
export interface Stage {
  readonly world: DemoWorld;
  readonly screen: Screen;
  /** Records a fact and prints it. */
  check(name: string, held: boolean, detail?: string): void;
}

/** A stage and the list that its facts go to. */
export function openStage(world: DemoWorld, screen: Screen): { readonly stage: Stage; readonly facts: Fact[] } {
  const facts: Fact[] = [];
  const check = (name: string, held: boolean, detail?: string): void => {
    facts.push({ name, held });
    screen.fact(name, held, detail);
  };
  return { stage: { world, screen, check }, facts };
}
