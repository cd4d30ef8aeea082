/** The package's public interface. */
export * from "./workflow/errors.ts";
