/*
 * Uuids as Kafka has them: 16 random bytes, printed as 22 characters of base64url.
 */
#ifndef TK_BASE_UUID_H
#define TK_BASE_UUID_H

#include "takhin/base.h"

#define TK_UUID_TEXT_LEN 22

static inline bool
tk_uuid_equal(const struct tk_uuid *a, const struct tk_uuid *b)
{
	return __builtin_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool tk_uuid_is_zero(const struct tk_uuid *uuid);

/* A fresh one: version 4, and its text does not begin with '-', as Kafka's tools expect. */
struct tk_uuid tk_uuid_random(void);

/* Writes 22 characters and a NUL. */
void tk_uuid_format(const struct tk_uuid *uuid, char text[TK_UUID_TEXT_LEN + 1]);

/* 0, or -EINVAL for what is not 22 characters of base64url. */
int tk_uuid_parse(const char *text, size_t len, struct tk_uuid *ret_uuid) TK_MUST_CHECK;

#endif
