/*
 * Uuids.  Any process, any thread.
 */
#include "base/uuid.h"

#include <string.h>
#include <sys/random.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool
tk_uuid_is_zero(const struct tk_uuid *uuid)
{
	static const struct tk_uuid zero;

	return tk_uuid_equal(uuid, &zero);
}

struct tk_uuid
tk_uuid_random(void)
{
	struct tk_uuid uuid;

	do {
		ssize_t n = getrandom(uuid.b, sizeof(uuid.b), 0);

		tk_assert(n == (ssize_t)sizeof(uuid.b));
	} while (uuid.b[0] >> 2 == 62);
	uuid.b[6] = (uint8_t)((uuid.b[6] & 0x0f) | 0x40);
	uuid.b[8] = (uint8_t)((uuid.b[8] & 0x3f) | 0x80);
	return uuid;
}

void
tk_uuid_format(const struct tk_uuid *uuid, char text[TK_UUID_TEXT_LEN + 1])
{
	unsigned bits = 0, held = 0;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(uuid->b); i++) {
		bits = (bits << 8) | uuid->b[i];
		for (held += 8; held >= 6; held -= 6)
			text[at++] = digits[(bits >> (held - 6)) & 63];
	}
	text[at++] = digits[(bits << (6 - held)) & 63];
	text[at] = '\0';
	tk_assert(at == TK_UUID_TEXT_LEN);
}

int
tk_uuid_parse(const char *text, size_t len, struct tk_uuid *ret_uuid)
{
	struct tk_uuid uuid;
	unsigned bits = 0, held = 0;
	size_t at = 0;

	if (len != TK_UUID_TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);

		if (digit == NULL)
			return -EINVAL;
		bits = (bits << 6) | (unsigned)(digit - digits);
		held += 6;
		if (held >= 8 && at < sizeof(uuid.b)) {
			held -= 8;
			uuid.b[at++] = (uint8_t)(bits >> held);
		}
	}
	*ret_uuid = uuid;
	return 0;
}
