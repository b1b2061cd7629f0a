/*
 * Names of topics.  The sentences are Kafka's, since people search for them.
 */
#include "meta/topic_name.h"

#include <stdio.h>
#include <string.h>

#define FAULT_TEXT_MAX (TK_TOPIC_NAME_MAX + 8)

static bool
name_is(struct tk_bytes name, const char *text)
{
	return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

static bool
name_is_one_of(struct tk_bytes name, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (name_is(name, texts[i]))
			return true;
	return false;
}

static bool
char_is_legal(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

/* What a log or an answer can show of bytes that came from anybody. */
static const char *
name_shown(struct tk_bytes name, char shown[FAULT_TEXT_MAX])
{
	size_t len = TK_MIN(name.len, TK_TOPIC_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		shown[i] = name.data[i] >= 0x20 && name.data[i] < 0x7f ? (char)name.data[i] : '?';
	memcpy(shown + len, "...", 4);
	if (len == name.len)
		shown[len] = '\0';
	return shown;
}

int
tk_topic_name_check(struct tk_bytes name, char *text, size_t room)
{
	char shown[FAULT_TEXT_MAX];
	bool legal = true;

	for (uint32_t i = 0; i < name.len; i++)
		legal = legal && char_is_legal(name.data[i]);
	if (name.len == 0)
		(void)snprintf(
		    text, room, "Topic name is invalid: the empty string is not allowed");
	else if (name_is(name, ".") || name_is(name, ".."))
		(void)snprintf(text, room, "Topic name is invalid: '%s' is not allowed",
		    name_shown(name, shown));
	else if (name.len > TK_TOPIC_NAME_MAX)
		(void)snprintf(text, room,
		    "Topic name is invalid: the length of '%s' is longer than the max allowed "
		    "length %d",
		    name_shown(name, shown), TK_TOPIC_NAME_MAX);
	else if (!legal)
		(void)snprintf(text, room,
		    "Topic name is invalid: '%s' contains one or more characters other than ASCII "
		    "alphanumerics, '.', '_' and '-'",
		    name_shown(name, shown));
	else
		return 0;
	return -EINVAL;
}

bool
tk_topic_name_is_internal(struct tk_bytes name)
{
	static const char *const names[] = { "__consumer_offsets", "__transaction_state",
		"__share_group_state" };

	return name_is_one_of(name, names, TK_COUNT_OF(names));
}

bool
tk_topic_name_is_reserved(struct tk_bytes name)
{
	static const char *const names[] = { "__metadata", "__cluster_metadata" };

	return name_is_one_of(name, names, TK_COUNT_OF(names));
}

void
tk_topic_name_fold(struct tk_bytes name, uint8_t *folded)
{
	for (uint32_t i = 0; i < name.len; i++)
		folded[i] = name.data[i] == '.' ? '_' : name.data[i];
}
