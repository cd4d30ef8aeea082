/** The answer to an agent's question about a dispatch, as a folded log gives it. */
import type { Answer, DispatchRef, Question } from "../bus/messages.ts";
import type { RunFold } from "../fold/run-fold.ts";

export function answerFrom(
  fold: RunFold,
  ref: DispatchRef,
  question: Exclude<Question, { q: "changes" }>,
): Answer | undefined {
  switch (question.q) {
    case "open":
      return { open: fold.isOpen(ref) };
    case "env": {
      const { values, revision } = fold.environment;
      if (question.key === undefined) return { values: { ...values }, revision };
      const entry = fold.environment.entry(question.key);
      if (!entry) return { values: {}, revision: 0 };
      return { values: { [question.key]: entry.value }, revision: entry.revision };
    }
    case "draw":
      return fold.drawVerdict(question.child, question.seq);
    case "verdict": {
      // Whoever asked asks again.
      if (fold.isHeld(question.seq)) return undefined;
      const error = `no environment update is stored at sequence ${question.seq}`;
      return fold.verdict(question.seq) ?? { error };
    }
  }
}
