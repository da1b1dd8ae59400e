import type { DemoWorld } from './demo-world.ts';
import type { Screen } from './screen.ts';

/** A claim of the demo, and whether it held. */
export interface Fact {
  readonly name: string;
  readonly held: boolean;
}

/** The context of a step. */
export interface Stage {
  readonly world: DemoWorld;
  readonly screen: Screen;
  /** Records a fact and prints it. */
  check(name: string, held: boolean, detail?: string): void;
}

/** Opens a stage. Returns it with the list that receives its facts. */
export function openStage(world: DemoWorld, screen: Screen): { readonly stage: Stage; readonly facts: Fact[] } {
  const facts: Fact[] = [];
  const check = (name: string, held: boolean, detail?: string): void => {
    facts.push({ name, held });
    screen.fact(name, held, detail);
  };
  return { stage: { world, screen, check }, facts };
}
