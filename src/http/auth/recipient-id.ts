const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A recipient's id as it is kept: a UUID in lower case, everything else as it is; as `bellwire.same_id()` has it. */
export const sameId = (id: string): string => (UUID.test(id) ? id.toLowerCase() : id);

/** Half of a pair, which UTF-8 cannot hold: on the way to the database each becomes U+FFFD, and all such ids the same. */
export const hasLoneSurrogate = (id: string): boolean => /\p{Surrogate}/u.test(id);
