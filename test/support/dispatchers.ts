/** A client key, which a service with a board needs. */
export const API_KEY = "a-client-s-key-of-it";

/** The dispatchers' keys by name. */
export const KEYS = { Aziza: "aziza-s-key-for-this", Bekzod: "bekzod-s-key-for-thi" };

/** The setting with all of them. */
export const DISPATCHERS = Object.entries(KEYS)
  .map(([name, key]) => `${name}:${key}`)
  .join(",");
