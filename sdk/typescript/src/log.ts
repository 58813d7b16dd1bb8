/**
 * Where the library reports to people. It never prints: `console` may be given as it is.
 * Must not know what is worth a report.
 */

/** Takes constant messages with fields. */
export interface Logger {
  debug(message: string, fields: object): void;
  info(message: string, fields: object): void;
  warn(message: string, fields: object): void;
  error(message: string, fields: object): void;
}

/** Says nothing. */
export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
