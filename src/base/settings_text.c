/*
 * Texts of sizes and durations, both ways.  Any process, any thread; allocates nothing.
 */
#include "base/settings.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* Ascending; the first is what a number without a unit means where that is allowed. */
static const struct unit size_units[] = {
	{ "B", 1 },
	{ "KiB", (int64_t)1 << 10 },
	{ "MiB", (int64_t)1 << 20 },
	{ "GiB", (int64_t)1 << 30 },
	{ "TiB", (int64_t)1 << 40 },
};

static const struct unit duration_units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "d", 24 * 60 * 60 * 1000 },
};

static int
unit_factor(const char *text, const struct unit *units, size_t count, int64_t *ret_factor)
{
	while (*text == ' ')
		text++;
	if (*text == '\0') {
		*ret_factor = 1;
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		if (strcmp(units[i].name, text) == 0) {
			*ret_factor = units[i].factor;
			return 0;
		}
	return -EINVAL;
}

static int
quantity_parse(const char *text, const struct unit *units, size_t count, int64_t *ret_value)
{
	const char *digits = *text == '-' ? text + 1 : text;
	int64_t factor, value;
	char *end;
	int rc;

	if (!isdigit((unsigned char)*digits))
		return -EINVAL;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno == ERANGE)
		return -ERANGE;
	rc = unit_factor(end, units, count, &factor);
	if (rc < 0)
		return rc;
	if (__builtin_mul_overflow(value, factor, &value))
		return -ERANGE;
	*ret_value = value;
	return 0;
}

static int
quantity_format(int64_t value, const struct unit *units, size_t count, char *buf, size_t size)
{
	size_t i = count - 1;

	if (value <= 0)
		return snprintf(buf, size, "%" PRId64, value);
	while (value % units[i].factor != 0)
		i--;
	if (i == 0 && units == size_units) /* bytes need no unit: they are what Kafka writes */
		return snprintf(buf, size, "%" PRId64, value);
	return snprintf(buf, size, "%" PRId64 "%s", value / units[i].factor, units[i].name);
}

int
tk_size_parse(const char *text, int64_t *ret_bytes)
{
	return quantity_parse(text, size_units, TK_COUNT_OF(size_units), ret_bytes);
}

int
tk_duration_parse(const char *text, int64_t *ret_ms)
{
	return quantity_parse(text, duration_units, TK_COUNT_OF(duration_units), ret_ms);
}

int
tk_size_format(int64_t bytes, char *buf, size_t size)
{
	return quantity_format(bytes, size_units, TK_COUNT_OF(size_units), buf, size);
}

int
tk_duration_format(int64_t ms, char *buf, size_t size)
{
	return quantity_format(ms, duration_units, TK_COUNT_OF(duration_units), buf, size);
}
