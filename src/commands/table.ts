import { inSum } from "../lib/format.ts";

/** An amount, shown in sum. */
export interface Amount {
  readonly tiyin: number;
}

type Cell = string | number | Amount;

function textOf(cell: Cell | undefined): string {
  return typeof cell === "object" ? inSum(cell.tiyin) : String(cell);
}

/** Rows under their headings, in columns of one width; numbers and amounts are right-aligned. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const widths = headings.map((heading, at) =>
    Math.max(heading.length, ...rows.map((row) => textOf(row[at]).length)),
  );
  const line = (cells: readonly Cell[]) =>
    cells
      .map((cell, at) =>
        typeof cell === "string"
          ? cell.padEnd(widths[at] ?? 0)
          : textOf(cell).padStart(widths[at] ?? 0),
      )
      .join("  ")
      .trimEnd();
  return [line(headings), ...rows.map(line)];
}
