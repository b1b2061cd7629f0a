/*
 * What the writer of a misspelt name may have meant.  Any process; allocates nothing.
 */
#include <string.h>

#include "base/settings_private.h"

#define NAME_MAX_LEN 64

/* Insertions, deletions and replacements between two names; NAME_MAX_LEN if one is too long. */
static unsigned
name_distance(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b);
	unsigned row[NAME_MAX_LEN + 1];

	if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN)
		return NAME_MAX_LEN;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned replaced = corner + (a[i - 1] == b[j - 1] ? 0 : 1);

			corner = row[j];
			row[j] = TK_MIN(replaced, TK_MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_len];
}

/* How far a guess may be from what was written. */
static unsigned
name_tolerance(const char *name)
{
	size_t len = strlen(name);

	return len < 4 ? 1 : len < 12 ? 2 : 3;
}

/* True if name is a Kafka key with its dots written as underscores. */
static bool
name_is_key(const char *name, const char *key)
{
	if (key == NULL)
		return false;
	for (; *name != '\0' && *key != '\0'; name++, key++)
		if (*name != *key && !(*name == '_' && *key == '.'))
			return false;
	return *name == *key;
}

const struct tk_setting *
tk_setting_guess(const struct tk_setting *rows, size_t count, const char *name)
{
	unsigned best = name_tolerance(name) + 1;
	const struct tk_setting *guess = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned distance = name_distance(name, rows[i].path);

		if (name_is_key(name, rows[i].kafka_key))
			return &rows[i];
		if (distance < best) {
			best = distance;
			guess = &rows[i];
		}
	}
	return guess;
}

const char *
tk_word_guess(const char *const *words, const char *name)
{
	unsigned best = name_tolerance(name) + 1;
	const char *guess = NULL;

	for (size_t i = 0; words[i] != NULL; i++) {
		unsigned distance = name_distance(name, words[i]);

		if (distance < best) {
			best = distance;
			guess = words[i];
		}
	}
	return guess;
}
