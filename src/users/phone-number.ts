/** Loads the library with the first number: it would add 15 ms to each start. */
const library = (): typeof import("libphonenumber-js/min") => require("libphonenumber-js/min");

/** A phone number in E.164 form: plus, country code, national number; digits only. */
export type PhoneNumber = string & { readonly brand: unique symbol };

/** Format characters, such as direction marks in numbers pasted from a phone's contacts. */
const INVISIBLE = /\p{Cf}/gu;

/** An Uzbek number as Telegram sends it. Captures the national number and the network's code. */
const BARE_UZBEK = /^(?:\+?998)?((\d\d)\d{7})$/;

/**
 * Bare numbers of up to this many digits are Uzbek or invalid: an Uzbek number without its last
 * digit must not become one of another country.
 */
const UZBEK_DIGITS = 9;

/**
 * Parses a phone number as people and Telegram write it. Up to nine bare digits are an Uzbek
 * number; other countries' numbers need their country code, after `+`, `00` or nothing. All
 * spellings of one number give one result. Returns undefined if the text is not exactly one valid
 * number.
 */
export function parsePhoneNumber(text: string): PhoneNumber | undefined {
  const [, national, network] = BARE_UZBEK.exec(text) ?? [];
  // `as`: any seven digits after a network's code are a valid number.
  if (network !== undefined && isNetwork(network)) return `+998${national}` as PhoneNumber;
  const visible = text.replace(INVISIBLE, "").trim();
  const digits = visible.match(/\p{Nd}/gu)?.length ?? 0;
  return parse(visible) ?? (digits > UZBEK_DIGITS ? parse(`+${visible}`) : undefined);
}

const knownNetworks = new Map<string, boolean>();

/**
 * Returns whether the library knows the code. Cached: a lookup takes 8 of 40 µs per registration.
 */
function isNetwork(code: string): boolean {
  let known = knownNetworks.get(code);
  if (known === undefined) {
    known = parse(`+998${code}0000000`) !== undefined;
    knownNetworks.set(code, known);
  }
  return known;
}

function parse(text: string): PhoneNumber | undefined {
  const parsed = library().parsePhoneNumberFromString(text, {
    defaultCountry: "UZ",
    extract: false,
  });
  if (parsed === undefined || !parsed.isValid()) return undefined;
  // Rejects extensions and parameters (RFC 3966).
  if (parsed.ext !== undefined || text.includes(";")) return undefined;
  // `as`: the library documents `number` as E.164.
  return parsed.number as string as PhoneNumber;
}
