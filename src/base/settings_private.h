/*
 * What the files of the settings share and nobody else needs.
 */
#ifndef TK_BASE_SETTINGS_PRIVATE_H
#define TK_BASE_SETTINGS_PRIVATE_H

#include "base/settings.h"

/* A file that settings came from. */
struct tk_settings_file {
	struct tk_settings_file *next;
	const char *given_name; /* as libconfig knows it */
	const char *name;       /* as we tell it */
};

/* A load under way. */
struct tk_settings_load {
	struct tk_arena *arena;
	struct tk_settings *settings;
	struct tk_setting_origin *origins; /* settings->origins, still to be written */
	struct tk_settings_errors *errors;
	struct tk_setting_origin *truncated; /* places of integers that libconfig cut */
	size_t truncated_count;
	struct tk_settings_file *files;
	const char *folder; /* what @include stands on */
	bool unreadable;    /* a file could not be read, and an error says so */
	bool no_memory;
};

/* Adds a line to the errors; at may be NULL, or have no file, where no place is known. */
void tk_settings_error(struct tk_settings_load *load, const struct tk_setting_origin *at,
    const char *fmt, ...) TK_PRINTF(3, 4);
void tk_settings_warning(struct tk_settings_load *load, const struct tk_setting_origin *at,
    const char *fmt, ...) TK_PRINTF(3, 4);

/* Lays the settings of a file, or of a text named `name`, over those there are. */
void tk_settings_read_file(struct tk_settings_load *load, const char *path);
void tk_settings_read_text(struct tk_settings_load *load, const char *name, const char *text);

/*
 * Looks for integers that do not fit into what libconfig makes of them, since libconfig says
 * nothing: reports them, and remembers their lines in load->truncated.
 */
void tk_settings_scan(struct tk_settings_load *load, const char *name, const char *text);

/* Makes paths absolute, completes the listeners and checks what involves more than one row. */
void tk_settings_finish(struct tk_settings_load *load);
void tk_settings_finish_listeners(struct tk_settings_load *load);

/* Gives the fields of holder the rows' defaults; where a row has none, NULL, 0 or nothing. */
void tk_settings_set_defaults(const struct tk_setting *rows, size_t count, void *holder);

/* The row of a table that the writer of name may have meant, or NULL. */
const struct tk_setting *tk_setting_guess(
    const struct tk_setting *rows, size_t count, const char *name);

/* The word of a list ended by NULL that is nearest to name, or NULL if none is near. */
const char *tk_word_guess(const char *const *words, const char *name);

/* The place of a word in a list ended by NULL, or -1. */
int tk_word_find(const char *const *words, const char *word);

/* The whole value as Kafka writes it, in arena; NULL without memory. */
const char *tk_setting_value(
    const struct tk_settings *settings, const struct tk_setting *row, struct tk_arena *arena);

/* The same of the row's default, which it must have. */
const char *tk_setting_default_value(const struct tk_setting *row, struct tk_arena *arena);

/* The field of row in holder. */
static inline void *
tk_setting_field(const struct tk_setting *row, void *holder)
{
	return (char *)holder + row->offset;
}

static inline const void *
tk_setting_field_const(const struct tk_setting *row, const void *holder)
{
	return (const char *)holder + row->offset;
}

#endif
