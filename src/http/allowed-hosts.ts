/** A name or an IPv6 address in brackets, and perhaps a port (RFC 9110, section 7.2). */
const AUTHORITY = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d*)?$/;

/** The name in a `Host` header, in lower case and without its port; undefined where there is none. */
function hostName(authority: string): string | undefined {
  return AUTHORITY.exec(authority.toLowerCase())?.[1];
}

/**
 * Checks a `Host` header against `names`, or only its syntax if that is null. Protects against DNS
 * rebinding: a foreign page whose name resolves to our address is rejected.
 */
export function createHostCheck(names: readonly string[] | null) {
  const allowed = names && new Set(names.map(hostName));
  // Almost every request has the Host of the one before it.
  let lastAllowed: string | null = null;

  return function isAllowed(authority: string | null): boolean {
    if (authority === null) return false;
    if (authority === lastAllowed) return true;
    const name = hostName(authority);
    const isOurs = name !== undefined && (allowed === null || allowed.has(name));
    if (isOurs) lastAllowed = authority;
    return isOurs;
  };
}
