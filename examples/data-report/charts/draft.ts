/** A chart of a report: as it is drafted, and as it is drawn. */
import { short } from "../wording.ts";
import { type ChartSpec, SHORT_NUMBER } from "./render.ts";

export type ChartSection = "quality" | "distribution" | "category" | "relation" | "group" | "trend" | "model";

export interface Chart {
  id: string;
  section: ChartSection;
  title: string;
  /** What to see, and what is not shown. */
  caption: string;
  svg: string;
}

/** A chart before it is drawn. */
export type Draft = Omit<Chart, "svg" | "id"> & ChartSpec;

/** An axis of numbers, named and with few ticks. */
export const numberAxis = (title: string, extra: Record<string, unknown> = {}) => ({
  title: short(title, 50),
  labelExpr: SHORT_NUMBER,
  tickCount: 5,
  ...extra,
});
