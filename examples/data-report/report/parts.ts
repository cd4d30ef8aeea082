/** What a report is made from: everything that the other agents left in the work folder. */
import type { Findings } from "../analysis/findings.ts";
import type { Model } from "../analysis/model.ts";
import type { Trend } from "../analysis/trend.ts";
import type { Chart, ChartSection } from "../charts/draft.ts";
import type { StepLog } from "../logbook.ts";
import type { Cleaning } from "../table/cleaning.ts";
import type { Profile } from "../table/column.ts";

export interface ReportParts {
  /** The file's name, for the title. */
  name: string;
  source: string;
  format: string;
  goal: string;
  madeAt: Date;
  run: string;
  /** The table as it was loaded. */
  loaded: Profile;
  /** The table as it was analysed; the loaded one where nothing was cleaned. */
  table: Profile;
  cleaning: Cleaning | null;
  findings: Findings | null;
  trend: Trend | null;
  model: Model | null;
  sample: { rows: number } | null;
  charts: Chart[];
  steps: StepLog[];
  /** Why a part is not there, as sentences. */
  notDone: string[];
}

export function chartsOf(parts: ReportParts, section: ChartSection): Chart[] {
  return parts.charts.filter((chart) => chart.section === section);
}
