/** `completion SHELL`: a script that completes commands and flags. */
import { InvalidInputError } from "../../workflow/errors.ts";
import { EXIT } from "../exit-code.ts";
import type { Command } from "../invocation.ts";

export interface CompletionFlags {
  name: string;
  /** Flags by command. */
  words: Record<string, string[]>;
}

const SCRIPTS: Readonly<Record<string, (words: CompletionFlags["words"]) => string>> = { bash, zsh, fish };

export const completion: Command<CompletionFlags> = async ({ output }, { name, words }) => {
  const script = Object.hasOwn(SCRIPTS, name) ? SCRIPTS[name] : undefined;
  if (script === undefined) {
    throw new InvalidInputError("E_SHELL", `there is no completion for the shell "${name}"`, {
      remedy: `Use one of ${Object.keys(SCRIPTS).join(", ")}.`,
    });
  }
  const text = script(words);
  output.data({ shell: name, script: text }, () => text);
  return EXIT.done;
};

function bash(words: CompletionFlags["words"]): string {
  const cases = Object.entries(words).map(
    ([command, flags]) => `    ${command}) words="${flags.join(" ")}" ;;`,
  );
  return `# eval "$(datahammer completion bash)"
_datahammer() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words="${Object.keys(words).join(" ")}"
  if [ "$COMP_CWORD" -gt 1 ]; then case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac; fi
  if [ "$COMP_CWORD" -eq 1 ] || [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _datahammer datahammer
`;
}

function zsh(words: CompletionFlags["words"]): string {
  return `# eval "$(datahammer completion zsh)"\nautoload -U +X bashcompinit && bashcompinit\n${bash(words)}`;
}

function fish(words: CompletionFlags["words"]): string {
  const lines = Object.entries(words).flatMap(([command, flags]) => [
    `complete -c datahammer -n __fish_use_subcommand -f -a ${command}`,
    ...flags.map(
      (flag) => `complete -c datahammer -n "__fish_seen_subcommand_from ${command}" -l ${flag.slice(2)}`,
    ),
  ]);
  return `# datahammer completion fish | source\n${lines.join("\n")}\n`;
}
