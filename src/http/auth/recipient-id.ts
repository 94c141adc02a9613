const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Normalises a recipient's id as `bellwire.same_id()` does: a UUID in lower case, any other id unchanged. */
export const sameId = (id: string): string => (UUID.test(id) ? id.toLowerCase() : id);

/** UTF-8 cannot encode half of a surrogate pair: each would become U+FFFD, and such ids would all be the same. */
export const hasLoneSurrogate = (id: string): boolean => /\p{Surrogate}/u.test(id);
