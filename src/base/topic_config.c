/*
 * Setting, resolving and describing topic configurations by their table.
 *
 * Any process, any thread; no state.  What a client sent wrong comes back as a sentence for it.
 */
#include "base/topic_config.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/settings_private.h"

#define WORD_MAX_LEN 64 /* of what may be a number, a boolean or a known word */

/* What a value came to. */
struct parsed {
	int64_t number;  /* as the field has it; a STRING's place in row->words, a LIST's bits */
	double fraction; /* of DOUBLE */
	const char *trimmed; /* of the rest: where it begins and how long it is */
	size_t trimmed_len;
};

/* Where a sentence for the client goes. */
struct refusal {
	const struct tk_topic_config_row *row;
	const char *value;
	char *err;
	size_t err_size;
};

const struct tk_topic_config_row *
tk_topic_config_find(const char *name)
{
	size_t count;
	const struct tk_topic_config_row *rows = tk_topic_config_rows(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

static int refuse(const struct refusal *refusal, const char *fmt, ...) TK_PRINTF(2, 3);

static int
refuse(const struct refusal *refusal, const char *fmt, ...)
{
	va_list args;
	int n = snprintf(refusal->err, refusal->err_size, "value \"%.100s\" of \"%s\" ",
	    refusal->value, refusal->row->name);
	size_t len = n > 0 ? TK_MIN((size_t)n, refusal->err_size) : 0;

	va_start(args, fmt);
	(void)vsnprintf(refusal->err + len, refusal->err_size - len, fmt, args);
	va_end(args);
	return -EINVAL;
}

static void
trim(const char *value, struct parsed *parsed)
{
	size_t len;

	while (isspace((unsigned char)*value))
		value++;
	len = strlen(value);
	while (len > 0 && isspace((unsigned char)value[len - 1]))
		len--;
	parsed->trimmed = value;
	parsed->trimmed_len = len;
}

/* The trimmed value with a NUL behind it; false if it is longer than any that is good. */
static bool
trimmed_copy(const struct parsed *parsed, char copy[WORD_MAX_LEN + 1])
{
	if (parsed->trimmed_len > WORD_MAX_LEN)
		return false;
	memcpy(copy, parsed->trimmed, parsed->trimmed_len);
	copy[parsed->trimmed_len] = '\0';
	return true;
}

static int
parse_boolean(const struct refusal *refusal, const char *text, struct parsed *parsed)
{
	if (strcasecmp(text, "true") != 0 && strcasecmp(text, "false") != 0)
		return refuse(refusal, "must be true or false");
	parsed->number = strcasecmp(text, "true") == 0;
	return 0;
}

static int
parse_integer(const struct refusal *refusal, const char *text, struct parsed *parsed)
{
	const struct tk_topic_config_row *row = refusal->row;
	char *end;

	errno = 0;
	parsed->number = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || isspace((unsigned char)*text))
		return refuse(refusal, "must be a whole number");
	if (errno == ERANGE || parsed->number < row->min || parsed->number > row->max)
		return refuse(refusal, "must be from %" PRId64 " to %" PRId64, row->min, row->max);
	return 0;
}

static int
parse_fraction(const struct refusal *refusal, const char *text, struct parsed *parsed)
{
	const struct tk_topic_config_row *row = refusal->row;
	char *end;

	parsed->fraction = strtod(text, &end);
	parsed->number = 0;
	if (end == text || *end != '\0' || isnan(parsed->fraction))
		return refuse(refusal, "must be a number");
	if (parsed->fraction < (double)row->min || parsed->fraction > (double)row->max)
		return refuse(refusal, "must be from %" PRId64 " to %" PRId64, row->min, row->max);
	parsed->number = (int64_t)(parsed->fraction * TK_CONFIG_MILLIONTHS + 0.5);
	return 0;
}

static int
parse_word(const struct refusal *refusal, const char *text, struct parsed *parsed)
{
	const struct tk_topic_config_row *row = refusal->row;

	parsed->number = tk_word_find(row->words, text);
	if (parsed->number >= 0)
		return 0;
	if (row->words_later != NULL && tk_word_find(row->words_later, text) >= 0)
		return refuse(
		    refusal, "is not supported in this version: only \"%s\" is", row->words[0]);
	return refuse(refusal, "is none that Kafka knows");
}

/* Each word of a list must be known, and there must be one: a bit each. */
static int
parse_word_list(const struct refusal *refusal, char *text, struct parsed *parsed)
{
	char *save, *part = strtok_r(text, ",", &save);
	int64_t bits = 0;
	int rc = 0;

	if (part == NULL)
		return refuse(refusal, "must not be empty");
	for (; part != NULL && rc == 0; part = strtok_r(NULL, ",", &save)) {
		char copy[WORD_MAX_LEN + 1];
		struct parsed word;

		trim(part, &word);
		rc = trimmed_copy(&word, copy) ? parse_word(refusal, copy, &word) : -EINVAL;
		if (rc == 0)
			bits |= INT64_C(1) << word.number;
	}
	parsed->number = bits;
	return rc;
}

static int
parse_text(const struct refusal *refusal, char *text, struct parsed *parsed)
{
	switch (refusal->row->type) {
	case TK_CONFIG_BOOLEAN:
		return parse_boolean(refusal, text, parsed);
	case TK_CONFIG_INT:
	case TK_CONFIG_LONG:
		return parse_integer(refusal, text, parsed);
	case TK_CONFIG_DOUBLE:
		return parse_fraction(refusal, text, parsed);
	case TK_CONFIG_LIST:
		return refusal->row->words != NULL ? parse_word_list(refusal, text, parsed) : 0;
	default:
		return parse_word(refusal, text, parsed);
	}
}

static int
parse(const struct refusal *refusal, struct parsed *ret_parsed)
{
	char copy[WORD_MAX_LEN + 1];

	*ret_parsed = (struct parsed){ .number = 0 };
	trim(refusal->value, ret_parsed);
	if (!trimmed_copy(ret_parsed, copy)) {
		if (refusal->row->type == TK_CONFIG_LIST && refusal->row->words == NULL)
			return 0; /* no word to compare: it is not the default */
		return refuse(refusal, "is too long");
	}
	return parse_text(refusal, copy, ret_parsed);
}

/* True if both texts mean the same to a row without effect. */
static bool
means_default(const struct tk_topic_config_row *row, const struct parsed *parsed)
{
	struct refusal ignored = { .row = row, .value = row->default_text };
	struct parsed other;
	char err[1];

	if (row->words != NULL)
		return true; /* a word in the table; what has no effect yet is not */
	ignored.err = err;
	if (parse(&ignored, &other) < 0)
		return false;
	if (row->type == TK_CONFIG_LIST)
		return parsed->trimmed_len == other.trimmed_len &&
		       memcmp(parsed->trimmed, other.trimmed, other.trimmed_len) == 0;
	return parsed->number == other.number && !(parsed->fraction < other.fraction) &&
	       !(parsed->fraction > other.fraction);
}

static uint64_t
row_bit(const struct tk_topic_config_row *row)
{
	size_t count;

	return UINT64_C(1) << (row - tk_topic_config_rows(&count));
}

bool
tk_topic_config_is_set(const struct tk_topic_config *config, const char *name)
{
	const struct tk_topic_config_row *row = tk_topic_config_find(name);

	tk_assert(row != NULL);
	return (config->set & row_bit(row)) != 0;
}

static int64_t *
row_field(const struct tk_topic_config_row *row, struct tk_topic_config *config)
{
	return (int64_t *)(void *)((char *)config + row->offset);
}

int
tk_topic_config_set(
    struct tk_topic_config *config, const char *name, const char *value, char *err, size_t err_size)
{
	const struct tk_topic_config_row *row = tk_topic_config_find(name);
	struct refusal refusal = { .row = row, .value = value, .err = err, .err_size = err_size };
	struct parsed parsed;
	int rc;

	if (row == NULL) {
		(void)snprintf(err, err_size, "Unknown topic config name: %.100s", name);
		return -EINVAL;
	}
	if (value == NULL) {
		(void)snprintf(err, err_size, "\"%s\" has no value", name);
		return -EINVAL;
	}
	rc = parse(&refusal, &parsed);
	if (rc < 0)
		return rc;
	if (!row->has_effect && !means_default(row, &parsed))
		return refuse(&refusal, "has no effect in this version, which only takes \"%s\"",
		    row->default_text);
	if (row->has_effect)
		*row_field(row, config) = parsed.number;
	config->set |= row_bit(row);
	return 0;
}

/* The broker setting's value as the field of a topic has it. */
static int64_t
setting_number(const struct tk_settings *settings, const char *path)
{
	const struct tk_setting *row = tk_setting_find(path);
	const void *field;

	tk_assert(row != NULL);
	field = tk_setting_field_const(row, settings);
	switch (row->type) {
	case TK_SETTING_BOOL:
		return *(const bool *)field;
	case TK_SETTING_INT:
		return *(const int32_t *)field;
	case TK_SETTING_ENUM:
		return *(const int *)field;
	default:
		tk_assert(row->type == TK_SETTING_SIZE || row->type == TK_SETTING_DURATION);
		return *(const int64_t *)field;
	}
}

/* The default of a row that no broker setting gives. */
static int64_t
text_number(const struct tk_topic_config_row *row)
{
	char err[1];
	struct refusal refusal = { .row = row, .value = row->default_text, .err = err };
	struct parsed parsed;
	int rc = parse(&refusal, &parsed);

	tk_assert(rc == 0);
	return parsed.number;
}

void
tk_topic_config_defaults(const struct tk_settings *settings, struct tk_topic_config *ret_config)
{
	size_t count;
	const struct tk_topic_config_row *rows = tk_topic_config_rows(&count);

	*ret_config = (struct tk_topic_config){ .set = 0 };
	for (size_t i = 0; i < count; i++)
		if (rows[i].has_effect)
			*row_field(&rows[i], ret_config) =
			    rows[i].setting != NULL ? setting_number(settings, rows[i].setting)
						    : text_number(&rows[i]);
}

/* The words of a list whose bits are set. */
static const char *
list_value(const struct tk_topic_config_row *row, int64_t bits, struct tk_arena *arena)
{
	const char *text = "";

	for (size_t i = 0; row->words[i] != NULL && text != NULL; i++)
		if ((bits & INT64_C(1) << i) != 0)
			text = tk_arena_printf(
			    arena, "%s%s%s", text, *text == '\0' ? "" : ",", row->words[i]);
	return text;
}

/* As Java writes a double. */
static const char *
fraction_value(int64_t millionths, struct tk_arena *arena)
{
	const char *text = tk_arena_printf(arena, "%g", (double)millionths / TK_CONFIG_MILLIONTHS);

	return text == NULL || strchr(text, '.') != NULL ? text
							 : tk_arena_printf(arena, "%s.0", text);
}

/* What is in effect, as text; NULL without memory. */
static const char *
row_value(const struct tk_topic_config_row *row, const struct tk_topic_config *config,
    struct tk_arena *arena)
{
	const int64_t *field;

	if (!row->has_effect)
		return row->default_text;
	field = (const int64_t *)(const void *)((const char *)config + row->offset);
	if (row->type == TK_CONFIG_LIST)
		return list_value(row, *field, arena);
	if (row->type == TK_CONFIG_DOUBLE)
		return fraction_value(*field, arena);
	if (row->words != NULL)
		return row->words[*field];
	if (row->type == TK_CONFIG_BOOLEAN)
		return *field != 0 ? "true" : "false";
	return tk_arena_printf(arena, "%" PRId64, *field);
}

/* What the last of the broker keys has as its default; NULL without memory. */
static const char *
row_synonym_default(const struct tk_topic_config_row *row, struct tk_arena *arena)
{
	if (row->synonym_default != NULL)
		return row->synonym_default;
	if (row->setting != NULL)
		return tk_setting_default_value(tk_setting_find(row->setting), arena);
	return row->default_text;
}

static void
synonym_add(struct tk_config_entry *entry, const char *name, const char *value,
    enum tk_config_source source)
{
	tk_assert(entry->synonym_count < TK_COUNT_OF(entry->synonyms));
	entry->synonyms[entry->synonym_count++] =
	    (struct tk_config_synonym){ .name = name, .value = value, .source = source };
}

/* The keys a value may come from, best first, as Kafka lists them. */
static void
entry_synonyms(struct tk_config_entry *entry, const struct tk_topic_config_row *row, bool is_set,
    const struct tk_settings *settings, struct tk_arena *arena)
{
	const struct tk_setting *setting =
	    row->setting != NULL ? tk_setting_find(row->setting) : NULL;
	size_t last = 0;

	if (is_set)
		synonym_add(entry, row->name, entry->value, TK_CONFIG_SOURCE_DYNAMIC_TOPIC);
	if (row->synonyms[0] == NULL)
		return;
	if (setting != NULL && tk_setting_origin(settings, setting)->file != NULL)
		synonym_add(entry, row->synonyms[0], tk_setting_value(settings, setting, arena),
		    TK_CONFIG_SOURCE_STATIC_BROKER);
	while (last + 1 < TK_COUNT_OF(row->synonyms) && row->synonyms[last + 1] != NULL)
		last++;
	synonym_add(
	    entry, row->synonyms[last], row_synonym_default(row, arena), TK_CONFIG_SOURCE_DEFAULT);
}

int
tk_topic_config_get(const struct tk_settings *settings, const struct tk_topic_config *config,
    size_t index, struct tk_arena *arena, struct tk_config_entry *ret_entry)
{
	size_t count;
	const struct tk_topic_config_row *row = tk_topic_config_rows(&count);
	struct tk_config_entry entry;

	if (index >= count)
		return -ENOENT;
	row += index;
	entry = (struct tk_config_entry){ .name = row->name,
		.value = row_value(row, config, arena),
		.help = row->help,
		.source = TK_CONFIG_SOURCE_DEFAULT,
		.type = row->type };
	entry_synonyms(&entry, row, (config->set & row_bit(row)) != 0, settings, arena);
	if (entry.synonym_count > 0)
		entry.source = entry.synonyms[0].source;
	if (entry.value == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < entry.synonym_count; i++)
		if (entry.synonyms[i].value == NULL)
			return -ENOMEM;
	*ret_entry = entry;
	return 0;
}
