import { maskPhoneNumbers } from "../log.ts";

/** Valid ids from clients. */
export const REQUEST_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Returns the id of a request for its response and the log: the client's if it is valid, else a new
 * one. Ids that the log would mask as phone numbers are replaced, including random ones.
 */
export function requestIdOf(headers: Headers, randomId: () => string): string {
  let id = headers.get("x-request-id") ?? "";
  while (!REQUEST_ID.test(id) || maskPhoneNumbers(id) !== id) id = randomId();
  return id;
}
