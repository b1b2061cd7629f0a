/*
 * Looking for integers that libconfig has cut.
 *
 * libconfig 1.5 reads an integer without the suffix L as 32 bits and one with it as 64 bits, drops
 * what does not fit and says nothing: 3000000000 is negative, 4294967297 is 1.  What was written is
 * known only to the text, so the text is looked through: comments and strings are skipped, words
 * are looked at.  It need not know the syntax; libconfig has refused what is not in it.
 *
 * Run by the master.  A scan is linear in the text, which is at most 1 MiB.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings_private.h"

struct scan {
	struct tk_settings_load *load;
	struct tk_setting_origin at;
	const char *next;
};

static void
skip_line(struct scan *scan)
{
	while (*scan->next != '\0' && *scan->next != '\n')
		scan->next++;
}

/* Past the end of what stands at next, counting its lines; quote is skipped where escaped. */
static void
skip_past(struct scan *scan, const char *end, bool escapes)
{
	size_t len = strlen(end);

	while (*scan->next != '\0' && strncmp(scan->next, end, len) != 0) {
		if (*scan->next == '\\' && escapes && scan->next[1] != '\0')
			scan->next++;
		if (*scan->next == '\n')
			scan->at.line++;
		scan->next++;
	}
	if (*scan->next != '\0')
		scan->next += len;
}

static void
truncated_add(struct scan *scan)
{
	struct tk_settings_load *load = scan->load;
	size_t count = load->truncated_count + 1;
	struct tk_setting_origin *grown = tk_arena_calloc(load->arena, count, sizeof(*grown));

	if (grown == NULL) {
		load->no_memory = true;
		return;
	}
	if (load->truncated_count > 0)
		memcpy(grown, load->truncated, load->truncated_count * sizeof(*grown));
	grown[load->truncated_count] = scan->at;
	load->truncated = grown;
	load->truncated_count = count;
}

static bool
is_hex(const char *digits)
{
	return digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
}

/* word is a sign and digits, perhaps L: does its value get through libconfig? */
static void
check_integer(struct scan *scan, const char *word, int word_len)
{
	const char *digits = *word == '-' || *word == '+' ? word + 1 : word;
	bool hex = is_hex(digits);
	long long value;
	char *end;

	errno = 0;
	value = strtoll(word, &end, hex ? 16 : 10);
	if (end < word + word_len && *end != 'L')
		return; /* a fraction or no number at all */
	if (errno == ERANGE) {
		truncated_add(scan);
		tk_settings_error(
		    scan->load, &scan->at, "\"%.*s\" does not fit in 64 bits", word_len, word);
	} else if (end == word + word_len && (value > INT32_MAX || value < INT32_MIN)) {
		truncated_add(scan);
		tk_settings_error(scan->load, &scan->at,
		    "\"%.*s\" does not fit in 32 bits: write a size or a duration as a string with "
		    "a "
		    "unit, or add the suffix L",
		    word_len, word);
	}
}

static void
scan_word(struct scan *scan)
{
	const char *word = scan->next;

	while (isalnum((unsigned char)*scan->next) || strchr("+-._*", *scan->next) != NULL) {
		if (*scan->next == '\0')
			break;
		scan->next++;
	}
	if (isdigit((unsigned char)word[0]) ||
	    ((word[0] == '-' || word[0] == '+') && isdigit((unsigned char)word[1])))
		check_integer(scan, word, (int)(scan->next - word));
	if (scan->next == word)
		scan->next++;
}

static void
scan_one(struct scan *scan)
{
	const char *at = scan->next;

	if (at[0] == '#' || (at[0] == '/' && at[1] == '/')) {
		skip_line(scan);
	} else if (at[0] == '/' && at[1] == '*') {
		scan->next += 2;
		skip_past(scan, "*/", false);
	} else if (at[0] == '"') {
		scan->next++;
		skip_past(scan, "\"", true);
	} else if (at[0] == '\n') {
		scan->at.line++;
		scan->next++;
	} else {
		scan_word(scan);
	}
}

void
tk_settings_scan(struct tk_settings_load *load, const char *name, const char *text)
{
	struct scan scan = { .load = load, .at = { .file = name, .line = 1 }, .next = text };

	while (*scan.next != '\0')
		scan_one(&scan);
}
