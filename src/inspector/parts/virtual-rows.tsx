/**
 * A long list of which only the rows in view exist; rows have one height, so that nothing jumps.
 *
 * It is a table by role and not by element: rows that are placed by their offset cannot be rows of a `table`.
 * Screen readers get the whole count and each row's place. Two rules of the linter are off for this reason.
 */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

const SPARE_ROWS = 8;

export interface VirtualRowsProps {
  count: number;
  rowHeight: number;
  label: string;
  /** Class and title of each column. */
  columns: readonly (readonly [string, string])[];
  row: (index: number) => ComponentChildren;
}

export function VirtualRows({ count, rowHeight, label, columns, row }: VirtualRowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ top: 0, height: 600 });
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const look = (): void => setSeen({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  const first = Math.max(0, Math.floor(seen.top / rowHeight) - SPARE_ROWS);
  const last = Math.min(count, Math.ceil((seen.top + seen.height) / rowHeight) + SPARE_ROWS);
  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index++) {
    rows.push(
      <div
        key={index}
        class="row"
        role="row"
        aria-rowindex={index + 2}
        style={{ top: `${index * rowHeight}px`, height: `${rowHeight}px` }}
      >
        {row(index)}
      </div>,
    );
  }
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reachable by keyboard.
    <div class="rows" ref={box} role="table" aria-label={label} aria-rowcount={count + 1} tabIndex={0}>
      <div class="row row-head" role="row" aria-rowindex={1}>
        {columns.map(([name, title]) => (
          <span key={name} role="columnheader" class={name}>
            {title}
          </span>
        ))}
      </div>
      <div class="rows-body" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
        {rows}
      </div>
    </div>
  );
}
