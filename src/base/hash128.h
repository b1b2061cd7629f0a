/*
 * SipHash-2-4 with 128 bits of output: a keyed hash for tables that keep hashes in place of keys.
 *
 * Whoever does not know the key cannot make two inputs collide, and by chance two of 2^32 do with a
 * probability of 2^-65.  Pure; any thread.
 */
#ifndef TK_BASE_HASH128_H
#define TK_BASE_HASH128_H

#include "takhin/base.h"

struct tk_hash128 {
	uint64_t low, high;
};

/* key and hash as 16 little-endian bytes each are those of the published test vectors. */
struct tk_hash128 tk_hash128(const struct tk_hash128 *key, const void *data, size_t len);

#endif
