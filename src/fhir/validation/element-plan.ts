import type { Definitions } from '../definitions/definitions.ts';
import { buildTree, type ElementNode } from '../definitions/element-tree.ts';
import type { Check, ChildPlan, ElementPlan } from './check.ts';
import { choiceName, hasSibling, isResource, prohibitsSibling } from './element-names.ts';

export interface PlanSources {
  readonly definitions: Definitions;
  /** Returns the checks of an element with one of its types. */
  checksOf(node: ElementNode, typeCode: string): readonly Check[];
  /** Returns the checks of the members of an object together. */
  memberChecksOf(node: ElementNode): readonly Check[];
}

const nothing: ElementPlan = { checks: [], children: new Map() };

/** Returns a function that builds plans. The plan of each data type is built once, when first needed. */
export function createPlanner(sources: PlanSources): (tree: ElementNode) => ElementPlan {
  const { definitions } = sources;
  const typePlans = new Map<string, ElementPlan>();

  function planOfType(typeCode: string): ElementPlan {
    const plan = typePlans.get(typeCode) ?? planOfTree(buildTree(definitions, typeCode));
    typePlans.set(typeCode, plan);
    return plan;
  }

  function planOfTree(root: ElementNode): ElementPlan {
    const { checks, children } = planOfObject(root, root);
    return { checks: [...sources.checksOf(root, root.name), ...checks], children };
  }

  function planOfObject(node: ElementNode, root: ElementNode): ElementPlan {
    const children = new Map<string, ChildPlan>();
    for (const child of node.children?.values() ?? []) {
      for (const code of child.types.length > 0 ? child.types.map((type) => type.code) : ['']) {
        const name = child.isChoice ? choiceName(child.name, code) : child.name;
        const planOfChild = () => (child.max === 0 ? nothing : planOfValue(child, code, root));
        children.set(name, { name: child.name, plan: once(planOfChild) });
        if (!definitions.primitives.has(code) || !hasSibling(child)) continue;
        const planOfSibling = () => {
          if (child.max === 0 || prohibitsSibling(child)) return nothing;
          return child.children === undefined ? planOfType('Element') : planOfObject(child, root);
        };
        children.set(`_${name}`, { name: child.name, plan: once(planOfSibling) });
      }
    }
    return { checks: sources.memberChecksOf(node), children };
  }

  function planOfValue(node: ElementNode, typeCode: string, root: ElementNode): ElementPlan {
    const { checks, children } = planOfContent(node, typeCode, root);
    return { checks: [...sources.checksOf(node, typeCode), ...checks], children };
  }

  function planOfContent(node: ElementNode, typeCode: string, root: ElementNode): ElementPlan {
    if (definitions.primitives.has(typeCode) || isResource(definitions, typeCode))
      return { checks: [], children: new Map() };
    if (node.children !== undefined) return planOfObject(node, root);
    if (node.contentReference === undefined) return planOfType(typeCode);
    let target: ElementNode | undefined = root;
    for (const name of node.contentReference.split('.').slice(1)) target = target?.children?.get(name);
    if (target === undefined) throw new Error(`no element ${node.contentReference}`);
    return planOfValue(target, 'BackboneElement', root);
  }

  return planOfTree;
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
