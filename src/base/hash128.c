/*
 * SipHash-2-4-128 after Aumasson and Bernstein's description.  Pure.
 */
#include "base/hash128.h"

#include <string.h>

#include "base/endian.h"

struct sip {
	uint64_t a, b, c, d;
};

static inline uint64_t
rotate(uint64_t n, unsigned by)
{
	return n << by | n >> (64 - by);
}

static inline void
sip_rounds(struct sip *s, unsigned count)
{
	while (count-- > 0) {
		s->a += s->b;
		s->c += s->d;
		s->b = rotate(s->b, 13) ^ s->a;
		s->d = rotate(s->d, 16) ^ s->c;
		s->a = rotate(s->a, 32);
		s->c += s->b;
		s->a += s->d;
		s->b = rotate(s->b, 17) ^ s->c;
		s->d = rotate(s->d, 21) ^ s->a;
		s->c = rotate(s->c, 32);
	}
}

static inline void
sip_word(struct sip *s, uint64_t word)
{
	s->d ^= word;
	sip_rounds(s, 2);
	s->a ^= word;
}

static inline uint64_t
little_endian(const uint8_t *at, size_t len)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n |= (uint64_t)at[i] << (8 * i);
	return n;
}

struct tk_hash128
tk_hash128(const struct tk_hash128 *key, const void *data, size_t len)
{
	struct sip s = { key->low ^ 0x736f6d6570736575u, key->high ^ 0x646f72616e646f6du ^ 0xee,
		key->low ^ 0x6c7967656e657261u, key->high ^ 0x7465646279746573u };
	const uint8_t *at = data;
	struct tk_hash128 hash;
	size_t left = len;

	for (; left >= 8; left -= 8, at += 8)
		sip_word(&s, little_endian(at, 8));
	sip_word(&s, little_endian(at, left) | (uint64_t)len << 56);
	s.c ^= 0xee;
	sip_rounds(&s, 4);
	hash.low = s.a ^ s.b ^ s.c ^ s.d;
	s.b ^= 0xdd;
	sip_rounds(&s, 4);
	hash.high = s.a ^ s.b ^ s.c ^ s.d;
	return hash;
}
