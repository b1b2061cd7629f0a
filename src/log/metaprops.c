/*
 * meta.properties.  Writer process, at start; bounded by 64 KiB.
 */
#include "log/metaprops.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "os/file.h"

#define FILE_LIMIT ((size_t)64 * 1024)

static const char file_name[] = "meta.properties";

/* The value of a key, unescaped in place (Java escapes ':' and '=' with a backslash), or NULL. */
static char *
line_value(char *line, const char *key)
{
	size_t len = strlen(key);
	char *at, *to;

	line += strspn(line, " \t\f");
	if (strncmp(line, key, len) != 0)
		return NULL;
	at = line + len;
	at += strspn(at, " \t\f");
	if (*at != '=' && *at != ':')
		return NULL;
	at++;
	at += strspn(at, " \t\f");
	to = at;
	for (char *from = at; *from != '\0'; from++) {
		if (*from == '\\' && from[1] != '\0')
			from++;
		*to++ = *from;
	}
	*to = '\0';
	return at;
}

static int
take_line(struct tk_metaprops *props, char *line, unsigned *found)
{
	char *value;

	if ((value = line_value(line, "version")) != NULL) {
		*found |= 1;
		return strcmp(value, "1") == 0 ? 0 : -EBADMSG;
	}
	if ((value = line_value(line, "cluster.id")) != NULL) {
		size_t len = strlen(value);

		if (len == 0 || len > TK_METAPROPS_TEXT_MAX)
			return -EBADMSG;
		memcpy(props->cluster_id, value, len + 1);
		*found |= 2;
	} else if ((value = line_value(line, "node.id")) != NULL) {
		props->node_id = (int32_t)strtol(value, NULL, 10);
		*found |= 4;
	} else if ((value = line_value(line, "directory.id")) != NULL) {
		return tk_uuid_parse(value, strlen(value), &props->directory_id) < 0 ? -EBADMSG : 0;
	}
	return 0;
}

int
tk_metaprops_read(int dir_fd, struct tk_metaprops *ret_props)
{
	struct tk_metaprops props = { .node_id = -1 };
	unsigned found = 0;
	char *text, *rest;
	size_t len;
	int rc;

	rc = tk_file_read_all(dir_fd, file_name, FILE_LIMIT, &text, &len);
	if (rc < 0)
		return rc;
	for (char *line = strtok_r(text, "\r\n", &rest); line != NULL && rc == 0;
	     line = strtok_r(NULL, "\r\n", &rest))
		if (line[0] != '#' && line[0] != '!')
			rc = take_line(&props, line, &found);
	free(text);
	if (rc == 0 && found != 7)
		rc = -EBADMSG;
	if (rc < 0)
		return rc;
	*ret_props = props;
	return 0;
}

int
tk_metaprops_write(int dir_fd, const struct tk_metaprops *props)
{
	char id[TK_UUID_TEXT_LEN + 1], text[512];
	struct tk_file_replace what = { .dir_fd = dir_fd, .path = file_name, .sync = true };
	int len;

	tk_uuid_format(&props->directory_id, id);
	len = snprintf(text, sizeof(text),
	    "#\n#written by takhin\ncluster.id=%s\ndirectory.id=%s\nnode.id=%" PRId32
	    "\nversion=1\n",
	    props->cluster_id, id, props->node_id);
	tk_assert(len > 0 && (size_t)len < sizeof(text));
	what.data = text;
	what.len = (size_t)len;
	return tk_file_replace(&what);
}
